package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"gcd/codec"
	"gcd/internal/atomicfile"
	"gcd/internal/cmdline"
	"gcd/resp"
	"gcd/store"
	"gcd/store/snapshot"
	"gcd/tools"
)

// connectTimeout is how long connecting to the server may take.
const connectTimeout = 10 * time.Second

const (
	hintServer = "is the server running, is --addr its TCP address, and does it want TLS (--tls-ca)?"
	hintNoFile = "no file was made; what had its name is as it was"
	hintOutput = "what was written to stdout is not whole: do not keep it"
)

func backupCommand() *cli.Command {
	return &cli.Command{
		Name:      "backup",
		Usage:     "Take a checked backup from a running server",
		Category:  categoryServer,
		ArgsUsage: "FILE",
		Description: `Writes all counters of a running server, as they are at one moment, to FILE, or
to stdout if that is "-". The backup is checked to its last byte before FILE appears; a FILE that is
there is replaced. gcd-tool restores it.

The server gives backups to its own machine only, unless it runs with --allow-backup, and one at a
time. It needs --resp, which is on by default. docs/backup.md has all of it, restoring included.

Examples:
  gcd backup counters.ndjson
  gcd backup --addr 10.0.0.7:5555 "counters-$(date +%F).ndjson"
  gcd backup - | zstd > counters.ndjson.zst`,
		Flags: append(reachFlags("The server's TCP address"),
			&cli.DurationFlag{Name: "timeout", Value: 5 * time.Minute, Category: serverFlags,
				Usage: "Give up when nothing came for `TIME`. Before the first byte the server reads what its log " +
					"has after the snapshot."},
			&cli.GenericFlag{Name: "format", Value: cmdline.NewChoice(tools.FormatNDJSON, tools.FormatCSV),
				Category: backupFlags,
				Usage:    "Write the backup as `FORMAT`: ndjson or csv; gcd-tool restore takes both."},
			&cli.BoolFlag{Name: "quiet", Category: backupFlags,
				Usage: "Say nothing but errors."},
		),
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 || c.Args().First() == "" {
				return usagef("backup", `FILE is missing: gcd backup [FLAGS] FILE; "-" is stdout`)
			}
			if err := cmdline.TakesArgs(c, 1); err != nil {
				return err
			}
			timeout := c.Duration("timeout")
			if timeout <= 0 {
				return wrongFlag(c, "timeout", "is %v: it must be above 0", timeout)
			}
			way, err := readReach(c)
			if err != nil {
				return err
			}
			if file := c.Args().First(); file != "-" {
				if dir, err := store.EnclosingStore(file); err != nil {
					return cmdline.Fail(cmdline.ExitFailure, err, "make the directory for FILE first")
				} else if dir != "" {
					return usagef("backup", "FILE is within %s, the directory of a store: write it elsewhere", dir)
				}
			}
			said := io.Discard
			if !c.Bool("quiet") {
				said = c.App.ErrWriter
			}
			b := &backup{way: way, format: cmdline.Word(c, "format"), timeout: timeout, said: said,
				meter: cmdline.NewMeter(said, time.Now)}
			return b.run(c.Context, c.Args().First(), c.App.Writer)
		},
	}
}

const backupFlags = "The backup"

// backup is a backup that is under way.
type backup struct {
	way     reach
	format  string
	timeout time.Duration // without a byte
	said    io.Writer
	meter   *cmdline.Meter
	hint    string // what became of the file

	bytes  int64
	topics uint64
}

// run writes a backup to a file, or to stdout for the name "-".
func (b *backup) run(ctx context.Context, name string, stdout io.Writer) (err error) {
	defer func() { b.meter.End(err) }()
	b.hint = hintNoFile
	if name == "-" {
		b.hint = hintOutput
		_, err := b.take(ctx, b.meter.Data(stdout))
		return err
	}
	var index uint64
	err = atomicfile.Write(name, func(w io.Writer) (err error) {
		index, err = b.take(ctx, w)
		return err
	})
	var explained *cmdline.Failure
	switch {
	case errors.As(err, &explained):
		return err
	case errors.Is(err, atomicfile.ErrNotDurable):
		return cmdline.Fail(cmdline.ExitFailure, err,
			"the backup is whole; a power loss may bring back what had its name: take it again")
	case err != nil:
		return cmdline.Fail(cmdline.ExitFailure, err, hintNoFile+"; name a file in a directory that you may write to")
	}
	b.meter.End(nil)
	fmt.Fprintf(b.said, "%s: %s at index %d, %d bytes, checked\n", name, b.counted(), index, b.bytes)
	return nil
}

// counted is how many topics have come.
func (b *backup) counted() string { return cmdline.Plural(b.topics, "topic", "topics") }

// take reads a backup, checks it and writes it to w. It returns the index of the state that it
// holds.
func (b *backup) take(ctx context.Context, w io.Writer) (uint64, error) {
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := b.way.open(connecting)
	if err != nil {
		var refused *codec.RefusalError
		if ctx.Err() != nil || errors.As(err, &refused) { // the token
			return 0, b.explain(ctx, err)
		}
		return 0, cmdline.Fail(cmdline.ExitNotSent, err, hintServer)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	index, err := b.receive(&patientConn{conn, b.timeout}, w)
	return index, b.explain(ctx, err)
}

// receive asks the server for a backup and reads it. How many topics will come is not known, not
// even to the server.
func (b *backup) receive(conn io.ReadWriter, w io.Writer) (uint64, error) {
	b.meter.Report("waiting for the server", 0, 0, "topics") // which reads its log first
	if _, err := conn.Write(resp.AppendCommand(nil, "GCD.BACKUP", "FORMAT", b.format)); err != nil {
		return 0, err
	}
	content := resp.NewStreamReader(bufio.NewReaderSize(conn, 64<<10))
	header, _, err := tools.ReadDump(io.TeeReader(content, &tally{w, &b.bytes}),
		func(tools.DumpHeader, snapshot.Entry) error {
			if b.topics++; b.topics%4096 == 0 {
				b.meter.Report("backup", b.topics, 0, "topics")
			}
			return nil
		})
	return header.Index, err
}

// explain gives an error its exit code and a hint.
func (b *backup) explain(ctx context.Context, err error) error {
	var (
		refused  resp.ErrorReply
		token    *codec.RefusalError
		language resp.Error
		damage   *tools.DumpError
	)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return cmdline.Fail(cmdline.ExitInterrupted, fmt.Errorf("interrupted after %s", b.counted()), b.hint)
	case errors.As(err, &refused):
		return b.refused(codec.CodeOfRedisError([]byte(refused)), err)
	case errors.As(err, &token):
		return b.refused(token.Code, err)
	case errors.As(err, &language):
		return cmdline.Fail(cmdline.ExitFailure, fmt.Errorf("this is no answer of a gcd server over RESP: %w", err),
			"is --addr its TCP address, and does it run with --resp?")
	case errors.As(err, &damage):
		return cmdline.Fail(cmdline.ExitCorruption, fmt.Errorf("what came is no whole backup: %w", err), b.hint)
	case errors.Is(err, io.ErrUnexpectedEOF) && b.bytes == 0:
		return cmdline.Fail(cmdline.ExitFailure,
			errors.New("the server closed the connection without an answer of RESP"),
			"is --addr its TCP address, and does it run with --resp?")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return cmdline.Fail(cmdline.ExitFailure, fmt.Errorf("the server ended the backup after %s", b.counted()),
			b.hint+"; the server's log has the reason")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return cmdline.Fail(cmdline.ExitFailure, fmt.Errorf("nothing came for %v, after %s", b.timeout, b.counted()),
			b.hint)
	}
	return cmdline.Fail(cmdline.ExitFailure, err, b.hint)
}

// refused is the failure of a backup that the server refused.
func (b *backup) refused(code codec.Code, err error) error {
	err = fmt.Errorf("the server refused: %w", err)
	exit := cmdline.ExitFailure
	if denied(err, code) != nil {
		exit = cmdline.ExitNotPermitted
	}
	return cmdline.Fail(exit, err, b.hint)
}

// patientConn gives each read and each write so much time.
type patientConn struct {
	net.Conn
	timeout time.Duration
}

func (c *patientConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *patientConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// tally counts the bytes that are written.
type tally struct {
	io.Writer
	bytes *int64
}

func (t *tally) Write(b []byte) (int, error) {
	n, err := t.Writer.Write(b)
	*t.bytes += int64(n)
	return n, err
}
