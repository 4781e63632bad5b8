package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gcd/server"
)

// shuttingDown is what RESP's commands are answered by a server that stops.
const shuttingDown = "-LOADING the server is shutting down: try again when it is back\r\n"

// serveLong starts a server that takes its time to part, and stop, which begins that and returns
// when the server refuses.
func serveLong(t *testing.T, o server.Options) (s *running, f *fake, stop func() (stopped <-chan error)) {
	t.Helper()
	f = newFake()
	t.Cleanup(f.close)
	s = serve(t, f, o, func(s *server.Server) {
		s.SetParting(time.Hour)
		s.SetFirstByte(time.Nanosecond) // nobody is too young to be ended
	})
	return s, f, func() <-chan error {
		t.Helper()
		stopped := make(chan error, 1)
		go func() { stopped <- s.Shutdown(context.Background()) }()
		before := s.Stats().Refused[12]
		eventually(t, "the server refuses", func() bool {
			if s.UDPAddr() != nil {
				b, err := tryAsk("udp", s.addr("udp"), []byte("\x05probe"))
				return err == nil && len(b) == 2 && b[0] == 255 && b[1] == 12
			}
			_, err := tryAsk("tcp", s.addr("tcp"), []byte("\x05probe"))
			return err == nil && s.Stats().Refused[12] > before
		})
		return stopped
	}
}

// ended waits for the end of a server that stops.
func (r *running) ended(t *testing.T, stopped <-chan error) {
	t.Helper()
	r.EndParting()
	if err := await(t, "Shutdown returns", stopped); err != nil {
		t.Error(err)
	}
	if err := await(t, "Serve returns", r.served); err != nil {
		t.Error(err)
	}
	r.served = nil
	if st := r.Stats(); st.Connections != 0 || st.InFlight != 0 {
		t.Errorf("%d connections and %d requests are left", st.Connections, st.InFlight)
	}
}

// hears sends something and reads exactly what is answered.
func hears(t *testing.T, c net.Conn, in, want string) {
	t.Helper()
	send(t, c, []byte(in))
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c, b); string(b) != want {
		t.Fatalf("%q is answered %q (%v), want %q", in, b[:n], err, want)
	}
}

// Whatever is asked of a server that stops is refused, in its order and one for one, on every
// connection that there is or that still comes, and not counted.
func TestStoppingServerRefuses(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f, stop := serveLong(t, o)
		greeted, half := dialRESP(t, s, 2), dialRESP(t, s, 2)
		say(t, greeted, "INCR before\r\n", ":1\r\n")
		send(t, half, []byte("PING\r\nINCR ha"))
		readUntil(t, half, "+PONG\r\n")
		silent, inline := dial(t, "tcp", s.addr("tcp")), dial(t, "tcp", s.addr("tcp"))
		datagrams := dial(t, "udp", s.addr("udp"))
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("before")), 128, 2)
		stopped := stop()

		for range 3 {
			hears(t, greeted, "INCR never\r\n", shuttingDown)
		}
		pipeline := "INCR never\r\n*2\r\n$3\r\nGET\r\n$6\r\nbefore\r\nPING\r\nKEYS *\r\n" +
			"DBSIZE\r\nNONSENSE\r\nMULTI\r\nGCD.BACKUP\r\nHELLO 3\r\nINFO\r\nQUIT\r\nINCR never\r\n"
		hears(t, greeted, pipeline, strings.Repeat(shuttingDown, 12))
		hears(t, half, "lf\r\nINCR", shuttingDown)
		hears(t, half, " never\r\n", shuttingDown)
		send(t, silent, count("never"))
		wantRefusal(t, "tcp", answer(t, silent), 12)
		hears(t, inline, "INCR never\r\n", shuttingDown)
		send(t, datagrams, count("never"))
		wantRefusal(t, "udp", answer(t, datagrams), 12)
		wantRefusal(t, "tcp", ask(t, "tcp", s.addr("tcp"), reset("before")), 12)
		late := dial(t, "tcp", s.addr("tcp"))
		hears(t, late, "INCR never\r\nINCR never\r\n", shuttingDown+shuttingDown)
		mute := dial(t, "tcp", strings.TrimPrefix(s.addr("tcp"), overTLS))
		send(t, half, []byte("INCR ha"))
		eventually(t, "all are in", func() bool { return s.Stats().Connections == 5 })
		s.EndParting()
		wantAnswer(t, answer(t, mute))
		for name, c := range map[string]net.Conn{"greeted": greeted, "half": half, "inline": inline, "late": late} {
			if b := answer(t, c); len(b) > 0 {
				t.Errorf("%s: at the end there was %q", name, b)
			}
			c.Close()
		}
		s.ended(t, stopped)
		if state := f.state(); state["before"] != 2 || len(state) != 1 {
			t.Errorf("the state is %v", state)
		}
	})
}

// What arrives with the end is refused as well, and a client that never comes to an end does not
// delay it.
func TestStoppingServerEnds(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f, stop := serveLong(t, o)
		endless := dialRESP(t, s, 2)
		say(t, endless, "PING\r\n", "+PONG\r\n")
		stopped := stop()
		var writing sync.WaitGroup
		writing.Go(func() {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(endless, long("INCR never\r\n", 100))
			}
		})
		r := bufio.NewReader(endless)
		for range 1000 {
			if line, err := r.ReadString('\n'); line != shuttingDown {
				t.Fatalf("answered %q, %v", line, err)
			}
		}
		s.EndParting()
		for {
			line, err := r.ReadString('\n')
			if err != nil { // cut off while it was sending, so this may be a reset
				break
			}
			if line != shuttingDown {
				t.Fatalf("answered %q", line)
			}
		}
		s.ended(t, stopped)
		endless.Close()
		writing.Wait()
		if len(f.state()) != 0 {
			t.Errorf("the state is %v", f.state())
		}
	})
}

// What the backend has when the server stops is answered; and a server whose time to part is over
// still looks at what has come by then.
func TestPartingWithoutTime(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f, stop := serveLong(t, o)
		f.block()
		busy := dialRESP(t, s, 2)
		send(t, busy, []byte("INCR orders\r\n"))
		eventually(t, "it is in flight", func() bool { return f.isStuck() })
		send(t, busy, []byte("INCR never\r\nINCR nev"))
		stopped := stop()
		s.EndParting()
		f.unblock()
		if got := string(answer(t, busy)); got != ":1\r\n"+shuttingDown {
			t.Errorf("answered %q", got)
		}
		busy.Close()
		s.ended(t, stopped)
	})
}

// Clients that count without a pause, over every door, alone and in pipelines, on one connection or
// a new one each time, hear of each of their requests what became of it while the server stops.
// Those over RESP know of a command without an answer that it was not run once one before it was
// refused so.
func TestNothingIsUnknownWhenAServerStops(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		// however late clients are with what they send
		s := serve(t, f, o, func(s *server.Server) { s.SetFirstByte(patience) })
		var counted, refused, absent atomic.Int64
		var clients sync.WaitGroup
		tcp, udp := s.addr("tcp"), s.addr("udp")
		for i := range 16 {
			clients.Go(func() {
				var err error
				switch i % 4 {
				case 0:
					err = countMessages("tcp", tcp, &counted, &refused, &absent)
				case 1:
					err = countMessages("udp", udp, &counted, &refused, &absent)
				case 2:
					err = countCommands(tcp, 1, &counted, &refused)
				default:
					err = countCommands(tcp, 50, &counted, &refused)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		eventually(t, "there is load", func() bool { return counted.Load() > 2000 })
		s.stop(t)
		clients.Wait()
		if n := int64(f.state()["orders"]); n != counted.Load() {
			t.Errorf("%d were counted, %d were told so", n, counted.Load())
		}
		t.Logf("%d counted, %d refused, %d found nobody", counted.Load(), refused.Load(), absent.Load())
	})
}

// countMessages counts with one message after the other until nobody listens.
func countMessages(network, addr string, counted, refused, absent *atomic.Int64) error {
	for {
		c, err := connect(network, addr)
		if err != nil {
			absent.Add(1)
			return nil
		}
		c.SetDeadline(time.Now().Add(patience))
		_, err = c.Write(count("orders"))
		b := make([]byte, 300)
		n := 0
		for err == nil && (n == 0 || network == "tcp") {
			var m int
			m, err = c.Read(b[n:])
			n += m
		}
		c.Close()
		switch b = b[:n]; {
		case sum(b) > 0:
			counted.Add(1)
		case n >= 2 && b[0] == 255 && b[1] == 12:
			refused.Add(1)
			if network == "udp" { // so many refusals a second, and no more
				return nil
			}
		case network == "udp" && isRefused(err):
			absent.Add(1)
			return nil
		case network == "tcp" && n == 0 && !doorCloses() && nobodyListens(addr):
			absent.Add(1) // it came between the last look and the close, which this system cannot prevent
			return nil
		default:
			return fmt.Errorf("%s: % x, %v", network, b, err)
		}
	}
}

// doorCloses tells whether the system can close a door and leave those in that have come.
var doorCloses = sync.OnceValue(server.DoorCloses)

func nobodyListens(addr string) bool {
	c, err := dialStream(addr)
	if err == nil {
		c.Close()
	}
	return err != nil
}

func isRefused(err error) bool {
	return err != nil && !errors.Is(err, io.EOF) && strings.Contains(err.Error(), "refused")
}

// countCommands keeps so many INCR under way on one connection until it ends.
func countCommands(addr string, pipeline int, counted, refused *atomic.Int64) error {
	c, err := dialStream(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	told := false
	for {
		if _, err := io.WriteString(c, strings.Repeat("INCR orders\r\n", pipeline)); err != nil && !told {
			return err
		}
		for range pipeline {
			line, err := r.ReadString('\n')
			switch {
			case err != nil && told:
				return nil
			case err != nil:
				return fmt.Errorf("RESP: a command has no answer: %w", err)
			case line == shuttingDown:
				told = true
				refused.Add(1)
			case line[0] != ':' || told:
				return fmt.Errorf("RESP: %q, refused before: %t", line, told)
			default:
				counted.Add(1)
			}
		}
	}
}
