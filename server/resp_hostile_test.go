package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"gcd/codec"
	"gcd/internal/thin"
	"gcd/server"
	"gcd/store"
)

// TestRESPModel holds what a connection is answered against a model: commands of every kind, right
// and wrong, in long pipelines, in every form and split, with little room in flight, and with one
// end of a connection or another.
func TestRESPModel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                   string
		connections, commands  int
		packet                 int // the most bytes of one; 0: all at once
		maxInFlight, bytesMost int
	}{
		{"10,000 commands at once", 1, 10_000, 0, 0, 0},
		{"packets of any size", 3, 2000, 70_000, 0, 0},
		{"small packets", 5, 200, 100, 0, 0},
		{"a byte a packet", 5, 60, 1, 0, 0},
		{"few in flight", 2, 2000, 5000, 6, 0},
		{"few bytes in flight", 2, 2000, 5000, 0, 66_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			eachDispatch(t, func(t *testing.T, o server.Options) {
				o.MaxInFlight, o.MaxInFlightBytes = c.maxInFlight, c.bytesMost
				o.Backup = func(_ context.Context, w io.Writer, _ string) error {
					_, err := io.WriteString(w, modelBackup)
					return err
				}
				st, err := store.Open("", store.Options{MaxTopics: modelTopics, MaxTopicLen: modelTopicLen})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { st.Close() })
				// what comes after an end may be said late
				s := serve(t, st, o, func(s *server.Server) { s.SetLinger(time.Hour) })
				r := rand.New(rand.NewPCG(seed, 0))
				m := newRespModel("")
				if c.maxInFlight > 0 {
					m.most = c.maxInFlight
				}
				if c.bytesMost > 0 {
					m.mostBytes = c.bytesMost
				}
				for range c.connections {
					conn := dial(t, "tcp", s.addr("tcp"))
					send(t, conn, []byte("CLIENT ID\r\n"))
					m.id = readUntil(t, conn, "\r\n") + "\r\n"
					in, want, closes := conversation(r, m, max(60, c.commands/thin.Step(5)))
					converse(t, r, conn, in, want, c.packet, closes)
					m.leave()
				}
				sums := make(map[string]uint64)
				for topic := range maps.Keys(m.sums) {
					v, _ := st.Get(topic)
					sums[topic] = v.Sum
					if v.Epoch != m.epochs[topic] {
						t.Errorf("%q is in epoch %d, want %d", topic, v.Epoch, m.epochs[topic])
					}
				}
				if !maps.Equal(sums, m.sums) || st.Len() != len(m.order) {
					t.Errorf("%d topics at %v, want %d at %v", st.Len(), sums, len(m.order), m.sums)
				}
				eventually(t, "nothing is left",
					func() bool { return s.Stats().Connections == 0 && s.Stats().InFlight == 0 })
			})
		})
	}
}

// conversation makes commands and the answers that the model gives to them, up to one end or
// another. closes tells whether the server is the first to close.
func conversation(r *rand.Rand, m *respModel, commands int) (in, want []byte, closes bool) {
	one := func(args []string) {
		in = append(in, written(r, args)...)
		want = append(want, m.answer(args)...)
	}
	for range commands {
		if r.IntN(40) > 0 {
			one(randomCommand(r))
			continue
		}
		one([]string{"MULTI"})
		for range r.IntN(8) {
			one(randomCommand(r))
		}
		one([]string{"EXEC"})
	}
	end := func(last, answer string) {
		in, want, closes = append(in, last...), append(want, answer...), true
	}
	const after = "INCR never\r\nPING\r\n"
	switch r.IntN(6) {
	case 0:
		end(array("QUIT")+after, m.answer([]string{"QUIT"}))
	case 1:
		end("*1\r\n$-1\r\n"+after, "-ERR Protocol error: invalid bulk length\r\n")
	case 2:
		end("*65536\r\n"+after,
			"-ERR Protocol error: invalid multibulk length: a command has at most 65535 arguments\r\n")
	case 3:
		end("PING \"a\"b\r\n"+after, "-ERR Protocol error: unbalanced quotes in request\r\n")
	case 4:
		in = append(in, "*2\r\n$4\r\nINCR\r\n$5\r\nnev"...) // and no more
	}
	return in, want, closes
}

// converse says in, in packets of at most so many bytes, and expects the answer want to its last
// byte.
func converse(t *testing.T, r *rand.Rand, conn net.Conn, in, want []byte, packet int, closes bool) {
	t.Helper()
	if err := conn.(*net.TCPConn).SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	sizes := rand.New(rand.NewPCG(r.Uint64(), 0))
	said := make(chan error, 1)
	go func() {
		rest := in
		for len(rest) > 0 {
			n := len(rest)
			if packet > 0 {
				n = min(n, 1+sizes.IntN(packet))
			}
			if _, err := conn.Write(rest[:n]); err != nil {
				said <- err
				return
			}
			rest = rest[n:]
		}
		if !closes {
			said <- closeWrite(conn)
			return
		}
		said <- nil
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("reading the answers: %v", err)
	}
	if err := await(t, "all is said", said); err != nil {
		t.Errorf("saying: %v", err)
	}
	conn.Close()
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		from := max(0, at-100)
		t.Fatalf("of %d bytes, number %d on: got\n%.300q\nwant\n%.300q", len(want), at, got[from:], want[from:])
	}
}

// TestRESPCutConversations has clients go away at any byte of what they say, whether they read or
// not: nothing of them is left, and nobody else is disturbed.
func TestRESPCutConversations(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Backup = func(_ context.Context, w io.Writer, _ string) error {
			_, err := io.WriteString(w, modelBackup)
			return err
		}
		s, _ := serveMemory(t, o)
		other := dialRESP(t, s, 2)
		var wg sync.WaitGroup
		for client := range 8 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(client)))
				for range 30 / thin.Step(3) {
					in, _, _ := conversation(r, newRespModel(""), 1+r.IntN(300))
					c, err := net.Dial("tcp", s.addr("tcp"))
					if err != nil {
						t.Error(err)
						return
					}
					reads := make(chan struct{})
					go func(most int64) {
						defer close(reads)
						io.CopyN(io.Discard, c, most)
					}(int64(r.IntN(2) * r.IntN(len(in)+1)))
					c.Write(in[:r.IntN(len(in)+1)]) // the server may have closed already
					switch r.IntN(3) {
					case 0:
						breakOff(c)
					case 1:
						closeWrite(c)
					}
					c.Close()
					<-reads
				}
			})
		}
		for n := range 300 {
			say(t, other, "INCR other\r\n", fmt.Sprintf(":%d\r\n", n+1))
		}
		wg.Wait()
		eventually(t, "nothing is left of them",
			func() bool { return s.Stats().Connections == 1 && s.Stats().InFlight == 0 })
		if n := s.Stats().Panics; n != 0 {
			t.Errorf("%d panics", n)
		}
	})
}

// TestRESPBusy has more pipelines at once than may be in flight: each command is counted or
// refused, and the numbers are dense.
func TestRESPBusy(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxInFlight = 8
		s, f := serveFake(t, o)
		const clients, rounds, pipeline = 8, 30, 20
		var (
			mu      sync.Mutex
			counted = make(map[string]bool)
			wg      sync.WaitGroup
		)
		f.block()
		first := dialRESP(t, s, 2)
		send(t, first, []byte(long("INCR first\r\n", o.MaxInFlight)))
		eventually(t, "it is in flight",
			func() bool { return s.Stats().InFlight == int64(o.MaxInFlight) && f.isStuck() })
		for range clients { // which come to another worker, and are refused at first
			wg.Go(func() {
				c, err := net.Dial("tcp", s.addr("tcp"))
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				replies := bufio.NewReader(c)
				for range rounds {
					io.WriteString(c, long(array("INCR", "orders"), pipeline))
					for range pipeline {
						got, err := replies.ReadString('\n')
						if err != nil {
							t.Error(err)
							return
						}
						if got == "-BUSY too many requests in flight: try again later\r\n" {
							continue
						}
						mu.Lock()
						if counted[got] {
							t.Errorf("%q came twice", got)
						}
						counted[got] = true
						mu.Unlock()
					}
				}
			})
		}
		eventually(t, "some are refused", func() bool { return s.Stats().Refused[codec.CodeTooManyRequests] > 100 })
		f.unblock()
		wg.Wait()
		for n := range f.state()["orders"] {
			if !counted[fmt.Sprintf(":%d\r\n", n+1)] {
				t.Fatalf("nobody got %d", n+1)
			}
		}
		sum, refused := len(counted), int(s.Stats().Refused[codec.CodeTooManyRequests])
		if sum != int(f.state()["orders"]) || sum+refused != clients*rounds*pipeline {
			t.Errorf("%d counted and %d refused of %d; the sum is %d", sum, refused, clients*rounds*pipeline,
				f.state()["orders"])
		}
	})
}
