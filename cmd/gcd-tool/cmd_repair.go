package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/urfave/cli/v2"

	"gcd/internal/atomicfile"
	"gcd/internal/cmdline"
	"gcd/tools"
)

func repairCommand() *cli.Command {
	return &cli.Command{
		Name:      "repair",
		Usage:     "Say what is lost of a directory that does not start, and with a flag make the rest start",
		Category:  categoryWrite,
		ArgsUsage: "DIR",
		Description: `Says which records are lost and which topics may hand out numbers again, and
changes nothing. With --accept-loss it builds a directory beside DIR from everything that can be
read, reads it back and gives it DIR's place. Interrupted, it leaves DIR as it was or whole and new,
and perhaps a directory DIR.repair-… that can be removed. Run it as the user of the server. Exit
code 0 says that a server starts in DIR, by itself or now; 1 that nothing was changed, since
--accept-loss was not given.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "accept-loss", Category: "Repair",
				Usage: "Do it. The old directory is kept as DIR.broken-TIME."},
			&cli.StringFlag{Name: "report", Category: "Output",
				Usage: "Write all topics that are not sure to `FILE`, with the sum that each has or would get: as " +
					"CSV if its name ends in .csv, else as ndjson."},
			tempDirFlag(),
			lockWaitFlag(),
			quietFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := named(c, "DIR")
			if err != nil {
				return err
			}
			o := tools.RepairOptions{AcceptLoss: c.Bool("accept-loss"), TempDir: c.String("temp-dir"),
				LockWait: lockWait(c)}
			report := c.String("report")
			if c.IsSet("report") {
				if err := outside(c, "report", args[0]); err != nil {
					return err
				}
				o.Report = func(unsure iter.Seq2[*tools.Counter, error]) error {
					return atomicfile.Write(report, func(w io.Writer) error {
						return tools.WriteCounters(w, reportFormat(report), unsure)
					})
				}
			}
			m := newMeter(c)
			o.Progress = m.report
			r, err := tools.Repair(c.Context, args[0], o)
			m.end(err)
			if err != nil {
				return err
			}
			if err := printRepaired(c.App.Writer, r, report); err != nil {
				return err
			}
			if !r.Needless && !r.Done {
				return cmdline.Fail(cmdline.ExitFailure, errors.New("nothing was changed"),
					"make a copy of the directory, then repair it with --accept-loss")
			}
			return nil
		},
	}
}

// reportFormat is that of a report of this name.
func reportFormat(name string) string {
	if strings.HasSuffix(strings.ToLower(name), ".csv") {
		return tools.FormatCSV
	}
	return tools.FormatNDJSON
}

// printRepaired says what was found, in a line first and last, and what is lost between them.
// report is the file with all topics that are not sure, if there is one.
func printRepaired(w io.Writer, r *tools.Repaired, report string) error {
	if r.Needless {
		_, err := fmt.Fprintln(w, `a server starts here: there is nothing to repair, and nothing was changed
if "gcd-tool verify" finds damage in what no start reads, "gcd-tool compact" removes it`)
		return err
	}
	summary := fmt.Sprintf("topics: %d; sure to hand out no number twice: %d; not sure: %d\n", r.Topics, r.Sure,
		r.Topics-r.Sure)
	text := summary + "a server does not start here: " + r.Reason + "\nsnapshot: " + r.Snapshot + "\n"
	if r.Whole() {
		text += "lost: nothing\n"
	}
	for _, l := range r.Lost {
		text += fmt.Sprintf("lost: %v, and topics that nothing else names\n", l)
	}
	if r.Partial() {
		text += "perhaps lost: topics that only a damaged part of the snapshot names\n"
	}
	if r.Open {
		text += fmt.Sprintf("perhaps lost: records after %d; nothing says where the log ended\n", r.Index)
	}
	if r.Believed {
		text += fmt.Sprintf("not proved: that the log ended with record %d; no snapshot that can be read says how "+
			"far it reached\n", r.Index)
	}
	if r.Doubtful > 0 {
		text += fmt.Sprintf("taken as read, with nothing to be compared with: %s\n",
			cmdline.Plural(r.Doubtful, "record", "records"))
	}
	for _, topic := range r.Unsure {
		text += fmt.Sprintf("not sure: %.200q\n", topic)
	}
	if more := r.Topics - r.Sure - uint64(len(r.Unsure)); more > 0 {
		text += fmt.Sprintf("not sure: %s more", cmdline.Plural(more, "topic", "topics"))
		if report == "" {
			text += "; --report FILE writes all of them"
		}
		text += "\n"
	}
	if report != "" {
		text += fmt.Sprintf("all that are not sure: %s\n", report)
	}
	text += summary
	if r.Done {
		text += fmt.Sprintf("done: store %s, after record %d; the old directory is %s\n", r.Store, r.Index, r.Aside)
	}
	_, err := io.WriteString(w, text)
	return err
}
