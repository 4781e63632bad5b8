package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"

	"gcd/internal/atomicfile"
	"gcd/internal/cmdline"
	"gcd/store/core"
	"gcd/tools"
	"gcd/wal"
)

func dumpCommand() *cli.Command {
	return &cli.Command{
		Name:      "dump",
		Usage:     "Print all counters, of now or of the past",
		Category:  categoryRead,
		ArgsUsage: "DIR",
		Description: `Prints every topic with its sum, its epoch (how often it was reset) and the
index of the record that changed it last. Beside a running server it shows the last record that
there was when it began. ndjson and csv can be given to "gcd-tool restore"; a dump that was cut off
lacks its last line.

Examples:
  gcd-tool dump ./gcd-data
  gcd-tool dump --output counters.ndjson ./gcd-data
  gcd-tool dump --at 2026-01-02T03:04:05Z --prefix orders/ ./gcd-data
  gcd-tool dump --wal --format csv ./gcd-data`,
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "format", Category: "Output", DefaultText: "table on a terminal, ndjson elsewhere",
				Value: cmdline.NewChoice("table", tools.FormatNDJSON, tools.FormatJSON, tools.FormatCSV).Default(""),
				Usage: "`FORMAT` of what is printed: table, ndjson, json or csv."},
			&cli.StringFlag{Name: "output", Category: "Output",
				Usage: "Write `FILE` instead of printing. It is there only when it is whole."},
			tempDirFlag(),
			&cli.StringFlag{Name: "prefix", Category: "What",
				Usage: "Only topics that begin with `TEXT`. Such a dump cannot be restored."},
			&cli.StringFlag{Name: "at", Category: "What", DefaultText: "the last record",
				Usage: "The counters at `INDEX`; or, before the first record that is later, at " + cmdline.MomentForms +
					". As far as the log is kept."},
			&cli.BoolFlag{Name: "times", Category: "What",
				Usage: "Print when each topic was changed last, as far as the log is kept. A table has it anyhow."},
			&cli.BoolFlag{Name: "wal", Category: "What",
				Usage: "Print the records of the log instead, with segment and offset of each; of a damaged log " +
					"those before the damage."},
			quietFlag(),
		},
		Action: dump,
	}
}

func dump(c *cli.Context) error {
	args, err := named(c, "DIR")
	if err != nil {
		return err
	}
	format := cmdline.Word(c, "format")
	if format == "" {
		format = tools.FormatNDJSON
		if cmdline.IsTerminal(c.App.Writer) && !c.IsSet("output") {
			format = "table"
		}
	}
	o := tools.DumpOptions{Times: c.Bool("times") || format == "table", Prefix: c.String("prefix"),
		TempDir: c.String("temp-dir")}
	if err := readAt(c, &o); err != nil {
		return err
	}
	for _, flag := range []string{"at", "prefix", "times", "temp-dir"} {
		if c.Bool("wal") && c.IsSet(flag) {
			return usagef("dump", "--wal prints every record: --%s does not go with it", flag)
		}
	}
	if c.IsSet("output") {
		if err := outside(c, "output", args[0]); err != nil {
			return err
		}
	}
	m := newMeter(c)
	o.Progress = m.report
	write := func(w io.Writer) (err error) {
		defer func() { m.end(err) }()
		return aside(c.Context, args[0], func(rest func()) error {
			o.Rest = rest
			if c.Bool("wal") {
				return dumpRecords(c.Context, args[0], w, format, o)
			}
			return dumpCounters(c.Context, args[0], w, format, o, m)
		})
	}
	if c.IsSet("output") {
		err := atomicfile.Write(c.String("output"), write)
		if errors.Is(err, context.Canceled) {
			return interrupted(c.String("output") + " is as it was")
		}
		return err
	}
	return write(m.data(c.App.Writer))
}

// readAt reads the flag --at.
func readAt(c *cli.Context, o *tools.DumpOptions) error {
	if !c.IsSet("at") {
		return nil
	}
	if index, err := strconv.ParseUint(c.String("at"), 10, 64); err == nil {
		o.At = &index
		return nil
	}
	t, err := cmdline.ParseMoment(c.String("at"), time.Now())
	if err != nil {
		return usagef("dump", "--at cannot be %q: it takes an index such as 1234, or %s", c.String("at"),
			cmdline.MomentForms)
	}
	o.Before = t
	return nil
}

func dumpCounters(ctx context.Context, dir string, w io.Writer, format string, o tools.DumpOptions, m *meter) error {
	var to tools.DumpWriter = &dumpTable{w: w}
	if format != "table" {
		var err error
		if to, err = tools.NewDumpWriter(w, format, o.Times); err != nil {
			return err
		}
	}
	done, err := tools.Dump(ctx, dir, to, o)
	m.end(err)
	if errors.Is(err, tools.ErrNotKept) {
		return cmdline.Fail(cmdline.ExitFailure, err, "gcd serve --retain decides how long the log is kept")
	}
	if err != nil {
		return err
	}
	when := ""
	if t := done.Header.Time; !t.IsZero() {
		when = " of " + t.UTC().Format(time.RFC3339Nano)
	}
	m.note("%s at index %d%s", cmdline.Plural(done.Entries, "topic", "topics"), done.Header.Index, when)
	if done.Backwards > 0 {
		m.note("the clock went backwards: %d records after index %d are not later than %s either", done.Backwards,
			done.Header.Index, o.Before.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

func dumpRecords(ctx context.Context, dir string, w io.Writer, format string, o tools.DumpOptions) error {
	var to tools.RecordWriter = &recordTable{w: w}
	if format != "table" {
		var err error
		if to, err = tools.NewRecordWriter(w, format); err != nil {
			return err
		}
	}
	return tools.DumpRecords(ctx, dir, to, o)
}

// pageRows is how many rows of a table are laid out at a time, so that memory stays flat.
const pageRows = 1000

// pages prints a long table as many short ones.
type pages struct {
	w      io.Writer
	header table.Row
	page   table.Writer
}

// begin begins a table, for which a row is not needed then.
func (p *pages) begin() {
	p.page = plainTable()
	p.page.AppendHeader(p.header)
}

func (p *pages) row(row table.Row) error {
	if p.page == nil {
		p.begin()
	}
	p.page.AppendRow(row)
	if p.page.Length() < pageRows {
		return nil
	}
	return p.flush()
}

func (p *pages) flush() error {
	if p.page == nil {
		return nil
	}
	w := bufio.NewWriter(p.w)
	_, err := fmt.Fprintln(w, p.page.Render())
	p.page = nil
	return errors.Join(err, w.Flush())
}

// mostShown is how much of a topic a table shows, in bytes.
const mostShown = 100

// printable is a topic as a person can read it, on one line and not longer than that.
func printable(topic []byte) string {
	text := strconv.Quote(string(topic[:min(len(topic), mostShown)]))
	if len(topic) > mostShown {
		return fmt.Sprintf("%s… (%d bytes)", text, len(topic))
	}
	if text == `"`+string(topic)+`"` && len(topic) > 0 && topic[0] != ' ' && topic[len(topic)-1] != ' ' {
		return string(topic)
	}
	return text
}

func shownTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// dumpTable prints counters for people.
type dumpTable struct {
	w     io.Writer
	pages pages
}

func (t *dumpTable) Header(tools.DumpHeader) error {
	t.pages = pages{w: t.w, header: table.Row{"sum", "epoch", "record", "changed", "topic"}}
	return nil
}

func (t *dumpTable) Counter(c *tools.Counter) error {
	last := ""
	if c.Last > 0 {
		last = strconv.FormatUint(c.Last, 10)
	}
	return t.pages.row(table.Row{c.Sum, c.Epoch, last, shownTime(c.Time), printable(c.Topic)})
}

func (t *dumpTable) Footer() error { return t.pages.flush() }

// recordTable prints records for people.
type recordTable struct {
	w     io.Writer
	pages pages
}

func (t *recordTable) Record(r wal.Record, changes []core.Change) error {
	t.pages.w, t.pages.header = t.w, table.Row{"record", "time", "segment", "offset", "epoch", "change", "topic"}
	for _, c := range changes {
		what := fmt.Sprintf("%d + %d", c.Sum, c.N)
		if c.N == 0 {
			what = fmt.Sprintf("%d, reset", c.Sum)
		}
		if err := t.pages.row(table.Row{r.Index, shownTime(r.Time), fmt.Sprintf("%016x", r.Segment), r.Offset, c.Epoch,
			what, printable(c.Topic)}); err != nil {
			return err
		}
	}
	return nil
}

func (t *recordTable) Footer() error { return t.pages.flush() }
