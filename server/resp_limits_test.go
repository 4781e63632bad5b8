package server_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/codec"
	"gcd/server"
	"gcd/store/core"
)

// What is no command ends the connection, with a reason, after the answers to what came before.
func TestRESPProtocolErrors(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetLinger(time.Hour) }) // a slow client is not cut off
		bad := [][2]string{
			{"*1\r\n:1\r\n", `Protocol error: expected '$', got ':'`},
			{"*x\r\n", "Protocol error: invalid multibulk length"},
			{"*70000\r\n", "Protocol error: invalid multibulk length"},
			{"*1\r\n$2000000\r\n", "Protocol error: invalid bulk length"},
			{"*1\r\n$1\r\nabc", "Protocol error: expected the end of a line"},
			{"GET \"x\r\n", "Protocol error: unbalanced quotes"},
			{long("x", 1<<16+1), "Protocol error: too big inline request"},
			{long("x", 1<<16+1) + "\r\n", "Protocol error: too big inline request"},
			{"*1\r\n$1\n\n" + long("x", 1<<20), "Protocol error: invalid bulk length"},
		}
		for _, row := range bad {
			in, want := row[0], row[1]
			c := dialRESP(t, s, 2)
			send(t, c, []byte("INCR before\r\nPING\r\n"+in))
			got := string(answer(t, c))
			_, got, _ = strings.Cut(got, "\r\n") // the sum
			if !strings.HasPrefix(got, "+PONG\r\n-ERR "+want) || !strings.HasSuffix(got, "\r\n") ||
				strings.Count(got, "\r\n") != 2 {
				t.Errorf("%.50q was answered %q, want %s", in, got, want)
			}
		}
		if n := f.state()["before"]; n != uint64(len(bad)) {
			t.Errorf("%d of the commands before were run, want %d", n, len(bad))
		}
		if n := s.Stats().Refused[codec.CodeMalformed]; n != uint64(len(bad)) {
			t.Errorf("%d were counted, want %d", n, len(bad))
		}
	})
}

// A browser that was made to send something to this port does not count.
func TestRESPFromABrowser(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, st := serveMemory(t, o)
		for in, want := range map[string]string{
			"POST / HTTP/1.1\r\nHost: x\r\n\r\nINCR victim\r\n": "",
			"GET / HTTP/1.1\r\nHost: x\r\n\r\nINCR victim\r\n":  "-ERR wrong number of arguments for 'get' command\r\n",
		} {
			c := dial(t, "tcp", s.addr("tcp"))
			send(t, c, []byte(in))
			if got := string(answer(t, c)); got != want {
				t.Errorf("%.20q was answered %q, want %q", in, got, want)
			}
		}
		if n := st.Len(); n != 0 {
			t.Errorf("%d topics were made", n)
		}
	})
}

// Each reason of the store's has its words.
func TestRESPOutcomesOfTheStore(t *testing.T) {
	t.Parallel()
	eachCarriedRESP(t, func(t *testing.T, o server.Options, version int) {
		outcomes := map[string]struct {
			err  error
			text string
		}{
			"overflow": {core.ErrOverflow, "ERR increment or decrement would overflow"},
			"long":     {core.ErrTopicTooLong, "ERR topic is too long for this server"},
			"many":     {core.ErrTooManyTopics, "OOM too many topics: the server holds as many as it may"},
			"full": {fmt.Errorf("more about it: %w", core.ErrLogFull),
				"MISCONF no room for the log: the disk is full"},
			"closed": {core.ErrClosed, "LOADING the server is shutting down: try again when it is back"},
			"failed": {core.ErrFailed, "MISCONF stopped after a disk error: the server counts no more and exits"},
		}
		f := newFake()
		t.Cleanup(f.close)
		f.decide(func(op *core.Op) error { return outcomes[string(op.Topic)].err })
		s := serve(t, f, o, nil)
		c := dialRESP(t, s, version)
		for topic, want := range outcomes {
			for _, in := range []string{"INCR ", "INCRBY 5 ", "GCD.COUNT ", "GCD.RESET ", "DEL ok ", "GETDEL ",
				"GETSET 0 ", "SET 0 "} {
				name, value, _ := strings.Cut(in, " ")
				command := name + " " + topic
				if name == "DEL" {
					command = "DEL ok " + topic + " ok"
				} else if value != "" {
					command += " " + value
				}
				say(t, c, "INCR fine\r\n"+command+"\r\nDEL fine\r\n", ":1\r\n-"+want.text+"\r\n:1\r\n")
			}
		}
		if n := s.Stats().Refused[codec.CodeSumAtMaximum]; n != 8 {
			t.Errorf("%d overflows were counted, want 8", n)
		}
		say(t, c, "INCR fine\r\nGET full\r\n", ":1\r\n-MISCONF no room for the log: the disk is full\r\n")
	})
}

// Neither what has no known outcome is answered nor what follows it, and the connection ends. What
// came before is.
func TestRESPUnknownOutcome(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		f.decide(func(op *core.Op) error {
			if string(op.Topic) == "unknown" {
				return fmt.Errorf("%w: a disk error", core.ErrUnknown)
			}
			return nil
		})
		s := serve(t, f, o, nil)
		for _, in := range []string{"INCR unknown\r\n", "DEL a unknown b\r\n",
			"INCR unknown\r\nGET unknown\r\nPING\r\n", "INCR z\r\nGET unknown\r\n"} {
			c := dialRESP(t, s, 2)
			send(t, c, []byte("GCD.RESET x\r\nPING\r\nINCR x\r\n"+in+"INCR x\r\nPING\r\n"))
			got := strings.TrimSuffix(string(answer(t, c)), ":1\r\n") // of INCR z, the first time
			if !strings.HasPrefix(got, "+OK\r\n+PONG\r\n") || strings.Count(got, "\r\n") > 3 {
				t.Errorf("%q was answered %q", in, got)
			}
		}
		if n := s.Stats().UnknownOutcomes; n != 4 {
			t.Errorf("%d unknown outcomes were counted, want 4", n)
		}
		eventually(t, "nothing is left", func() bool { return s.Stats().Connections == 0 && s.Stats().InFlight == 0 })
	})
}

// What is beyond the places in flight is refused, and nothing of it is done; a pipeline that fits
// piece by piece is not.
func TestRESPMaxInFlight(t *testing.T) {
	t.Parallel()
	const busy = "-BUSY too many requests in flight: try again later\r\n"
	eachCarrier(t, func(t *testing.T, o server.Options) {
		for name, limit := range map[string]func(*server.Options){
			"requests": func(o *server.Options) { o.MaxInFlight = 3 },
			"bytes":    func(o *server.Options) { o.MaxInFlightBytes = 80 },
		} {
			t.Run(name, func(t *testing.T) {
				o := o
				limit(&o)
				s, f := serveFake(t, o)
				f.block()
				defer f.unblock()
				waiting := dialRESP(t, s, 2)
				pipeline := strings.Repeat(array("INCR", "orders"), 3)
				send(t, waiting, []byte(pipeline))
				eventually(t, "it is in flight", func() bool { return s.Stats().InFlight == 3 && f.isStuck() })
				other := dialRESP(t, s, 2)
				say(t, other,
					"INCR orders\r\nGET orders\r\nPING\r\nDEL orders\r\n"+
						array("INCR", "a topic with so many bytes that it does not fit"),
					busy+null2+"+PONG\r\n"+busy+busy)
				say(t, other, "GET orders\r\n", null2) // a read alone needs no place
				f.unblock()
				expect(t, waiting, pipeline, ":1\r\n:2\r\n:3\r\n")
				say(t, other, long("INCR orders\r\n", 10)+"DEL a orders c\r\n",
					":4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n:10\r\n:11\r\n:12\r\n:13\r\n:1\r\n")
				// lines without a word
				say(t, other, "INCR orders\r\n"+long("\r\n", 100)+"INCR orders\r\n", ":1\r\n:2\r\n")
				if n := s.Stats().Refused[codec.CodeTooManyRequests]; n != 3 {
					t.Errorf("%d refusals were counted, want 3", n)
				}
				eventually(t, "nothing is in flight", func() bool { return s.Stats().InFlight == 0 })
			})
		}
	})
}

// A command with more topics than can ever be in flight is not told to come again.
func TestRESPMoreTopicsThanInFlight(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.MaxInFlight = 4
		s, _ := serveFake(t, o)
		c := dialRESP(t, s, 2)
		say(t, c, "INCR a\r\nDEL a b c d e\r\nINCR a\r\nDEL a b c d\r\nMGET a b c d e\r\n",
			":1\r\n-ERR more topics than --max-in-flight allows: a command has at most 4\r\n:2\r\n:1\r\n*5\r\n"+
				long(null2, 5))
	})
}

// A command that has begun has to be whole in time; between commands a connection may be silent.
func TestRESPReadDeadline(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.ReadTimeout = 50 * time.Millisecond
		s, _ := serveFake(t, o)
		tries := uint64(0)
		// until tries until the server has read something in time: who is late is refused before it
		// shows that it speaks RESP.
		until := func(try func(c net.Conn) string) {
			eventually(t, "the server hears it in time", func() bool {
				tries++
				return !strings.HasPrefix(try(dial(t, "tcp", s.addr("tcp"))), "\xff\x0d")
			})
		}
		var silent net.Conn
		until(func(c net.Conn) string {
			silent = c
			send(t, c, []byte("PING\r\n"))
			b := make([]byte, len("+PONG\r\n"))
			n, _ := io.ReadFull(c, b)
			return string(b[:n])
		})
		tries--
		say(t, silent, "INCR orders\r\n", ":1\r\n")
		for _, in := range []string{"IN", "*2\r\n$4\r\nINCR\r\n$6\r\nord", "PING\r\n*1\r\n",
			"INCR other\r\nDEL other\r\n*1"} {
			var got string
			until(func(c net.Conn) string {
				send(t, c, []byte(in))
				got = string(answer(t, c))
				return got
			})
			if !strings.HasSuffix(got, "-ERR Protocol error: the command was not complete in time\r\n") {
				t.Errorf("%q was answered %q", in, got)
			}
		}
		say(t, silent, "INCR orders\r\n", ":2\r\n") // it was silent for longer than the others had time
		if n := s.Stats().Refused[codec.CodeNothingArrived]; n != tries {
			t.Errorf("%d were counted, want %d", n, tries)
		}
	})
}

// Each command has its own time: one that had begun earlier does not shorten it.
func TestRESPReadDeadlineOfEachCommand(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.ReadTimeout = 4 * time.Second
		clock, _ := serveFake(t, o)
		o.ReadTimeout = 7 * time.Second
		s, _ := serveFake(t, o)
		c, empty := dialRESP(t, s, 2), dialRESP(t, s, 2)
		send(t, c, []byte("INCR or"))
		send(t, empty, []byte("*")) // the beginning of a command without a word
		answer(t, dial(t, "tcp", clock.addr("tcp")))
		send(t, c, []byte("ders\r\nINCR or"))
		readUntil(t, c, ":1\r\n")
		send(t, empty, []byte("0\r\nINCR or"))
		answer(t, dial(t, "tcp", clock.addr("tcp")))
		say(t, c, "ders\r\n", ":2\r\n")
		say(t, empty, "ders\r\n", ":3\r\n")
	})
}

// A client that takes no answers holds up nobody, is not read from without end, and is given up at
// the write deadline.
func TestRESPSlowReader(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.Workers, o.WriteTimeout = 1, 300*time.Millisecond
		s, _ := serveFake(t, o)
		slow, other := dialRESP(t, s, 2), dialRESP(t, s, 2)
		ended := make(chan int)
		go func() { // until the server has closed
			chunk, sent := []byte(long(array("ECHO", long("x", 1000)), 60)), 0
			for {
				n, err := slow.Write(chunk)
				if sent += n; err != nil {
					ended <- sent
					return
				}
			}
		}()
		for n := 1; ; n++ {
			say(t, other, "INCR orders\r\n", fmt.Sprintf(":%d\r\n", n))
			select {
			case sent := <-ended:
				if sent > 256<<20 {
					t.Errorf("%d bytes were taken from a client that reads nothing", sent)
				}
				eventually(t, "it is noted",
					func() bool { return s.Stats().LostAnswers == 1 && s.Stats().Connections == 1 })
				return
			default:
			}
		}
	})
}

// A client that reads late gets everything.
func TestRESPLateReader(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.WriteTimeout = time.Hour
		s, _ := serveFake(t, o)
		c := dialRESP(t, s, 2)
		const commands = 20_000
		value := long("x", 1000)
		go func() { c.Write([]byte(strings.Repeat(array("ECHO", value)+"INCR late\r\n", commands))) }()
		eventually(t, "the server waits for its client", func() bool { return s.Stats().Answered > 100 })
		want := 0
		for n := range commands {
			want += len(bulk(value)) + len(fmt.Sprintf(":%d\r\n", n+1))
		}
		got, err := io.Copy(io.Discard, io.LimitReader(c, int64(want)))
		if err != nil || got != int64(want) {
			t.Errorf("%d bytes of %d (%v)", got, want, err)
		}
		expect(t, c, "", "")
	})
}

// A client that closes its sending side gets its answers first.
func TestRESPHalfClose(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		for i := range 20 {
			c := dial(t, "tcp", s.addr("tcp"))
			send(t, c, []byte("INCR half\r\nPING\r\nINCR half\r\n*1\r\n$4"))
			if i%2 == 0 {
				eventually(t, "it was read", func() bool { return f.state()["half"] == uint64(2*i+2) })
			}
			closeWrite(c)
			if got, want := string(answer(t, c)), fmt.Sprintf(":%d\r\n+PONG\r\n:%d\r\n", 2*i+1, 2*i+2); got != want {
				t.Errorf("answered %q, want %q", got, want)
			}
		}
		eventually(t, "nothing is left", func() bool { return s.Stats().Connections == 0 })
	})
}

// Who is too many hears it in the language that it speaks.
func TestRESPTooManyClients(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxConns = 1
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetFirstByte(time.Hour) })
		first := dialRESP(t, s, 2)
		say(t, first, "PING\r\n", "+PONG\r\n")
		for i := range 4 {
			c := dial(t, "tcp", s.addr("tcp"))
			if i%2 == 0 { // else it may or may not be read before it speaks
				eventually(t, "it is there", func() bool { return s.Stats().Accepted == uint64(i+2) })
			}
			if i < 2 {
				send(t, c, []byte("*1\r\n$4\r\nPING\r\n"))
				if got := string(answer(t, c)); got != "-ERR max number of clients reached\r\n" {
					t.Errorf("answered %q", got)
				}
			} else {
				send(t, c, count("orders"))
				wantRefusal(t, "tcp", answer(t, c), 9)
			}
			c.Close()
			eventually(t, "it is gone", func() bool { return s.Stats().Connections == 1 })
		}
		if n := s.Stats().Refused[codec.CodeTooManyConns]; n != 4 {
			t.Errorf("%d refusals were counted, want 4", n)
		}
		dial(t, "tcp", s.addr("tcp")).Close() // without a word
		say(t, first, "INCR orders\r\n", ":1\r\n")
		eventually(t, "it is gone", func() bool { return s.Stats().Accepted == 6 && s.Stats().Connections == 1 })
	})
}

// Those for which there is not even a place to linger hear it so, too, if they have spoken.
func TestRESPFloodOfClients(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxConns = 1
		f := newFake()
		t.Cleanup(f.close)
		var door sync.Mutex
		s := serve(t, f, o, func(s *server.Server) {
			s.SetLinger(time.Hour)
			s.SetFirstByte(time.Hour) // one may be beyond the door already, and speak late
			s.SetBeforeAccept(func() error {
				door.Lock()
				defer door.Unlock()
				return nil
			})
		})
		first := dialRESP(t, s, 2)
		say(t, first, "PING\r\n", "+PONG\r\n")
		door.Lock() // until all have spoken
		var extra []net.Conn
		for range 50 {
			c := dial(t, "tcp", s.addr("tcp"))
			send(t, c, []byte("PING\r\n"))
			extra = append(extra, c)
		}
		door.Unlock()
		for i, c := range extra {
			if got := string(answer(t, c)); got != "-ERR max number of clients reached\r\n" {
				t.Errorf("number %d was answered %q", i, got)
			}
		}
		say(t, first, "INCR orders\r\n", ":1\r\n")
	})
}
