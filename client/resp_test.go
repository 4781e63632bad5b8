package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"gcd/internal/servertest"
)

func TestRESPBytes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65_535)
	for _, test := range []struct {
		name, want, answer string
		call               func(context.Context, *Client) (uint64, error)
	}{
		{"count", "*2\r\n$9\r\nGCD.COUNT\r\n$6\r\norders\r\n", ":7\r\n", countTopic("orders")},
		{"count the empty topic", "*2\r\n$9\r\nGCD.COUNT\r\n$0\r\n\r\n", ":7\r\n", countTopic("")},
		{"count a topic of lines", "*2\r\n$9\r\nGCD.COUNT\r\n$10\r\ncafé\r\n$1\r\r\n", ":7\r\n",
			countTopic("café\r\n$1\r")},
		{"count the longest topic", "*2\r\n$9\r\nGCD.COUNT\r\n$65535\r\n" + long + "\r\n", ":7\r\n", countTopic(long)},
		{"count ten", "*3\r\n$9\r\nGCD.COUNT\r\n$6\r\norders\r\n$2\r\n10\r\n", ":16\r\n",
			func(ctx context.Context, c *Client) (uint64, error) {
				first, last, err := c.CountN(ctx, "orders", 10)
				if last != 16 {
					t.Errorf("the last is %d, want 16", last)
				}
				return first, err
			}},
		{"count one as a range", "*2\r\n$9\r\nGCD.COUNT\r\n$6\r\norders\r\n", ":7\r\n",
			func(ctx context.Context, c *Client) (uint64, error) {
				_, last, err := c.CountN(ctx, "orders", 1)
				return last, err
			}},
		{"reset", "*2\r\n$9\r\nGCD.RESET\r\n$6\r\norders\r\n", "+OK\r\n",
			func(ctx context.Context, c *Client) (uint64, error) {
				return 7, c.Reset(ctx, "orders")
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addr := servertest.TCP(t, func(conn *net.TCPConn) {
				for _, want := range []string{ping, test.want} {
					got := make([]byte, len(want))
					if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
						t.Errorf("the server got %.80q, %v, want %.80q", got, err, want)
					}
					if want == ping {
						io.WriteString(conn, "+PONG\r\n")
					} else {
						io.WriteString(conn, test.answer)
					}
				}
				if n, err := conn.Read(make([]byte, 1)); n > 0 || err != io.EOF {
					t.Errorf("%d bytes more, %v", n, err)
				}
			})
			c := respClient(t, addr, Options{})
			sum, err := test.call(t.Context(), c)
			wantSum(t, sum, err, 7)
		})
	}
}

func countTopic(topic string) func(context.Context, *Client) (uint64, error) {
	return func(ctx context.Context, c *Client) (uint64, error) { return c.Count(ctx, topic) }
}

// Each call gets the answer to its own command, however the answers are cut into pieces.
func TestRESPOrder(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const calls = 3000
	addr := respServer(t, func(conn *respConn) {
		var answers strings.Builder
		for i := range calls {
			switch {
			case i%7 == 3:
				conn.expect(t, fmt.Sprint("GCD.RESET ", i))
				answers.WriteString("+OK\r\n")
			case i%7 == 5:
				conn.expect(t, fmt.Sprint("GCD.COUNT ", i))
				fmt.Fprintf(&answers, "-ERR number %d\r\n", i)
			case i%2 == 0:
				conn.expect(t, fmt.Sprint("GCD.COUNT ", i))
				answers.WriteString(bulk(uint64(i + 1)))
			default:
				conn.expect(t, fmt.Sprint("GCD.COUNT ", i))
				fmt.Fprintf(&answers, ":%d\r\n", i+1)
			}
			// Some answers at once, some together, in pieces.
			if i == calls-1 || random.IntN(50) == 0 {
				for rest := answers.String(); rest != ""; {
					n := min(len(rest), 1+random.IntN(1+random.IntN(200)))
					conn.send(rest[:n])
					rest = rest[n:]
				}
				answers.Reset()
			}
		}
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{})
	var all []*Call
	for i := range calls {
		if i%7 == 3 {
			all = append(all, c.ResetAsync(t.Context(), fmt.Sprint(i)))
		} else {
			all = append(all, c.CountAsync(t.Context(), fmt.Sprint(i)))
		}
	}
	for i, call := range all {
		sum, err := outcome(t, call)
		switch {
		case i%7 == 3:
			wantSum(t, sum, err, 0)
		case i%7 == 5:
			wantClass(t, err, "refused")
			if !strings.HasSuffix(fmt.Sprint(err), fmt.Sprint("number ", i)) {
				t.Errorf("call %d: %v", i, err)
			}
		default:
			wantSum(t, sum, err, uint64(i+1))
		}
	}
}

// Not parallel, for it counts goroutines.
func TestRESPThousandsInFlight(t *testing.T) {
	const calls = 10_000
	all, answer := make(chan struct{}), make(chan struct{})
	addr := respServer(t, func(conn *respConn) {
		for i := range calls {
			conn.expect(t, fmt.Sprint("GCD.COUNT ", i))
		}
		close(all)
		receive(t, answer)
		var answers strings.Builder
		for i := range calls {
			answers.WriteString(bulk(uint64(i + 1)))
		}
		conn.send(answers.String())
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{})
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	var inFlight []*Call
	for i := range calls {
		inFlight = append(inFlight, c.CountAsync(ctx, fmt.Sprint(i)))
	}
	receive(t, all)
	// The client's two, and the server's one for the connection.
	if n := runtime.NumGoroutine() - before; n > 3 {
		t.Errorf("%d goroutines, want at most 3", n)
	}
	if waiting, inFlight := inQueues(c); waiting != 0 || inFlight != calls {
		t.Errorf("%d wait and %d are in flight", waiting, inFlight)
	}
	close(answer)
	for i, call := range inFlight {
		sum, err := outcome(t, call)
		wantSum(t, sum, err, uint64(i+1))
	}
	c.pipeline.mu.Lock()
	defer c.pipeline.mu.Unlock()
	if len(c.pipeline.cancellations) != 0 {
		t.Error("a context is watched for calls that are over")
	}
}

func TestRESPMaxInFlight(t *testing.T) {
	t.Parallel()
	const calls, most = 50, 3
	three, goOn := make(chan struct{}), make(chan struct{})
	addr := respServer(t, func(conn *respConn) {
		conn.expect(t, "GCD.COUNT 0", "GCD.COUNT 1", "GCD.COUNT 2")
		close(three)
		receive(t, goOn)
		for i := range calls {
			conn.send(bulk(uint64(i + 1)))
			if i+most < calls {
				conn.expect(t, fmt.Sprint("GCD.COUNT ", i+most))
			}
		}
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{MaxInFlight: most})
	var all []*Call
	for i := range calls {
		all = append(all, c.CountAsync(t.Context(), fmt.Sprint(i)))
	}
	receive(t, three)
	if waiting, inFlight := inQueues(c); waiting != calls-most || inFlight != most {
		t.Errorf("%d wait and %d are in flight", waiting, inFlight)
	}
	close(goOn)
	for i, call := range all {
		sum, err := outcome(t, call)
		wantSum(t, sum, err, uint64(i+1))
	}
}

func TestRESPManyCallers(t *testing.T) {
	t.Parallel()
	addr := respServer(t, func(conn *respConn) {
		for sum := uint64(1); ; sum++ {
			if _, err := conn.command(); err != nil || !conn.send(bulk(sum)) {
				return
			}
		}
	})
	c := respClient(t, addr, Options{MaxInFlight: 10})
	const callers, calls = 30, 30
	var mu sync.Mutex
	seen := make([]bool, callers*calls+1)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			last := uint64(0)
			for range calls {
				n, err := c.Count(patient(t), "orders")
				if err != nil || n <= last {
					t.Errorf("got %d after %d, %v", n, last, err)
					return
				}
				last = n
				mu.Lock()
				if seen[n] {
					t.Errorf("%d twice", n)
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	ended(t, &running)
}

func TestCountN(t *testing.T) {
	t.Parallel()
	addr := respServer(t, func(conn *respConn) {
		conn.expect(t, "GCD.COUNT orders 18446744073709551615")
		conn.send(bulk(math.MaxUint64))
		conn.expect(t, "GCD.COUNT orders 5")
		conn.send("-ERR sum is at its maximum\r\n")
		conn.expect(t, "GCD.COUNT orders 5")
		conn.send(":4\r\n") // no range of five ends there
		conn.expectEnd(t)
	})
	c := newClient(t, addr, Options{}) // one that was told no network has RESP, too
	first, last, err := c.CountN(patient(t), "orders", math.MaxUint64)
	if first != 1 || last != math.MaxUint64 || err != nil {
		t.Errorf("got %d to %d, %v", first, last, err)
	}
	_, _, err = c.CountN(patient(t), "orders", 5)
	wantClass(t, err, "refused")
	_, _, err = c.CountN(patient(t), "orders", 5)
	wantClass(t, err, "unknown")

	_, _, err = c.CountN(patient(t), "orders", 0)
	wantClass(t, err, "not sent")
	_, _, err = newClient(t, addr, Options{Network: "tcp"}).CountN(patient(t), "orders", 5)
	wantClass(t, err, "not sent")
	if !strings.Contains(fmt.Sprint(err), `"resp"`) {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

func TestRESPTopicsThatAreNone(t *testing.T) {
	t.Parallel()
	c := respClient(t, servertest.Absent(t, "tcp"), Options{})
	for topic, code := range map[string]int{"\xff": 4, strings.Repeat("x", 65_536): 3} {
		_, err := outcome(t, c.CountAsync(t.Context(), topic))
		wantClass(t, err, "refused")
		err = c.Reset(patient(t), topic)
		wantClass(t, err, "refused")
		var refusal *RefusedError
		if !errors.As(err, &refusal) || int(refusal.Code) != code {
			t.Errorf("got %v, want code %d", err, code)
		}
	}
}
