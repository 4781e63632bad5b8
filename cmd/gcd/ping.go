package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"gcd/codec"
	"gcd/internal/cmdline"
	"gcd/internal/dial"
	"gcd/resp"
)

// maxPong bounds the line that a server answers PING with, in bytes.
const maxPong = 4096

func pingCommand() *cli.Command {
	return &cli.Command{
		Name:     "ping",
		Usage:    "Ask a server whether it can count",
		Category: categoryClient,
		Description: `Sends PING, of the protocol of Redis, and prints PONG when the server can count
just now. It counts nothing. The server needs --resp, which is on by default.

Exit code 1 and the reason: the server answers that it cannot, since it is loading, its disk is
full, or it has stopped after an error. Exit code 4: nobody answers.

Example:
  gcd ping --addr 10.0.0.7:5555 --timeout 1s`,
		Flags: append(reachFlags("The server's TCP address"),
			&cli.DurationFlag{Name: "timeout", Value: 5 * time.Second, Category: serverFlags,
				Usage: "The `TIME` to wait for the answer, connecting included."},
		),
		Action: func(c *cli.Context) error {
			if err := cmdline.TakesArgs(c, 0); err != nil {
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
			ctx, cancel := context.WithTimeout(c.Context, timeout)
			defer cancel()
			err = ping(ctx, way)
			if err == nil {
				return cmdline.PrintLine(c.App.Writer, "PONG")
			}
			var known *cmdline.Failure
			var refused *codec.RefusalError
			switch {
			case errors.As(err, &known):
				return err
			case errors.As(err, &refused): // the token
				return failedPing(refused.Code, err)
			case c.Context.Err() != nil:
				return cmdline.Fail(cmdline.ExitInterrupted, errors.New("interrupted"), "")
			case ctx.Err() != nil:
				err = fmt.Errorf("no answer from %s within %v", way.addr, timeout)
			}
			return cmdline.Fail(cmdline.ExitNotSent, err, hintServer)
		},
	}
}

// ping asks once. The error is a Failure if the server answered. Any other error is about the way
// to the server and back; ctx may have ended it.
func ping(ctx context.Context, way reach) error {
	conn, err := way.open(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write(resp.AppendCommand(nil, "PING")); err != nil {
		return err
	}
	said, err := bufio.NewReader(io.LimitReader(conn, maxPong)).ReadString('\n')
	reply, _, _ := resp.ParseReply([]byte(said)) // it has no kind if this is no reply, or not a whole one
	other, bad := codec.ParseReply([]byte(said))
	switch {
	case reply.Kind == '+' && string(reply.Text) == "PONG":
		return nil
	case reply.Kind == '-':
		return failedPing(codec.CodeOfRedisError(reply.Text), errors.New(printable(string(reply.Text))))
	case bad == nil && other.Op == codec.OpRefusal: // the server has no RESP, or did not read the PING
		hint := ""
		if other.Code == codec.CodeUnknownOpcode {
			hint = "does it run with --resp?"
		}
		err := fmt.Errorf("the server refused: %w", &codec.RefusalError{Code: other.Code, Text: other.Text})
		if no := denied(err, other.Code); no != nil {
			return no
		}
		return cmdline.Fail(cmdline.ExitFailure, err, hint)
	case dial.IsAlert([]byte(said)):
		return dial.ErrWantsTLS
	case said != "":
		return cmdline.Fail(cmdline.ExitFailure, fmt.Errorf("this is no answer of a gcd server over RESP: %.64q", said),
			"is --addr its TCP address, and does it run with --resp?")
	case err == io.EOF:
		return fmt.Errorf("%s closed the connection without an answer", way.addr)
	}
	return err
}

// failedPing is the failure of a PING, or of a token before it, that was answered with an error.
func failedPing(code codec.Code, err error) error {
	if no := denied(fmt.Errorf("the server refused: %w", err), code); no != nil {
		return no
	}
	return cmdline.Fail(cmdline.ExitFailure, fmt.Errorf("the server cannot count: %w", err), "")
}

// printable is a text without what a terminal would take for a command.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}
