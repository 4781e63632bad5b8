package client

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// A write that ends in the middle, with an error: what was wholly written is not sent again, nor is
// what was written in part, and all that follows goes over the next connection, in its order.
func TestRESPWriteErrorResendsNothing(t *testing.T) {
	t.Parallel()
	for try := range 50 {
		if writeError(t) || t.Failed() {
			return
		}
		t.Logf("try %d: the write did not end after a whole command", try)
	}
	t.Error("a write never ended after a whole command and before the last one")
}

// writeError has a write fail in the middle. It returns false if that was not after a whole
// command of those that were to be written at once.
func writeError(t *testing.T) bool {
	t.Helper()
	const calls = 12_000
	topic := func(i int) string { return fmt.Sprintf("%05d ", i) + strings.Repeat("x", 994) }
	size := (&command{Call: Call{topic: topic(0)}, n: 1}).size()
	atOnce := (maxBatch + size - 1) / size
	var connections atomic.Int32
	failed := make(chan struct{})
	received := make(chan int, 1) // whole commands over the first connection
	partly := make(chan bool, 1)
	addr := servertest.TCP(t, func(tcp *net.TCPConn) {
		tcp.SetReadBuffer(64 << 10)
		conn := &respConn{tcp, bufio.NewReader(tcp)}
		if !conn.greet() {
			return
		}
		if connections.Add(1) == 1 {
			receive(t, failed)
			b, _ := io.ReadAll(io.LimitReader(conn.from, 1<<30))
			received <- len(b) / size
			partly <- len(b)%size > 0
			return
		}
		for got, err := conn.command(); err == nil; got, err = conn.command() {
			var i int
			if _, err := fmt.Sscanf(got, "GCD.COUNT %d", &i); err != nil || !conn.send(bulk(uint64(i+1))) {
				return
			}
		}
	})
	c := respClient(t, addr, Options{MaxInFlight: calls})
	var all []*Call
	for i := range calls {
		all = append(all, c.CountAsync(t.Context(), topic(i)))
	}
	before := -1
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for { // until nothing more goes into the sockets; if it only takes long, that is another try
		_, inFlight := inQueues(c)
		if inFlight > 0 && inFlight == before {
			break
		}
		before = inFlight
		<-tick.C
	}
	c.pipeline.mu.Lock()
	conn := c.pipeline.conn
	c.pipeline.mu.Unlock()
	conn.SetWriteDeadline(longAgo())
	conn.(*net.TCPConn).CloseWrite()
	close(failed)
	whole := receive(t, received)
	lost := whole // calls whose outcome is unknown
	if receive(t, partly) {
		lost++
	}
	for i, call := range all {
		sum, err := outcome(t, call)
		if i < lost {
			wantClass(t, err, "unknown")
		} else {
			wantSum(t, sum, err, uint64(i+1))
		}
		if t.Failed() {
			t.Fatalf("call %d; %d commands were written, %d wholly", i, lost, whole)
		}
	}
	closeClient(t, c)
	return whole%atOnce > 0
}
