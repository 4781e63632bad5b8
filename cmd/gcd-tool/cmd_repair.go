package main

import (
	"errors"
	"fmt"
	"io"

	"gcd/internal/cmdline"

	"github.com/urfave/cli/v2"

	"gcd/tools"
)

func repairCommand() *cli.Command {
	return &cli.Command{
		Name:      "repair",
		Usage:     "Say what is lost of a directory that does not start, and with a flag make the rest start",
		Category:  categoryWrite,
		ArgsUsage: "DIR",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "accept-loss", Category: "Repair", Usage: "Do it. The old directory is kept beside the new one."},
			quietFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := named(c, "DIR")
			if err != nil {
				return err
			}
			m := newMeter(c)
			r, err := tools.Repair(c.Context, args[0], tools.RepairOptions{AcceptLoss: c.Bool("accept-loss"), Progress: m.report})
			m.end()
			if err != nil {
				return err
			}
			if err := printRepaired(c.App.Writer, r); err != nil {
				return err
			}
			if !r.Needless && !r.Done {
				return cmdline.Fail(cmdline.ExitFailure, errors.New("nothing was changed"), "make a copy of the directory, then repair it with --accept-loss")
			}
			return nil
		},
	}
}

// mostUnsure is how many topics are named.
const mostUnsure = 1000

func printRepaired(w io.Writer, r *tools.Repaired) error {
	if r.Needless {
		_, err := fmt.Fprintln(w, "a server starts here: there is nothing to repair, and nothing was changed")
		return err
	}
	text := "a server does not start here: " + r.Reason + "\nsnapshot: " + r.Snapshot + "\n"
	if r.Whole() {
		text += "lost: nothing\n"
	}
	for _, l := range r.Lost {
		text += fmt.Sprintf("lost: records %d to %d, and topics that only they named\n", l.First, l.Last)
	}
	if r.Open {
		text += fmt.Sprintf("perhaps lost: records behind %d; nothing says where the log ended\n", r.Index)
	}
	if r.Doubtful > 0 {
		text += fmt.Sprintf("%d records have nothing to be compared with, and are taken as they are\n", r.Doubtful)
	}
	text += fmt.Sprintf("topics: %d, of which %d are sure to hand out no number twice\n", r.Topics, r.Sure)
	for i, topic := range r.Unsure {
		if i == mostUnsure {
			text += fmt.Sprintf("… and %d topics more\n", len(r.Unsure)-i)
			break
		}
		text += fmt.Sprintf("not sure: %.200q\n", topic)
	}
	if r.Done {
		text += fmt.Sprintf("done: store %s, behind record %d; the old directory is %s\n", r.Store, r.Index, r.Aside)
	}
	_, err := io.WriteString(w, text)
	return err
}
