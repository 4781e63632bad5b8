package loadgen

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gcd/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a counter service in memory, made of raw sockets and bytes written out, that may lie.
type fake struct {
	t       *testing.T
	network Network
	addr    string
	// lie changes what is answered to the n-th request (from 1 on), which made a sum of its topic;
	// nil: nothing.
	lie func(n int, topic string, sum uint64) outcome

	mu   sync.Mutex
	n    int
	sums map[string]uint64
}

// outcome is what a fake does with a request.
type outcome struct {
	sum    uint64
	refuse bool   // answer that it was refused; it is not counted
	plain  string // RESP: say this and end the connection; it is not counted
	silent bool   // count and do not answer: TCP and RESP close
	twice  bool   // answer twice
	late   bool   // UDP: answer before the next answer
}

// runWithin is Run, which must end, if only because ctx does.
func runWithin(ctx context.Context, t *testing.T, o Options) (*Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, servertest.Patience)
	defer cancel()
	type ended struct {
		result *Result
		err    error
	}
	run := make(chan ended, 1)
	go func() {
		r, err := Run(ctx, o)
		run <- ended{r, err}
	}()
	select {
	case e := <-run:
		if ctx.Err() == context.DeadlineExceeded {
			t.Fatalf("the run had not ended by itself after %v: %+v, %v", servertest.Patience, e.result, e.err)
		}
		return e.result, e.err
	case <-time.After(2 * servertest.Patience):
		t.Fatalf("the run goes on, %v after its context has ended", servertest.Patience)
		panic("unreachable")
	}
}

// startFake starts a fake that ends with the test.
func startFake(t *testing.T, network Network, lie func(n int, topic string, sum uint64) outcome) *fake {
	t.Helper()
	f := &fake{t: t, network: network, lie: lie, sums: make(map[string]uint64)}
	switch network {
	case UDP:
		f.addr = f.serveUDP()
	case TCP:
		f.addr = servertest.TCP(t, f.serveTCP)
	default:
		f.addr = servertest.TCP(t, f.serveRESP)
	}
	return f
}

// count makes a count and says what to do with it.
func (f *fake) count(topic string) outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	sum := f.sums[topic] + 1
	o := outcome{sum: sum}
	if f.lie != nil {
		o = f.lie(f.n, topic, sum)
	}
	if !o.refuse && o.plain == "" {
		f.sums[topic] = sum
	}
	return o
}

// counted returns the sums.
func (f *fake) counted() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.sums)
}

// message is the protocol's answer.
func (o outcome) message() string {
	if o.refuse {
		return "\xff\x08"
	}
	return string(binary.BigEndian.AppendUint64([]byte{0x80}, o.sum))
}

func (f *fake) serveUDP() (addr string) {
	late := func() {}
	return servertest.UDP(f.t, func(r servertest.Datagram) {
		if r.Bytes[0] != 0 {
			f.t.Errorf("request % x", r.Bytes)
		}
		o := f.count(r.Bytes[1:])
		answer := func() { r.Reply(o.message()) }
		switch {
		case o.silent:
		case o.late:
			late = answer
		default:
			late()
			late = func() {}
			answer()
			if o.twice {
				answer()
			}
		}
	})
}

func (f *fake) serveTCP(conn *net.TCPConn) {
	buf := make([]byte, 1024)
	n, err := conn.Read(buf)
	if err != nil || n < 2 || buf[0] != 0 {
		return // one that gave up
	}
	o := f.count(string(buf[1:n]))
	if o.silent {
		return
	}
	io.WriteString(conn, o.message())
	if o.twice {
		io.WriteString(conn, o.message())
	}
}

func (f *fake) serveRESP(conn *net.TCPConn) {
	in := bufio.NewReader(conn)
	for {
		words, err := servertest.Command(in)
		if err != nil {
			return
		}
		switch {
		case len(words) == 1 && words[0] == "QUIT":
			io.WriteString(conn, "+OK\r\n")
			return
		case len(words) == 2 && words[0] == "INCR":
		case len(words) == 3 && words[0] == "INCRBY":
			by, _ := strconv.ParseUint(words[2], 10, 64)
			f.mu.Lock()
			f.sums[words[1]] += by - 1
			f.mu.Unlock()
		default:
			f.t.Errorf("command %q", words)
			return
		}
		o := f.count(words[1])
		reply := fmt.Sprintf(":%d\r\n", o.sum)
		switch {
		case o.silent:
			return
		case o.plain != "":
			io.WriteString(conn, o.plain)
			conn.CloseWrite()
			io.Copy(io.Discard, conn) // closing on unread bytes would destroy the answer
			return
		case o.refuse:
			reply = "-ERR too many requests\r\n"
		case o.twice:
			reply += reply
		}
		io.WriteString(conn, reply)
	}
}
