package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/tools"
)

func restoreCommand() *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "Make a data directory from a dump",
		Category:  categoryWrite,
		ArgsUsage: "FILE DIR",
		Description: `Makes DIR from a dump, ndjson or csv, all of it or nothing: the file is read
twice, first to check it, then to build a directory beside DIR, which is read back and renamed.
Interrupted, it leaves DIR as it was, and perhaps a directory DIR.restore-… that can be removed. The
new directory has a store UUID of its own and goes on at the dump's index. Run it as the user of the
server.

What was handed out after the dump was made is handed out again, unless --advance is more than any
topic counted since. Also with it:
  a topic that was RESET after the dump was made is in the epoch and near the sum of before,` +
			` and its next RESET starts at 1 again;
  a topic that was counted first after the dump was made is not in it, and starts at 1.

With --without the topics of a load test are left out: those that begin with a
PREFIX, which may be given several times. Should one of them be counted again it
starts at 1.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Category: "Restore",
				Usage: "Take the place of a directory that has a store. The old one is kept as " +
					"DIR.before-restore-TIME."},
			&cli.Uint64Flag{Name: "advance", Category: "Restore",
				Usage: "Raise every sum by `N`, so that numbers handed out since the dump was made are not handed " +
					"out again. Refused if any sum would pass 2^64 - 1."},
			&cli.GenericFlag{Name: "without", Value: new(cmdline.Words), Category: "Restore",
				Usage: "Leave out the topics that begin with `PREFIX`. May be given several times."},
			lockWaitFlag(),
			quietFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := named(c, "FILE", "DIR")
			if err != nil {
				return err
			}
			without := cmdline.AllWords(c, "without")
			if slices.Contains(without, "") {
				return usagef("restore", "--without is empty: every topic begins with that")
			}
			m := newMeter(c)
			r, err := tools.Restore(c.Context, args[0], args[1], tools.RestoreOptions{
				Force: c.Bool("force"), Advance: c.Uint64("advance"), Without: without, LockWait: lockWait(c),
				Progress: m.report,
			})
			m.end(err)
			if errors.Is(err, context.Canceled) { // which is looked at before it is placed
				return interrupted(args[1] + " is as it was")
			}
			if errors.Is(err, fs.ErrExist) {
				return cmdline.Fail(cmdline.ExitFailure, fmt.Errorf("%s is not empty", args[1]),
					"name another directory, or keep this one aside with --force")
			}
			if errors.Is(err, fs.ErrNotExist) {
				return cmdline.Fail(cmdline.ExitFailure, err, "name a file that \"gcd-tool dump\" wrote")
			}
			if err != nil {
				return err
			}
			at := ""
			if !r.From.Time.IsZero() {
				at = " of " + r.From.Time.Format(time.RFC3339)
			}
			m.note("restored %s as at record %d%s into %s", cmdline.Plural(r.Entries, "topic", "topics"), r.From.Index,
				at, args[1])
			m.note("it is store %s, made from %s", r.Store, r.From.Store)
			for i, prefix := range without {
				m.note("left out %s with %.200q", cmdline.Plural(r.LeftOut[i], "topic that begins",
					"topics that begin"), prefix)
			}
			if n := c.Uint64("advance"); n > 0 {
				m.note("every sum was raised by %d", n)
			}
			if r.Aside != "" {
				m.note("the old directory is %s", r.Aside)
			}
			return nil
		},
	}
}
