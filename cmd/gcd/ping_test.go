package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"gcd/internal/cmdline"
	"gcd/internal/servertest"
	"gcd/server"
	"gcd/store"
	"gcd/store/core"
)

// answerWith answers each connection with a text, when it has heard something, and returns where.
func answerWith(t *testing.T, text string) string {
	t.Helper()
	return servertest.TCP(t, func(conn *net.TCPConn) {
		_, _ = io.ReadFull(conn, make([]byte, len("*1\r\n$4\r\nPING\r\n")))
		_, _ = io.WriteString(conn, text) // who asked may have gone
	})
}

// TestPing: what a server answers decides the exit code, and is told in words that a terminal
// stands.
func TestPing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer string
		code   int
		says   string
	}{
		{"+PONG\r\n", cmdline.ExitOK, ""},
		{"+PONG\r\nand more", cmdline.ExitOK, ""},
		{"-MISCONF no room for the log: the disk is full\r\n", cmdline.ExitFailure,
			"gcd: the server cannot count: MISCONF no room for the log: the disk is full\n"},
		{"-LOADING the counters\r\n", cmdline.ExitFailure, "gcd: the server cannot count: LOADING the counters\n"},
		{"-\x1b[2Jgone\r\n", cmdline.ExitFailure, "gcd: the server cannot count: [2Jgone\n"},
		{"-MISCONF cut o", cmdline.ExitFailure, "gcd: this is no answer of a gcd server over RESP: "},
		{"+PONG", cmdline.ExitFailure, "gcd: this is no answer of a gcd server over RESP: "},
		{"HTTP/1.1 400 Bad Request\r\n", cmdline.ExitFailure, "gcd: this is no answer of a gcd server over RESP: "},
		{strings.Repeat("x", 100_000), cmdline.ExitFailure, "gcd: this is no answer of a gcd server over RESP: "},
		{"\xff\x02the first byte is the opcode", cmdline.ExitFailure,
			"gcd: the server refused: unknown opcode (code 2): the first byte is the opcode\n" +
				"hint: does it run with --resp?\n"},
		{"\xff\x09\x1b[2Jcome\nback", cmdline.ExitFailure, "gcd: the server refused: too many connections (code 9)\n"},
		{"\xff", cmdline.ExitFailure, "gcd: this is no answer of a gcd server over RESP: "},
		{"", cmdline.ExitNotSent, "closed the connection without an answer\n"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"gcd", "ping", "--timeout", "1m", "--addr", answerWith(t, test.answer)},
			&stdout, &stderr)
		want := ""
		if test.code == cmdline.ExitOK {
			want = "PONG\n"
		}
		if code != test.code || stdout.String() != want || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("%.20q: code %d, %q, %q; want %d, %q", test.answer, code, stdout.String(), stderr.String(),
				test.code, test.says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code := run(ctx, []string{"gcd", "ping", "--addr", answerWith(t, "")}, io.Discard, io.Discard)
	if code != cmdline.ExitInterrupted {
		t.Errorf("interrupted: code %d, want %d", code, cmdline.ExitInterrupted)
	}
}

// cannotCount is a store that counts nothing, for a reason.
type cannotCount struct {
	*store.Store
	reason error
}

func (c cannotCount) Refusing() error { return c.reason }

// TestPingWhatCannotCount: a server says why it cannot count.
func TestPingWhatCannotCount(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		reason error
		says   string
	}{
		{core.ErrLogFull, "gcd: the server cannot count: MISCONF no room for the log"},
		{core.ErrFailed, "gcd: the server cannot count: MISCONF stopped after a disk error"},
	} {
		counters, err := store.Open("", store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		srv, err := server.New(cannotCount{counters, test.reason}, server.Options{TCP: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Listen(); err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.Serve() }()
		var stderr bytes.Buffer
		code := run(t.Context(), []string{"gcd", "ping", "--timeout", "1m", "--addr", srv.TCPAddr().String()},
			io.Discard, &stderr)
		if code != cmdline.ExitFailure || !strings.HasPrefix(stderr.String(), test.says) {
			t.Errorf("code %d, %q, want %q", code, stderr.String(), test.says)
		}
		if err := errors.Join(srv.Shutdown(t.Context()), receive(t, "the end of Serve", served),
			counters.Close()); err != nil {
			t.Error(err)
		}
	}
}
