package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/tools"
)

func historyCommand() *cli.Command {
	return &cli.Command{
		Name:      "history",
		Usage:     "Print when which numbers of a topic were handed out, as far as the log is kept",
		Category:  categoryRead,
		ArgsUsage: "TOPIC DIR",
		Flags: []cli.Flag{
			formatFlag("table", tools.FormatNDJSON, tools.FormatCSV),
			&cli.StringFlag{Name: "since", Category: "Output", Usage: "Leave out what was before `TIME`, as in 2026-01-02T03:04:05Z."},
			&cli.Uint64Flag{Name: "limit", Category: "Output", Usage: "Print the `N` latest only; 0 prints all. Of a table at most 100,000."},
			quietFlag(),
		},
		Action: history,
	}
}

// mostRows is how many rows a table has at most: it is laid out in memory.
const mostRows = 100_000

func history(c *cli.Context) error {
	args := c.Args().Slice() // a topic may be empty
	if len(args) != 2 || args[1] == "" {
		return usagef(c.Command.Name, "want a topic and a directory: gcd-tool history [FLAGS] TOPIC DIR")
	}
	var o tools.HistoryOptions
	if since := c.String("since"); since != "" {
		t, err := time.Parse(time.RFC3339, since)
		if err != nil {
			return usagef(c.Command.Name, "--since cannot be %q: it takes a time such as 2026-01-02T03:04:05Z", since)
		}
		o.Since = t
	}
	limit := c.Uint64("limit")
	if cmdline.Word(c, "format") == "table" && (limit == 0 || limit > mostRows) {
		limit = mostRows
	}
	m := newMeter(c)
	o.Progress = m.report
	w := bufio.NewWriter(c.App.Writer)
	print, flush := stepPrinter(cmdline.Word(c, "format"), w)
	var latest []tools.Step
	found, err := tools.History(c.Context, []byte(args[0]), args[1], o, func(s tools.Step) error {
		if limit == 0 {
			return print(s)
		}
		if latest = append(latest, s); uint64(len(latest)) >= 2*limit { // so each is moved once
			latest = append(latest[:0], latest[uint64(len(latest))-limit:]...)
		}
		return nil
	})
	m.end()
	if limit > 0 && uint64(len(latest)) > limit {
		latest = latest[uint64(len(latest))-limit:]
	}
	for _, s := range latest {
		if err := print(s); err != nil {
			return err
		}
	}
	if printErr := errors.Join(flush(), w.Flush()); printErr != nil {
		return printErr
	}
	if err != nil {
		return err
	}
	if !found.Covered {
		m.note("the log is kept from record %d on; what was before is not known", found.First)
	}
	return nil
}

// stepPrinter prints steps, and flush what is left of them.
func stepPrinter(format string, w *bufio.Writer) (print func(tools.Step) error, flush func() error) {
	stamp := func(s tools.Step) string { return s.Time.UTC().Format(time.RFC3339Nano) }
	what := map[bool]string{false: "count", true: "reset"}
	none := func() error { return nil }
	switch format {
	case tools.FormatNDJSON:
		return func(s tools.Step) error {
			b, err := json.Marshal(struct {
				Index uint64 `json:"index"`
				Time  string `json:"time"`
				Kind  string `json:"kind"`
				Epoch uint64 `json:"epoch"`
				First uint64 `json:"first,omitempty"`
				Last  uint64 `json:"last"`
			}{s.Index, stamp(s), what[s.Reset], s.Epoch, s.First, s.Last})
			if err == nil {
				_, err = fmt.Fprintf(w, "%s\n", b)
			}
			return err
		}, none
	case tools.FormatCSV:
		cw := csv.NewWriter(w)
		first := true
		return func(s tools.Step) error {
				if first {
					first = false
					if err := cw.Write([]string{"index", "time", "kind", "epoch", "first", "last"}); err != nil {
						return err
					}
				}
				u := func(n uint64) string { return strconv.FormatUint(n, 10) }
				return cw.Write([]string{u(s.Index), stamp(s), what[s.Reset], u(s.Epoch), u(s.First), u(s.Last)})
			}, func() error {
				cw.Flush()
				return cw.Error()
			}
	}
	t := plainTable()
	t.AppendHeader(table.Row{"record", "time", "epoch", "numbers"})
	return func(s tools.Step) error {
			numbers := fmt.Sprintf("%d to %d", s.First, s.Last)
			switch {
			case s.Reset:
				numbers = fmt.Sprintf("reset at %d", s.Last)
			case s.First == s.Last:
				numbers = strconv.FormatUint(s.Last, 10)
			}
			t.AppendRow(table.Row{s.Index, stamp(s), s.Epoch, numbers})
			return nil
		}, func() error {
			_, err := fmt.Fprintln(w, t.Render())
			return err
		}
}
