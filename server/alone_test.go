package server_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"gcd/server"
)

// alone runs the named test in a process of its own and returns false, or true if this is that
// process. It is for tests that look at the whole process.
func alone(t *testing.T) bool {
	t.Helper()
	const variable = "GCD_TEST_ALONE"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), variable+"="+t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the test failed in a process of its own: %v\n%s", err, out)
	}
	return false
}

// After a shutdown under load, neither a goroutine nor a file descriptor is left.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	ignore := goleak.IgnoreCurrent()
	for _, d := range dispatches {
		// The first time opens what the process keeps, such as the runtime's poller.
		underLoad(t, d)
		before := descriptors(t)
		underLoad(t, d)
		if after := descriptors(t); after != before {
			t.Errorf("%s: %d descriptors before, %d after", d, before, after)
		}
		goleak.VerifyNone(t, ignore)
	}
}

// underLoad shuts a server down while clients of every kind are at it.
func underLoad(t *testing.T, d server.Dispatch) {
	f := newFake()
	defer f.close()
	s, err := server.New(f, server.Options{Dispatch: d, TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()

	const clients = 8
	var wg sync.WaitGroup
	down := make(chan struct{}) // closed when no datagram will be answered any more
	for i := range clients {
		network := []string{"tcp", "resp"}[i%2]
		wg.Go(func() {
			for {
				if _, err := tryAsk(network, s.TCPAddr().String(), count("orders")); err != nil {
					return
				}
			}
		})
		talker := dial(t, "tcp", s.TCPAddr().String())
		wg.Go(func() { loadRESP(talker, "orders") })
		wg.Go(func() {
			c, err := net.Dial("udp", s.UDPAddr().String())
			if err != nil {
				return
			}
			wg.Go(func() { <-down; c.Close() })
			b := make([]byte, 16)
			for {
				if _, err := c.Write(count("orders")); err != nil {
					return
				}
				if _, err := c.Read(b); err != nil {
					return
				}
			}
		})
	}
	var silent []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", s.TCPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	eventually(t, "there is load", func() bool {
		st := s.Stats()
		return st.Answered > 5000 && st.Accepted > 200 && st.Datagrams > 200
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	close(down)
	wg.Wait()
	for _, c := range silent {
		c.Close()
	}
	if st := s.Stats(); st.Connections != 0 || st.InFlight != 0 {
		t.Errorf("%s: %d connections and %d requests are left", d, st.Connections, st.InFlight)
	}
}

// descriptors counts the process's open files, where the system can tell.
func descriptors(t *testing.T) int {
	if runtime.GOOS != "linux" {
		return 0
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
