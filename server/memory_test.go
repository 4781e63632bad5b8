package server_test

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gcd/internal/thin"
	"gcd/server"
	"gcd/store/core"
)

// weighed is a fake that now and then, while somebody looks at its topics, weighs what is in
// memory.
type weighed struct {
	*fake
	scans atomic.Int64
	most  atomic.Int64
}

func (w *weighed) Scan(cursor uint64, limit int, each func([]byte, core.Value)) uint64 {
	if w.scans.Add(1)%100_000 == 0 {
		w.mu.Lock() // meanwhile nobody makes garbage, which would be weighed, too
		w.weigh()
		w.mu.Unlock()
	}
	return w.fake.Scan(cursor, limit, each)
}

func (w *weighed) weigh() {
	n := liveBytes()
	for most := w.most.Load(); n > most && !w.most.CompareAndSwap(most, n); most = w.most.Load() {
	}
}

// liveBytes is what the heap holds that is still needed.
func liveBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Clients that ask for long answers and do not take them hold no more than the documented bound: 16
// KiB each and --max-in-flight-bytes, whether the answers are being made or wait. It has a process
// of its own, since what others allocate would be weighed, too.
func TestMemoryOfLongAnswers(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	const (
		clients = 100
		topics  = 8000 // KEYS takes several turns for them
		bound   = 8 << 20
		fixed   = 12 << 20 // the loops' buffers, what they keep for later, and the test's own
	)
	many := func(word string, n int) []string { return strings.Fields(strings.Repeat(word+" ", n)) }
	rows := []struct{ name, in string }{
		{"KEYS", array("KEYS", "*")},
		{"SCAN", array("SCAN", "0", "COUNT", "1000000000")},
		{"after another", array("PING") + array("KEYS", "*")},
		{"DOCS", array(append([]string{"COMMAND", "DOCS"}, many("command", 8000)...)...)},
		{"INFO", array(append([]string{"COMMAND", "INFO"}, many("incr", 20_000)...)...)},
		{"MGET", array(append([]string{"MGET"}, many("topic", 65_000)...)...)},
		{"DEL", array(append([]string{"DEL"}, many("topic", 30_000)...)...)},
		{"ECHO", array("ECHO", long("x", 900_000))},
		{"pipeline", long(array("COMMAND", "DOCS")+array("INCR", "topic"), 200)},
	}
	for i := 0; i < len(rows); i += thin.Step(4) {
		row := rows[i]
		for _, dispatch := range dispatches {
			t.Run(row.name+"/"+string(dispatch), func(t *testing.T) {
				w := &weighed{fake: newFake()}
				t.Cleanup(w.close)
				w.setSum("topic", 1<<60)
				for i := range topics {
					w.setSum(fmt.Sprintf("%04d%s", i, long("t", 250)), 1)
				}
				s := serve(t, w, server.Options{Dispatch: dispatch, MaxInFlightBytes: bound, WriteTimeout: time.Hour},
					nil)
				say(t, dialRESP(t, s, 2), "PING\r\n", "+PONG\r\n") // it serves, so what it has in any case is there
				before := liveBytes()
				begun := make(chan struct{})
				for range clients {
					c := dialUnread(t, s)
					go func() {
						_, _ = io.WriteString(c, row.in) // it is cut off, perhaps
						begun <- struct{}{}
					}()
					go func() {
						_, _ = io.ReadFull(c, make([]byte, 4)) // of whatever answer, or the end
						begun <- struct{}{}
					}()
				}
				for range 2 * clients {
					select {
					case <-begun:
					case <-time.After(patience):
						t.Fatal("not every client was answered or cut off")
					}
				}
				if n := s.Stats().Held; n > bound {
					t.Errorf("%d bytes are charged", n)
				}
				most := before + clients*(16<<10) + bound + fixed
				n := liveBytes()
				for late := time.Now().Add(patience / 2); n > most && time.Now().Before(late); {
					n = liveBytes() // while it still tries to answer, what is garbage by now was weighed, too
				}
				if n = max(n, w.most.Load()); n > most {
					t.Errorf("%.1f MB are held, the bound is %.1f MB", float64(n-before)/1e6, float64(most-before)/1e6)
				}
			})
		}
	}
}

// So it is with answers that wait for the disk because a count came after them.
func TestMemoryOfAnswersThatWaitForTheDisk(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	const (
		clients = 100
		bound   = 4 << 20
		fixed   = 12 << 20
	)
	for _, dispatch := range dispatches {
		t.Run(string(dispatch), func(t *testing.T) {
			s, f := serveFake(t, server.Options{Dispatch: dispatch, MaxInFlightBytes: bound})
			defer f.unblock()
			f.block()
			first := dial(t, "tcp", s.addr("tcp"))
			send(t, first, count("orders"))
			eventually(t, "a commit is under way", f.isStuck)
			before := liveBytes()
			for range clients {
				send(t, dial(t, "tcp", s.addr("tcp")),
					[]byte(long(array("COMMAND", "DOCS"), 10)+array("INCR", "topic")))
			}
			eventually(t, "all have come to the count", func() bool { return s.Stats().InFlight == clients+1 })
			if n, most := liveBytes()-before, int64(clients*(16<<10)+bound+fixed); n > most || s.Stats().Held > bound {
				t.Errorf("%.1f MB are held, the bound is %.1f MB; %d bytes are charged", float64(n)/1e6,
					float64(most)/1e6, s.Stats().Held)
			}
		})
	}
}

// One client alone gets an answer as long as there are, where it fits.
func TestRESPLongAnswersFitOneByOne(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxInFlightBytes = 16 << 20
		s, f := serveFake(t, o)
		for i := range 8000 {
			f.setSum(fmt.Sprintf("%04d%s", i, long("t", 996)), 1)
		}
		for range 3 {
			c := dialRESP(t, s, 2)
			send(t, c, []byte("PING\r\nKEYS *\r\nECHO end\r\n"))
			if got := readUntil(t, c, "$3\r\nend\r\n"); !strings.HasPrefix(got, "+PONG\r\n*8000\r\n$1000\r\n") ||
				len(got) != len("+PONG\r\n*8000\r\n")+8000*1009 {
				t.Errorf("%d bytes: %.100q", len(got), got)
			}
			c.Close()
		}
		eventually(t, "nothing is held", func() bool { return s.Stats().Held == 0 })
	})
}

// gated is a fake in which a look at the topics stops at one of them until it is let go on.
type gated struct {
	*fake
	at      int64
	scans   atomic.Int64
	reached chan struct{}
	goOn    chan struct{}
}

func newGated(t *testing.T, topics int, at int64) *gated {
	g := &gated{fake: newFake(), at: at, reached: make(chan struct{}), goOn: make(chan struct{})}
	t.Cleanup(g.close)
	for i := range topics {
		g.setSum(fmt.Sprint("topic", i), 1)
	}
	return g
}

func (g *gated) Scan(cursor uint64, limit int, each func([]byte, core.Value)) uint64 {
	if g.scans.Add(1) == g.at {
		close(g.reached)
		<-g.goOn
	}
	return g.fake.Scan(cursor, limit, each)
}

// await takes a value that is to come, or sees a channel closed that is to be.
func await[T any](t testing.TB, what string, c <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(patience):
		t.Fatal("never happened: ", what)
	}
	return value
}

// A look at many topics that is under way when the server shuts down ends then, and its client
// hears why.
func TestShutdownEndsListings(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		const topics = 40_000
		g := newGated(t, topics, 100)
		s := serve(t, g, o, nil)
		c := dialRESP(t, s, 2)
		send(t, c, []byte("KEYS *\r\nINCR topic\r\n"))
		await(t, "the listing is under way", g.reached)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			s.stop(t)
		}()
		eventually(t, "the door is closed", func() bool {
			other, err := net.Dial("tcp", s.TCPAddr().String())
			if err == nil {
				other.Close()
			}
			return err != nil
		})
		close(g.goOn)
		if got := string(answer(t, c)); !strings.HasPrefix(got, "-LOADING ") {
			t.Errorf("the answer is %.100q", got)
		}
		await(t, "the server stops", stopped)
		if n := g.scans.Load(); n > topics/2 {
			t.Errorf("it looked at %d topics", n)
		}
		if g.state()["topic"] != 0 {
			t.Error("what came after it was counted")
		}
	})
}

// Nobody goes on to look at topics for a client whose connection is broken.
func TestBrokenConnectionEndsListings(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems may not tell of it")
	}
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		topics := int64(200_000 / thin.Step(4))
		g := newGated(t, int(topics), 100)
		s := serve(t, g, o, nil)
		c := dialRESP(t, s, 2)
		send(t, c, []byte("KEYS *\r\n"))
		await(t, "the listing is under way", g.reached)
		breakOff(c)
		c.Close()
		close(g.goOn)
		eventually(t, "it is gone", func() bool { return s.Stats().Connections == 0 })
		if n := g.scans.Load(); n > topics/2 {
			t.Errorf("it looked at %d topics", n)
		}
		// Who only sends nothing more gets the answer.
		c = dialRESP(t, s, 2)
		send(t, c, []byte("KEYS *9999\r\n"))
		closeWrite(c)
		if got := string(answer(t, c)); !strings.HasPrefix(got, fmt.Sprintf("*%d\r\n", topics/10_000)) {
			t.Errorf("after a half close: %.100q", got)
		}
	})
}

// CLIENT LIST tells who holds what.
func TestRESPClientListTellsWhatIsHeld(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, _ := serveFake(t, o)
		c := dial(t, "tcp", s.addr("tcp"))
		send(t, c, []byte(half(300_000)))
		eventually(t, "it is held", func() bool { return s.Stats().Held > 280_000 })
		asks := dialRESP(t, s, 2)
		send(t, asks, []byte("CLIENT LIST\r\nECHO end\r\n"))
		list := readUntil(t, asks, "$3\r\nend\r\n")
		if !regexp.MustCompile(` addr=` + c.LocalAddr().String() + ` .* tot-mem=[2-9]\d{5} `).MatchString(list) {
			t.Errorf("the list is %q", list)
		}
	})
}
