package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/tools"
)

func importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "Make a data directory from a table of topics and sums",
		Category:  categoryWrite,
		ArgsUsage: "FILE DIR",
		Description: `Makes DIR, a new store, from a CSV file with a topic and its sum on each line,
in any order: the next count of the topic returns the sum and one. FILE may be
"-", the standard input. The first line may be "topic,sum". A topic with a
comma, a quote or a line end is put in quotes, and a quote in it doubled.

All of it or nothing. Each line that is wrong is named with its number, and
nothing is made then. A topic may come once. One with the sum 0 is left out,
and begins at 1.

A table has no digest: compare the number of topics, which is said at the end,
with that of where it comes from. docs/moving-in.md has the way from PostgreSQL
and Redis. A dump is not imported but restored, by "gcd-tool restore".

Examples:
  gcd-tool import counters.csv ./gcd-data
  psql -c "copy (select …) to stdout csv" | gcd-tool import - ./gcd-data`,
		Flags: []cli.Flag{
			tempDirFlag(),
			lockWaitFlag(),
			quietFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := named(c, "FILE", "DIR")
			if err != nil {
				return err
			}
			file, dir := args[0], args[1]
			m := newMeter(c)
			table := &awaited{ctx: c.Context, open: func() (io.ReadCloser, error) { return openTable(file) }}
			r, err := tools.Import(c.Context, table, dir, tools.ImportOptions{TempDir: c.String("temp-dir"),
				LockWait: lockWait(c), Progress: m.report})
			m.end(err)
			if err != nil {
				return importFailure(c.App.ErrWriter, file, dir, err)
			}
			m.note("imported %s into %s", cmdline.Plural(r.Topics, "topic", "topics"), dir)
			if r.Zeros > 0 {
				m.note("left out %s at 1 all the same", cmdline.Plural(r.Zeros,
					"topic with the sum 0: it begins", "topics with the sum 0: they begin"))
			}
			m.note("it is store %s", r.Store)
			return nil
		},
	}
}

// openTable opens the file of a table, which is read once: it may be a pipe.
func openTable(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(file)
}

// importFailure names the lines that are wrong, and says what became of an import.
func importFailure(stderr io.Writer, file, dir string, err error) error {
	var wrong *tools.ImportError
	switch {
	case errors.Is(err, context.Canceled):
		return interrupted(dir + " is as it was")
	case errors.As(err, &wrong):
		for _, line := range wrong.Lines {
			fmt.Fprintf(stderr, "%s: %v\n", file, line)
		}
		verb := "lines are wrong"
		if wrong.Total == 1 {
			verb = "line is wrong"
		}
		more := ""
		if named := uint64(len(wrong.Lines)); wrong.Total > named {
			more = fmt.Sprintf(", of which %d are named", named)
		}
		return cmdline.Fail(cmdline.ExitCorruption, fmt.Errorf("%s: %d %s%s", file, wrong.Total, verb, more),
			"nothing was made; mend the table and try again")
	case errors.Is(err, tools.ErrNothingToImport):
		return cmdline.Fail(cmdline.ExitCorruption, fmt.Errorf("there is no topic in %s", file),
			"nothing was made; \"gcd init\" makes a store without topics")
	case errors.Is(err, fs.ErrExist):
		return cmdline.Fail(cmdline.ExitFailure, fmt.Errorf("%s is not empty", dir),
			"name another directory: an import makes a new one")
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, tools.ErrTemp):
		return cmdline.Fail(cmdline.ExitFailure, err, "name a file with a topic and its sum on each line, or \"-\"")
	}
	return err
}

// awaited reads on goroutines of its own, so that an open or a read that waits for who writes does
// not keep a command that was interrupted. The one that still waits then ends with the process.
type awaited struct {
	ctx  context.Context
	open func() (io.ReadCloser, error)

	from io.ReadCloser // nil: it was not opened yet
	buf  []byte
	left []byte // of it, what was not taken
	err  error  // that it ended with
}

func (a *awaited) Read(b []byte) (int, error) {
	if len(a.left) == 0 && a.err == nil {
		a.err = a.fill()
	}
	if a.err != nil {
		return 0, a.err
	}
	n := copy(b, a.left)
	a.left = a.left[n:]
	return n, nil
}

// fill waits for some bytes, or the end.
func (a *awaited) fill() error {
	type piece struct {
		from io.ReadCloser
		n    int
		err  error
	}
	done := make(chan piece, 1)
	from, buf := a.from, a.buf
	if buf == nil {
		buf = make([]byte, 64<<10)
	}
	go func() {
		var err error
		if from == nil {
			if from, err = a.open(); err != nil {
				done <- piece{err: err}
				return
			}
		}
		n, err := from.Read(buf)
		done <- piece{from, n, err}
	}()
	select {
	case <-a.ctx.Done():
		return a.ctx.Err()
	case p := <-done:
		a.from, a.buf, a.left = p.from, buf, buf[:p.n]
		if p.n > 0 {
			return nil // an error comes again
		}
		if p.err != nil && p.from != nil {
			_ = p.from.Close() // it was only read
		}
		return p.err
	}
}
