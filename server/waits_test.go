package server_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"gcd/server"
)

// A shutdown that is out of time says what it waited for.
func TestShutdownSaysWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.WriteTimeout = time.Hour
		release := make(chan struct{})
		o.Backup = func(context.Context, io.Writer, string) error { <-release; return io.EOF }
		s, f := serveFake(t, o)
		for i := range 8000 { // an answer that no system keeps for its client
			f.setSum(fmt.Sprintf("%04d%s", i, long("t", 996)), 1)
		}
		for range 2 {
			c := dialUnread(t, s)
			send(t, c, []byte("KEYS *\r\n"))
		}
		eventually(t, "answers are not taken",
			func() bool { return strings.HasPrefix(s.Waits(), "2 connections that do not take their answers") })
		send(t, dialRESP(t, s, 2), []byte("GCD.BACKUP\r\n"))
		eventually(t, "a backup is under way", func() bool { return strings.HasSuffix(s.Waits(), "1 backup") })
		f.block()
		send(t, dialRESP(t, s, 2), []byte("INCR a\r\nINCR b\r\n"))
		eventually(t, "they are in flight", func() bool { return s.Stats().InFlight == 2 })
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		want := "it waited for 2 connections that do not take their answers, 2 requests that the disk has not " +
			"decided, 1 backup: context canceled"
		if err := s.Shutdown(ctx); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("Shutdown returned %v, want ... %s", err, want)
		}
		close(release)
		f.unblock()
		if err := await(t, "Serve returns", s.served); err != nil {
			t.Error(err)
		}
		s.served = nil
		eventually(t, "nothing is waited for", func() bool { return s.Waits() == "its own end" })
	})
}
