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
)

// TestInterruptedCount interrupts a count whose request has arrived and is not answered.
func TestInterruptedCount(t *testing.T) {
	t.Parallel()
	for network, request := range map[string]string{
		"tcp": "\x00orders", "resp": "*2\r\n$9\r\nGCD.COUNT\r\n$6\r\norders\r\n",
	} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			interruptedCount(t, network, request)
		})
	}
}

func interruptedCount(t *testing.T, network, request string) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		request := request
		if network == "resp" { // which begins with a PING
			request = "*1\r\n$4\r\nPING\r\n" + request
			io.WriteString(conn, "+PONG\r\n")
		}
		if _, err := io.ReadFull(conn, make([]byte, len(request))); err == nil {
			interrupt()
		}
		io.Copy(io.Discard, conn) // until the client has gone
	})

	var stdout, stderr bytes.Buffer
	args := []string{"gcd", "count", "orders", "--addr", addr, "--timeout", "1m",
		"--network", network}
	if code := run(ctx, args, &stdout, &stderr); code != cmdline.ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, cmdline.ExitInterrupted)
	}
	if stdout.Len() > 0 || !strings.Contains(stderr.String(), "hint: "+hintUnknown) {
		t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// TestCountedButNotPrinted: a number that was taken and cannot be printed is not lost in silence.
func TestCountedButNotPrinted(t *testing.T) {
	t.Parallel()
	tcp, _ := serveFor(t, server.Goroutine)
	var stderr bytes.Buffer
	args := []string{"gcd", "count", "orders", "--addr", tcp}
	if code := run(t.Context(), args, brokenPipe{}, &stderr); code != cmdline.ExitFailure {
		t.Errorf("exit code %d, want %d", code, cmdline.ExitFailure)
	}
	if got := stderr.String(); !strings.Contains(got, `could not print "1": broken pipe`) {
		t.Errorf("stderr is %q", got)
	}
}
