package clients

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"gcd/server"
	"gcd/store"
)

// patience bounds every wait for something that must happen; no test depends on how long it takes.
const patience = 60 * time.Second

// eachServer runs f on a server of its own, with a store on disk, for each dispatch.
func eachServer(t *testing.T, f func(t *testing.T, s *running)) {
	for _, dispatch := range []server.Dispatch{server.Pool, server.Goroutine} {
		t.Run(string(dispatch), func(t *testing.T) {
			t.Parallel()
			s := &running{dir: t.TempDir(), options: server.Options{TCP: "127.0.0.1:0", Dispatch: dispatch, Workers: 2}}
			s.start(t)
			t.Cleanup(func() { s.stop(t) })
			f(t, s)
		})
	}
}

// eachVersion is eachServer for clients that speak both versions of RESP.
func eachVersion(t *testing.T, f func(t *testing.T, s *running, version int)) {
	eachServer(t, func(t *testing.T, s *running) {
		for _, version := range []int{2, 3} {
			t.Run(fmt.Sprintf("RESP%d", version), func(t *testing.T) { f(t, s, version) })
		}
	})
}

// running is a server that can be started again over the same directory, then on another port.
type running struct {
	dir     string
	options server.Options

	store  *store.Store
	server *server.Server
	served chan error

	mu   sync.Mutex
	addr string
}

func (s *running) start(t *testing.T) {
	t.Helper()
	var err error
	if s.store, err = store.Open(s.dir, store.Options{SegmentSize: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if s.server, err = server.New(s.store, s.options); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Listen(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.addr = s.server.TCPAddr().String()
	s.mu.Unlock()
	s.served = make(chan error, 1)
	go func() { s.served <- s.server.Serve() }()
}

func (s *running) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-s.served; err != nil {
		t.Error(err)
	}
	if err := s.store.Close(); err != nil {
		t.Error(err)
	}
}

// dial connects to the server as it is now, whatever address a client was made with.
func (s *running) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	addr := s.addr
	s.mu.Unlock()
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// countAtOnce counts with several callers at once, each so often, and checks that the numbers are 1
// to their number, each once.
func countAtOnce(t *testing.T, callers, each int, incr func() (int64, error)) {
	t.Helper()
	var (
		mu  sync.Mutex
		got []int64
		wg  sync.WaitGroup
	)
	for range callers {
		wg.Go(func() {
			for range each {
				n, err := incr()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got = append(got, n)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	eachOnce(t, got, callers*each)
}

// eachOnce checks that the numbers are 1 … n, each once.
func eachOnce(t *testing.T, got []int64, n int) {
	t.Helper()
	seen := make(map[int64]bool)
	for _, v := range got {
		if v < 1 || v > int64(n) || seen[v] {
			t.Fatalf("%d is out of range or came twice", v)
		}
		seen[v] = true
	}
	if len(got) != n {
		t.Fatalf("%d numbers, want %d", len(got), n)
	}
}
