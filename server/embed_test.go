package server_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gcd/server"
	"gcd/store"
)

// service is a server over a store in a directory, or in memory, as a program puts them together.
// end stops it.
func service(t *testing.T, dir string, so store.Options, o server.Options) (s *server.Server, end func()) {
	t.Helper()
	o.TCP, o.UDP = "127.0.0.1:0", "127.0.0.1:0"
	s, err := server.New(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	so.Locked = s.AnswerLoading
	counters, err := store.Open(dir, so)
	if err != nil {
		t.Fatal(err)
	}
	s.Use(counters)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	return s, func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, server.ErrClosed) {
			t.Error(err)
		}
		if err := counters.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The service with its own store: what it acknowledged is there after a restart.
func TestServiceAfterRestarts(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, network string, o server.Options) {
		dir := t.TempDir()
		for run := range 3 {
			s, end := service(t, dir, store.Options{SegmentSize: 64 << 10}, o)
			addr := s.TCPAddr().String()
			if network == "udp" {
				addr = s.UDPAddr().String()
			}
			for n := range 5 {
				wantAnswer(t, ask(t, network, addr, count("orders")), 128, byte(5*run+n+1))
			}
			wantAnswer(t, ask(t, network, addr, count("reset")), 128, 1)
			wantAnswer(t, ask(t, network, addr, reset("reset")), 129)
			wantRefusal(t, network, ask(t, network, addr, count("\xff")), 4)
			end()
		}
	})
}

// What is refused at the door never reaches the log.
func TestRefusalsLeaveTheLogAlone(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, network string, o server.Options) {
		o.NoRESP = network != "resp"
		st, err := store.Open(t.TempDir(), store.Options{SegmentSize: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		s := serve(t, st, o, nil)
		wantAnswer(t, ask(t, network, s.addr(network), count("orders")), 128, 1)
		before := st.Stats()
		for _, bad := range []string{"\x02orders", "\x00\xff", "\x01\xc3", "GET / HTTP/1.1\r\n", "\x7f"} {
			got := ask(t, network, s.addr(network), []byte(bad))
			if len(got) < 2 || got[0] != 255 {
				t.Errorf("%q was answered % x", bad, got)
			}
		}
		after := st.Stats()
		if after.DiskFree = before.DiskFree; after != before { // others write to the disk
			t.Errorf("the store did %+v, and before it had done %+v", after, before)
		}
		if v, _ := st.Get("orders"); v.Sum != 1 || st.Len() != 1 {
			t.Errorf("the sum is %d among %d topics", v.Sum, st.Len())
		}
		s.stop(t)
	})
}

// Counting goes on over every door while snapshots are written, and the next start is where the
// last answers were.
func TestSnapshotsUnderLoad(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, network string, o server.Options) {
		dir, so := t.TempDir(), store.Options{SegmentSize: 64 << 10, SnapshotBytes: 4 << 10}
		st, err := store.Open(dir, so)
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, st, o, nil)
		const clients = 6
		var (
			wg     sync.WaitGroup
			last   [clients]uint64 // that each was answered
			topic  = func(i int) string { return strings.Repeat("t", 200) + string(rune('0'+i)) }
			before = st.Stats().Snapshots
		)
		for i := range clients {
			wg.Go(func() {
				for st.Stats().Snapshots < before+3 {
					got, err := tryAsk(network, s.addr(network), count(topic(i)))
					if n := sum(got); err != nil || n != last[i]+1 {
						t.Errorf("counted %d after %d (%v)", n, last[i], err)
						return
					}
					last[i]++
				}
			})
		}
		wg.Wait()
		s.stop(t)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		st, err = store.Open(dir, so)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		for i, want := range last {
			if v, _ := st.Get(topic(i)); v.Sum != want {
				t.Errorf("topic %d is at %d, want %d", i, v.Sum, want)
			}
		}
	})
}

func TestServiceInMemory(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		s, end := service(t, "", store.Options{MaxTopics: 2, MaxTopicLen: 10}, o)
		defer end()
		addr := s.TCPAddr().String()
		wantAnswer(t, ask(t, network, addr, count("a")), 128, 1)
		wantAnswer(t, ask(t, network, addr, count("b")), 128, 1)
		wantRefusal(t, network, ask(t, network, addr, count("c")), 6)
		wantRefusal(t, network, ask(t, network, addr, reset("c")), 6)
		wantRefusal(t, network, ask(t, network, addr, count(strings.Repeat("x", 11))), 5)
		wantAnswer(t, ask(t, network, addr, count("a")), 128, 2)
	})
}

// TestServiceWithoutDoors: a store whose doors cannot be opened is not open, nor locked.
func TestServiceWithoutDoors(t *testing.T) {
	t.Parallel()
	taken, _ := serveFake(t, server.Options{})
	data := t.TempDir()
	for range 2 {
		s, err := server.New(nil, server.Options{TCP: taken.addr("tcp")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(data, store.Options{Locked: s.AnswerLoading}); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("on a port that is taken: %v", err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := server.New(nil, server.Options{TCP: "127.0.0.1:0", Dispatch: "none"}); err == nil {
		t.Error("an unknown dispatch was taken")
	}
}
