package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/tools"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "List what is in a directory",
		Category:  categoryRead,
		ArgsUsage: "DIR",
		Description: `Lists the files with the records that they hold, and says how far snapshot and
log reach, whether a server runs, how long a start takes and, if it would refuse, why. Reads what a
start reads of the log and little of the snapshot: for a full check see "gcd-tool verify". A
directory that a start refuses is no failure here, so the exit code is 0.

Examples:
  gcd-tool inspect ./gcd-data
  gcd-tool inspect --format json ./gcd-data`,
		Flags: []cli.Flag{formatFlag("table", "json"), tempDirFlag()},
		Action: func(c *cli.Context) error {
			args, err := named(c, "DIR")
			if err != nil {
				return err
			}
			var in *tools.Inspected
			err = aside(c.Context, args[0], func(rest func()) (err error) {
				in, err = tools.Inspect(c.Context, args[0], tools.InspectOptions{TempDir: c.String("temp-dir"),
					Rest: rest})
				return err
			})
			if err != nil {
				return err
			}
			if cmdline.Word(c, "format") == "json" {
				return printJSON(c.App.Writer, in)
			}
			return printInspected(c.App.Writer, in)
		},
	}
}

// topicsText says how many topics there are.
func topicsText(in *tools.Inspected) string {
	text := "topics: "
	switch {
	case in.Problem != "":
		text += fmt.Sprintf("%d that can be read", in.Topics)
	case in.AtMost:
		text += fmt.Sprintf("at most %d", in.Topics)
	default:
		text += fmt.Sprint(in.Topics)
	}
	if in.State != "" && in.Entries != in.Topics {
		text += fmt.Sprintf(", %d of them in the snapshot", in.Entries)
	}
	return text + "\n"
}

func printInspected(w io.Writer, in *tools.Inspected) error {
	t := plainTable()
	t.AppendHeader(table.Row{"file", "kind", "bytes", "changed", "records", "since"})
	for _, f := range in.Files {
		records, begun := "", ""
		if f.Last > 0 {
			records, begun = fmt.Sprintf("%d to %d", f.First, f.Last), f.Begun.UTC().Format(time.RFC3339)
		}
		t.AppendRow(table.Row{f.Name, f.Kind, f.Bytes, f.Time.UTC().Format(time.RFC3339), records, begun})
	}
	state := "stopped"
	if in.Running {
		state = "in use by another process, a server or a gcd-tool"
	}
	text := t.Render() + "\n" + fmt.Sprintf("store %s, %s; ", cmp.Or(in.Store, "unknown"), state)
	if in.State == "" {
		text += "no snapshot can be read\n"
	} else {
		text += fmt.Sprintf("its snapshot is %s\n", in.State)
	}
	text += topicsText(in)
	if in.State != "" {
		text += fmt.Sprintf("snapshot: %s, up to record %d; the log reached at least record %d\n",
			cmdline.Plural(in.Entries, "topic", "topics"), in.Replay, in.Witness)
	}
	switch kept := (tools.Range{First: in.First, Last: in.Last}); {
	case in.Problem != "" && in.Last < in.First:
		text += "log: no record can be read\n"
	case in.Last >= in.First && in.Records < in.Last+1-in.First:
		text += fmt.Sprintf("log: %v, of which %d can be read, %d of these after the snapshot\n", kept,
			in.Records, in.Behind)
	default:
		text += fmt.Sprintf("log: %v, %d of them after the snapshot\n", kept, in.Behind)
	}
	if text += "mark: " + in.Mark; in.Durable > 0 {
		text += fmt.Sprintf("; the log was durable up to record %d", in.Durable)
	}
	text += "\n"
	if in.Problem == "" {
		text += fmt.Sprintf("a start takes about %s (an estimate, from rates measured elsewhere)\n",
			in.Estimate.Round(time.Millisecond))
	} else {
		text += "a start refuses: " + in.Problem + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}
