package main

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"gcd/internal/cmdline"
	"gcd/loadgen"
)

// stuckLoad is how much TestStuckPipe does: so much in a test, and for so long by make stuckpipe.
type stuckLoad struct {
	requests uint64        // good ones, in each half; 0: as many as there is time for
	time     time.Duration // of each half
	bad      int           // requests that are refused, in each half
}

// TestStuckPipe puts the same load on a server twice, good requests beside bad ones: while somebody
// reads its log, and while nobody does and the pipe is full. GCD_STUCKPIPE is how long each half
// takes; then the second has to be at least 0.9 times as fast as the first.
func TestStuckPipe(t *testing.T) {
	t.Parallel()
	load := stuckLoad{requests: 500, bad: 100}
	long := os.Getenv("GCD_STUCKPIPE")
	if long != "" {
		d, err := time.ParseDuration(long)
		if err != nil {
			t.Fatalf("GCD_STUCKPIPE: %v", err)
		}
		load = stuckLoad{time: d, bad: 10_000}
	}
	s := startStuck(t, "--data", t.TempDir())
	enough := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case <-enough:
				return
			default:
				s.drain()
			}
		}
	})
	before := s.load("before", load)
	close(enough)
	ended(t, "reading the log", &reading)
	s.fill()
	stuck := s.load("stuck", load)

	began := time.Now()
	s.signal(syscall.SIGTERM)
	s.ends(cmdline.ExitOK)
	if long == "" {
		return
	}
	took := time.Since(began)
	fmt.Printf("log read: %.0f requests/s; pipe full: %.0f requests/s, %.2f times as many; then SIGTERM took %v\n",
		before, stuck, stuck/before, took.Round(time.Millisecond))
	if stuck < 0.9*before {
		t.Error("a full pipe makes the server slower")
	}
	if took > 10*time.Second {
		t.Error("the stop takes longer than --shutdown-timeout")
	}
}

// load puts the load on, with all numbers checked, and returns how many good requests were answered
// in a second.
func (s *stuckServer) load(prefix string, load stuckLoad) float64 {
	s.t.Helper()
	var bad sync.WaitGroup
	bad.Go(func() { s.sendBad(load) })
	defer bad.Wait()
	r, err := loadgen.Run(s.t.Context(), loadgen.Options{
		Network: loadgen.RESP, Addr: s.tcp, Clients: 16, Topics: 100, Prefix: prefix, Verify: true,
		Duration: load.time, Requests: load.requests, Timeout: hang,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if e := r.Errors; !r.Verified.OK() || e.Refused+e.NotSent+e.Unknown > 0 {
		s.t.Errorf("the load saw the errors %+v and found %+v", e, r.Verified)
	}
	return r.Rate()
}

// sendBad sends bad datagrams, spread over the time that there is. Of most the server keeps silent.
func (s *stuckServer) sendBad(load stuckLoad) {
	conn, err := net.Dial("udp", s.udp)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	pace := time.NewTicker(load.time/time.Duration(load.bad) + time.Microsecond)
	defer pace.Stop()
	for range load.bad {
		<-pace.C
		if _, err := conn.Write([]byte{0, 0xff}); err != nil {
			s.t.Error(err)
			return
		}
	}
}
