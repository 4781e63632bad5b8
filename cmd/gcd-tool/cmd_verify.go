package main

import (
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/tools"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "Check everything in a directory, and say what cannot be proved",
		Category:  categoryRead,
		ArgsUsage: "DIR",
		Description: `Reads every record of the log and every entry of the snapshot, and checks that
they follow from each other. Lists each file with what is wrong in it, then what cannot be checked,
as "not proved: …": that is no damage. Exit code 7: something is damaged, and it says whether a
server starts here all the same. Beside a running server it checks what was there when it began.

Examples:
  gcd-tool verify ./gcd-data
  gcd-tool verify --quiet --format json ./gcd-data`,
		Flags: []cli.Flag{
			formatFlag("table", "json"),
			tempDirFlag(),
			quietFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := named(c, "DIR")
			if err != nil {
				return err
			}
			m := newMeter(c)
			var v *tools.Verified
			err = aside(c.Context, args[0], func(rest func()) (err error) {
				v, err = tools.Verify(c.Context, args[0],
					tools.VerifyOptions{TempDir: c.String("temp-dir"), Rest: rest, Progress: m.report})
				return err
			})
			m.end(err)
			if err != nil {
				return err
			}
			if cmdline.Word(c, "format") == "json" {
				err = printJSON(c.App.Writer, v)
			} else {
				err = printVerified(c.App.Writer, v)
			}
			if err != nil {
				return err
			}
			if v.Harmless {
				return cmdline.Fail(cmdline.ExitCorruption, v.Err(),
					"no count is lost, and a server starts here; \"gcd-tool compact\" removes what is damaged, and "+
						"all history with it")
			}
			return v.Err()
		},
	}
}

func printVerified(w io.Writer, v *tools.Verified) error {
	t := plainTable()
	t.AppendHeader(table.Row{"file", "bytes", "holds", "result"})
	for _, f := range v.Files {
		result := "sound"
		if f.Damages > 0 {
			result = fmt.Sprintf("%d damaged", f.Damages)
		}
		t.AppendRow(table.Row{f.Name, f.Bytes, holds(f, v.Topics), result})
	}
	text := t.Render() + "\n"
	for _, f := range v.Files {
		for _, d := range f.Damage {
			at := ""
			if !d.Whole {
				at = fmt.Sprintf(" at offset %d", d.Offset)
			}
			text += fmt.Sprintf("%s is damaged%s: %s\n", f.Name, at, d.Text)
		}
		if more := f.Damages - len(f.Damage); more > 0 {
			text += fmt.Sprintf("%s has %d damages more\n", f.Name, more)
		}
	}
	for _, u := range v.Unproven {
		text += "not proved: " + u + "\n"
	}
	switch {
	case v.Err() == nil:
		text += fmt.Sprintf("sound: store %s, %s, %v, %s\n", v.Store, cmdline.Plural(v.Topics, "topic",
			"topics"), tools.Range{First: v.First, Last: v.Last}, stateText(v))
	case v.Harmless:
		text += "damaged, but a server starts here: what is damaged is history, or holds nothing, and \"gcd-tool " +
			"compact\" removes it\n"
	case v.Starts:
		text += "damaged, but a server starts here: its counters and the history contradict each other\n"
	default:
		text += "damaged: a server does not start here\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// holds says what is in a file of a store with so many topics.
func holds(f tools.VerifiedFile, topics uint64) string {
	switch {
	case f.Missing:
		return "missing"
	case f.Records > 0:
		return tools.Range{First: f.First, Last: f.Last}.String()
	case f.Name != "counters.db":
		return "no records"
	case f.Entries == 0 && f.Damages > 0:
		return "unreadable"
	case f.Entries < topics: // the log has the others
		return fmt.Sprintf("%d of %s", f.Entries, cmdline.Plural(topics, "topic", "topics"))
	}
	return cmdline.Plural(f.Entries, "topic", "topics")
}

func stateText(v *tools.Verified) string {
	switch {
	case v.Running:
		return "in use"
	case v.State == "":
		return "without a snapshot"
	case v.State == "open":
		return "not closed cleanly"
	}
	return v.State
}
