package main

import (
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
		Description: `Lists the files with the records that they hold, and says how far snapshot and log reach, whether a server runs, how long a start takes and, if it
would refuse, why. Reads what a start reads of the log and little of the snapshot: for a full check see "gcd-tool verify". A directory that a start refuses is no
failure here, so the exit code is 0.

Examples:
  gcd-tool inspect ./gcd-data
  gcd-tool inspect --format json ./gcd-data`,
		Flags: []cli.Flag{formatFlag("table", "json")},
		Action: func(c *cli.Context) error {
			args, err := named(c, "DIR")
			if err != nil {
				return err
			}
			in, err := tools.Inspect(c.Context, args[0])
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
		state = "a server is running"
	}
	text := t.Render() + "\n" + fmt.Sprintf("store %s, %s; its snapshot is %s\n", in.Store, state, in.State) +
		fmt.Sprintf("snapshot: %d topics, up to record %d; the log reached at least record %d\n", in.Topics, in.Replay, in.Witness) +
		fmt.Sprintf("log: records %d to %d, %d of them behind the snapshot\n", in.First, in.Last, in.Last-min(in.Last, in.Replay)) +
		fmt.Sprintf("a start takes about %s (an estimate, from rates measured elsewhere)\n", in.Estimate.Round(time.Millisecond))
	if in.Problem != "" {
		text += "a start refuses: " + in.Problem + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}
