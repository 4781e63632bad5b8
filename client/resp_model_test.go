package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// putBack leaves exactly those commands to the connection of which it took a byte, whatever the
// number of bytes, and never lets a call be sent again that has ended.
func TestRESPPutBack(t *testing.T) {
	t.Parallel()
	opts := Options{}.over("resp")
	topics := []string{"", "orders", strings.Repeat("x", 100), "given up", "café"}
	counts := []uint64{1, 1, 12, 1, 1<<64 - 1}
	for unsent := 0; ; unsent++ {
		p := newPipeline("127.0.0.1:1", opts)
		p.started = true // there is no connection but this one
		p.conn = connected(t)
		var commands []*command
		var ends []int // in the bytes to be written
		var bytes []byte
		for i, topic := range topics {
			cmd := p.begin(t.Context(), 0, topic, counts[i], true)
			commands = append(commands, cmd)
			bytes = cmd.append(bytes)
			ends = append(ends, len(bytes))
		}
		if unsent > len(bytes) {
			p.end(ErrClosed)
			break
		}
		late := p.begin(t.Context(), 0, "late", 1, true)
		p.most = len(topics)
		if batch := p.take(nil); len(batch) != len(topics) || batch[0] != commands[0] {
			t.Fatalf("%d commands were taken", len(batch))
		}
		p.abandon(commands[3])
		p.putBack(unsent)

		begin, left := 0, 0
		for i, cmd := range commands {
			want := inFlight
			if i == 3 {
				want = over
			} else if begin >= len(bytes)-unsent {
				want = waiting
				left++
			}
			if cmd.stage != want {
				t.Errorf("%d of %d bytes unsent: command %d of bytes %d to %d is in stage %d, want %d",
					unsent, len(bytes), i, begin, ends[i], cmd.stage, want)
			}
			begin = ends[i]
		}
		if p.waiting.len() != left+1 {
			t.Errorf("%d commands wait, want %d", p.waiting.len(), left+1)
		}
		// With nothing in flight there is no answer that would end the connection.
		if closed := p.conn.SetDeadline(time.Time{}) != nil; closed != (p.inFlight.len() == 0) {
			t.Errorf("%d of %d bytes unsent: the connection is closed: %v", unsent, len(bytes), closed)
		}
		last := -1 // in their order, and before what came later
		for p.waiting.len() > 1 {
			for i, cmd := range commands {
				if cmd == p.waiting.oldest() && i <= last {
					t.Errorf("command %d waits after command %d", i, last)
				} else if cmd == p.waiting.oldest() {
					last = i
				}
			}
			p.waiting.pop()
		}
		if p.waiting.pop() != late {
			t.Error("what came later does not wait last")
		}
		p.end(ErrClosed)
	}
}

func connected(t *testing.T) *net.TCPConn {
	conn, err := net.Dial("tcp", servertest.TCP(t, func(conn *net.TCPConn) { io.Copy(io.Discard, conn) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// A server that loses connections in every way, and writes down what it did: what was acknowledged
// was done once with this value, what was not sent or refused was not done, and nothing was done
// twice.
func TestRESPModel(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	server := &unreliable{seed: seed, done: make(map[string][]uint64)}
	var calls []*Call
	t.Run("calls", func(t *testing.T) { // at its end the server has, too
		addr := respServer(t, server.serve)
		c := respClient(t, addr, Options{MaxInFlight: 200})
		c.pipeline.backOff = func(context.Context, time.Time, time.Duration) {}
		calls = manyCalls(t, c, seed)
	})

	outcomes := make(map[string]int) // class → calls
	for _, call := range calls {
		value, err := outcome(t, call)
		class, done := classOf(err), server.done[call.topic]
		outcomes[class]++
		switch {
		case len(done) > 1:
			t.Errorf("done %d times, as %d", len(done), done)
		case class == "" && (len(done) == 0 || done[0] != value):
			t.Errorf("acknowledged with %d, done with %d", value, done)
		case (class == "refused" || class == "not sent") && len(done) > 0:
			t.Errorf("done, although %v", err)
		}
	}
	t.Logf("%d connections, outcomes %v", server.connections, outcomes)
	for _, class := range []string{"", "refused", "not sent", "unknown"} {
		if outcomes[class] == 0 {
			t.Errorf("no call ended as %q", class)
		}
	}
}

// manyCalls makes calls with topics of their own, some of which are given up, and returns them when
// all have ended.
func manyCalls(t *testing.T, c *Client, seed uint64) []*Call {
	const callers, calls, ahead = 8, 1500, 50
	results := make([][]*Call, callers)
	var running sync.WaitGroup
	for caller := range callers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1<<32+uint64(caller)))
			for i := range calls {
				ctx, cancel := context.WithCancel(patient(t))
				defer cancel()
				topic := strings.Repeat("x", random.IntN(1+random.IntN(20_000))) + fmt.Sprintf("/%d/%d", caller, i)
				results[caller] = append(results[caller], c.CountAsync(ctx, topic))
				if random.IntN(20) == 0 {
					cancel()
				}
				if i >= ahead {
					outcome(t, results[caller][i-ahead])
				}
			}
			for _, call := range results[caller] {
				outcome(t, call)
			}
		})
	}
	ended(t, &running)
	return slices.Concat(results...)
}

// unreliable is a server that ends each connection after a while.
type unreliable struct {
	seed uint64

	mu          sync.Mutex
	connections uint64
	sum         uint64
	done        map[string][]uint64 // topic → values
}

func (s *unreliable) serve(conn *respConn) {
	s.mu.Lock()
	s.connections++
	random := rand.New(rand.NewPCG(s.seed, s.connections))
	s.mu.Unlock()
	var answers strings.Builder
	for life := random.IntN(400); life > 0; life-- {
		words, err := conn.command()
		if err != nil {
			return
		}
		if topic := strings.Fields(words)[1]; strings.HasSuffix(topic, "7") { // one of ten
			answers.WriteString("-BUSY come back later\r\n")
		} else {
			answers.WriteString(bulk(s.count(topic)))
		}
		if random.IntN(8) == 0 || conn.from.Buffered() == 0 { // or the client may wait for what is held back
			conn.send(answers.String())
			answers.Reset()
		}
	}
	rest := answers.String()
	conn.send(rest[:random.IntN(len(rest)+1)])
	switch random.IntN(3) {
	case 0:
		conn.SetLinger(0) // what is not read yet, and perhaps what was answered, is lost
	case 1:
		conn.send("$garbage\r\n")
	}
}

func (s *unreliable) count(topic string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum++
	s.done[topic] = append(s.done[topic], s.sum)
	return s.sum
}

// classOf is the class of a call's error, "" for none.
func classOf(err error) string {
	var refusal *RefusedError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refusal):
		return "refused"
	case errors.Is(err, ErrNotSent):
		return "not sent"
	case errors.Is(err, ErrUnknown):
		return "unknown"
	}
	return "none"
}
