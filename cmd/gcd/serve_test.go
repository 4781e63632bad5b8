package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcd/internal/cmdline"

	"github.com/hashicorp/go-hclog"

	"gcd/server"
	"gcd/store"
)

// newProcess makes a process over a store in memory, as serve does, that does not serve yet.
func newProcess(t *testing.T, timeout time.Duration) *process {
	t.Helper()
	counters, err := store.Open("", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { counters.Close() })
	srv, err := server.New(counters, server.Options{TCP: "127.0.0.1:0", Dispatch: server.Goroutine})
	if err != nil {
		t.Fatal(err)
	}
	return &process{
		settings: settings{shutdownTimeout: timeout, log: hclog.NewNullLogger()},
		counters: counters, server: srv, served: make(chan struct{}),
	}
}

// never is a stop that does not return while the test runs, as if the disk hung.
func never(t *testing.T) func(time.Duration) error {
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	return func(time.Duration) error {
		<-ended
		return nil
	}
}

func TestSuperviseSecondSignal(t *testing.T) {
	t.Parallel()
	const interrupted = "gcd: interrupted during shutdown\n"
	for dir, want := range map[string]string{
		"gcd-data": interrupted + "hint: what was acknowledged is in the log: the next start reads it\n",
		"":         interrupted, // nothing is in a log
	} {
		p := newProcess(t, time.Hour)
		p.dir = dir
		signals := make(chan os.Signal, 2)
		signals <- syscall.SIGTERM
		signals <- syscall.SIGTERM
		err := p.supervise(t.Context(), signals, never(t))
		var said strings.Builder
		if code := report(&said, err); code != cmdline.ExitInterrupted {
			t.Errorf("exit code %d after the second signal, want %d", code, cmdline.ExitInterrupted)
		}
		if said.String() != want {
			t.Errorf("with --data %q it says %q, want %q", dir, said.String(), want)
		}
	}
}

// A stop that comes to no end says what it waits for: the disk is to blame only when the server has
// ended.
func TestSuperviseHung(t *testing.T) {
	t.Parallel()
	for want, arrange := range map[string]func(p *process){
		"gcd: the disk did not let the store close in time\n":              func(p *process) { close(p.served) },
		"gcd: the server did not stop in time: it waits for its own end\n": func(*process) {},
	} {
		p := newProcess(t, time.Millisecond)
		ctx, end := context.WithCancel(t.Context())
		end()
		arrange(p)
		err := p.supervise(ctx, nil, never(t))
		var said strings.Builder
		if code := report(&said, err); code != cmdline.ExitFailure || said.String() != want {
			t.Errorf("exit code %d and %q, want %d and %q", code, said.String(), cmdline.ExitFailure, want)
		}
	}
}

func TestSuperviseReasons(t *testing.T) {
	t.Parallel()
	broken := errors.New("no more sockets")
	ended, end := context.WithCancel(t.Context())
	end()
	for _, test := range []struct {
		name    string
		ctx     context.Context
		arrange func(p *process)
		stopErr error
		want    int
		timeout time.Duration // that stop is given
	}{
		{"context", ended, func(*process) {}, nil, cmdline.ExitOK, time.Hour},
		{"context, and the store fails to close", ended, func(*process) {}, errors.New("EIO"), cmdline.ExitFailure,
			time.Hour},
		{"serving ended", t.Context(), func(p *process) { p.serveErr = broken; close(p.served) }, nil,
			cmdline.ExitFailure, time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProcess(t, time.Hour)
			test.arrange(p)
			var given time.Duration
			err := p.supervise(test.ctx, nil, func(timeout time.Duration) error {
				given = timeout
				return test.stopErr
			})
			if code := report(t.Output(), err); code != test.want {
				t.Errorf("exit code %d, want %d", code, test.want)
			}
			if given != test.timeout {
				t.Errorf("stop was given %v, want %v", given, test.timeout)
			}
		})
	}
}

// TestProgress: nothing for a quick recovery, then a line now and then.
func TestProgress(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := &progressLog{log: hclog.New(&hclog.LoggerOptions{Output: &log}), next: time.Now().Add(time.Hour)}
	p.report(store.Progress{Phase: "log", Done: 1, Total: 3})
	if log.Len() > 0 {
		t.Errorf("logged before it was due: %s", log.String())
	}
	p.next = time.Time{}
	p.report(store.Progress{Phase: "log", Done: 2, Total: 3})
	p.report(store.Progress{Phase: "log", Done: 3, Total: 3})
	if got := log.String(); strings.Count(got, "recovering: phase=log") != 1 || !strings.Contains(got, "done=2 of=3") {
		t.Errorf("want one line for 2 of 3, got %s", got)
	}
}

// TestInterruptedRecovery: a signal ends a start at once, with its own exit code.
func TestInterruptedRecovery(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	_, err := await(ended, nil, func() (*store.Store, error) {
		<-t.Context().Done() // longer than anybody would wait
		return nil, nil
	})
	if code := report(t.Output(), err); code != cmdline.ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, cmdline.ExitInterrupted)
	}
}

// TestTakenAddress: a start whose address is taken gives the directory back, and has made nothing
// in it.
func TestTakenAddress(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := settings{
		dir: t.TempDir(), store: store.Options{SegmentSize: 64 << 10},
		server: server.Options{TCP: taken.Addr().String()},
		log:    hclog.NewNullLogger(),
	}
	srv, err := newServer(s)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openAll(t.Context(), s, nil, srv)
	if code := report(t.Output(), err); code != cmdline.ExitFailure {
		t.Errorf("exit code %d, want %d", code, cmdline.ExitFailure)
	}
	counters, err := store.Open(s.dir, s.store)
	if err != nil {
		t.Fatal(err)
	}
	defer counters.Close()
	if r := counters.Recovery(); !r.Created {
		t.Errorf("the start that found no address left a store: %+v", r)
	}
}
