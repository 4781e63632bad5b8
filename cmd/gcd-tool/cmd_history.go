package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
		Description: `Prints what each record that is kept did to TOPIC: the numbers that it handed
out, or the sum at which it reset the topic. "gcd serve --retain" says how long
the log is kept; where it does not go back to the first record a message says
so. Exit code 3: there is no such topic. Exit code 7: the log is damaged; what
is before the damage was printed.

Examples:
  gcd-tool history orders ./gcd-data
  gcd-tool history --since 1h --format csv orders ./gcd-data
  gcd-tool history --since "2026-01-02 03:04" orders ./gcd-data
  gcd-tool history --limit 10 orders ./gcd-data`,
		Flags: []cli.Flag{
			formatFlag("table", tools.FormatNDJSON, tools.FormatCSV),
			&cli.StringFlag{Name: "since", Category: "Output",
				Usage: "Leave out what was before `TIME`, " + cmdline.MomentForms + "."},
			&cli.Uint64Flag{Name: "limit", Category: "Output", Usage: "Print the `N` latest only; 0 prints all."},
			quietFlag(),
		},
		Action: history,
	}
}

func history(c *cli.Context) error {
	args := c.Args().Slice() // a topic may be empty
	if len(args) != 2 || args[1] == "" {
		return usagef(c.Command.Name, "want a topic and a directory: gcd-tool history [FLAGS] TOPIC DIR")
	}
	var o tools.HistoryOptions
	if c.IsSet("since") {
		since := c.String("since")
		t, err := cmdline.ParseMoment(since, time.Now())
		if err != nil {
			return usagef(c.Command.Name, "--since cannot be %q: %v", since, err)
		}
		o.Since = t
	}
	m := newMeter(c)
	o.Progress = m.report
	w := bufio.NewWriter(m.data(c.App.Writer))
	to := newStepWriter(cmdline.Word(c, "format"), w)
	latest := latestSteps{limit: c.Uint64("limit")}
	each := to.Step
	if latest.limit > 0 {
		each = latest.add
	}
	var found tools.HistoryRange
	err := aside(c.Context, args[1], func(rest func()) (err error) {
		o.Rest = rest
		found, err = tools.History(c.Context, []byte(args[0]), args[1], o, each)
		return err
	})
	m.end(err)
	if err != nil && found.Steps == 0 {
		return err // and no columns of nothing
	}
	if !found.Known {
		return cmdline.Fail(cmdline.ExitNoTopic, fmt.Errorf("no such topic: %s", printable([]byte(args[0]))),
			"\"gcd-tool dump --prefix TEXT DIR\" prints those that begin with TEXT")
	}
	for _, s := range latest.steps() {
		if err := to.Step(s); err != nil {
			return err
		}
	}
	if printErr := errors.Join(to.Footer(), w.Flush()); printErr != nil {
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

// latestSteps keeps the latest of many steps.
type latestSteps struct {
	limit uint64
	kept  []tools.Step
}

func (l *latestSteps) add(s tools.Step) error {
	if n := uint64(len(l.kept)); n >= l.limit && n-l.limit >= l.limit { // so each is moved once
		l.kept = append(l.kept[:0], l.steps()...)
	}
	l.kept = append(l.kept, s)
	return nil
}

func (l *latestSteps) steps() []tools.Step {
	n := uint64(len(l.kept))
	return l.kept[n-min(n, l.limit):]
}

// A stepWriter prints steps, and their columns also where there is no step.
type stepWriter interface {
	Step(tools.Step) error
	Footer() error
}

func newStepWriter(format string, w *bufio.Writer) stepWriter {
	switch format {
	case tools.FormatNDJSON:
		return &stepsNDJSON{w}
	case tools.FormatCSV:
		return newStepsCSV(w)
	}
	t := &stepTable{pages{w: w, header: table.Row{"record", "time", "epoch", "numbers"}}}
	t.pages.begin()
	return t
}

func kind(s tools.Step) string {
	if s.Reset {
		return "reset"
	}
	return "count"
}

type stepsNDJSON struct{ w io.Writer }

func (n *stepsNDJSON) Step(s tools.Step) error {
	b, err := json.Marshal(struct {
		Index uint64 `json:"index"`
		Time  string `json:"time"`
		Kind  string `json:"kind"`
		Epoch uint64 `json:"epoch"`
		First uint64 `json:"first,omitempty"`
		Last  uint64 `json:"last"`
	}{s.Index, shownTime(s.Time), kind(s), s.Epoch, s.First, s.Last})
	if err == nil {
		_, err = fmt.Fprintf(n.w, "%s\n", b)
	}
	return err
}

func (*stepsNDJSON) Footer() error { return nil }

type stepsCSV struct{ w *csv.Writer }

func newStepsCSV(w io.Writer) *stepsCSV {
	c := &stepsCSV{csv.NewWriter(w)}
	_ = c.w.Write([]string{"index", "time", "kind", "epoch", "first", "last"}) // its error is that of Footer
	return c
}

func (c *stepsCSV) Step(s tools.Step) error {
	u := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return c.w.Write([]string{u(s.Index), shownTime(s.Time), kind(s), u(s.Epoch), u(s.First), u(s.Last)})
}

func (c *stepsCSV) Footer() error {
	c.w.Flush()
	return c.w.Error()
}

// stepTable prints steps for people.
type stepTable struct{ pages pages }

func (t *stepTable) Step(s tools.Step) error {
	numbers := fmt.Sprintf("%d to %d", s.First, s.Last)
	switch {
	case s.Reset:
		numbers = fmt.Sprintf("reset at %d", s.Last)
	case s.First == s.Last:
		numbers = strconv.FormatUint(s.Last, 10)
	}
	return t.pages.row(table.Row{s.Index, shownTime(s.Time), s.Epoch, numbers})
}

func (t *stepTable) Footer() error { return t.pages.flush() }
