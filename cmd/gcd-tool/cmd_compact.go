package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/tools"
)

func compactCommand() *cli.Command {
	return &cli.Command{
		Name:      "compact",
		Usage:     "Fold the log into the snapshot, and remove what is not needed",
		Category:  categoryWrite,
		ArgsUsage: "DIR",
		Description: `Brings the snapshot up to the end of the log, writes it anew without gaps and
removes the log's files that it covers: all but the last. What was kept for history (gcd serve
--retain) goes, too, so that "history" and "dump --at" begin anew; --keep-log keeps it. Needs room
for the new snapshot beside the old one; where there is none it first gives up the reserve that a
server keeps for its own, and the history. Interrupted, it leaves a directory that starts, with the
same counters.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "keep-log", Category: "Compact", Usage: "Remove no file of the log."},
			&cli.StringFlag{Name: "temp-dir", Category: "Compact",
				Usage: "`DIR2` for what does not fit into memory. Default: DIR itself."},
			lockWaitFlag(),
			quietFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := named(c, "DIR")
			if err != nil {
				return err
			}
			m := newMeter(c)
			r, err := tools.Compact(c.Context, args[0], tools.CompactOptions{KeepLog: c.Bool("keep-log"),
				TempDir: c.String("temp-dir"), LockWait: lockWait(c), Progress: m.report})
			m.end(err)
			if err != nil {
				return err
			}
			if r.Nothing {
				m.note("%s is compact already: nothing was changed", args[0])
				return nil
			}
			m.note("folded %s into a snapshot of %s at record %d", cmdline.Plural(r.Records, "record", "records"),
				cmdline.Plural(r.Topics, "topic", "topics"), r.Index)
			if r.Segments > 0 {
				m.note("removed %s of the log, with the history of %v", cmdline.Plural(r.Segments, "file", "files"),
					tools.Range{First: r.First, Last: r.Last})
			}
			m.note("%s", saved(r.Before, r.After))
			return nil
		},
	}
}

// saved says what became of so many bytes. A snapshot can grow by more than the log shrinks.
func saved(before, after int64) string {
	if after > before {
		return fmt.Sprintf("%d bytes became %d", before, after)
	}
	return fmt.Sprintf("%d bytes became %d: saved %d", before, after, before-after)
}
