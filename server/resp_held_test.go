package server_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gcd/codec"
	"gcd/server"
)

// half is the beginning of an ECHO of so many bytes, without the last one and the line end.
func half(size int) string {
	whole := array("ECHO", long("x", size))
	return whole[:len(whole)-3]
}

// What connections hold for commands that are not whole is bounded for all together. Who comes too
// late hears so; those that were there before, and small commands, go on.
func TestRESPHalfCommandsAreBounded(t *testing.T) {
	t.Parallel()
	const size = 300_000
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxInFlightBytes = 2 << 20
		o.ReadTimeout = time.Hour
		s, _ := serveFake(t, o)
		var waiting []net.Conn
		refused := 0
		for range 12 {
			before := s.Stats().Held
			c := dial(t, "tcp", s.addr("tcp"))
			send(t, c, []byte(half(size)))
			eventually(t, "it waits or is refused", func() bool {
				return s.Stats().Held >= before+size-16<<10 ||
					s.Stats().Refused[codec.CodeTooManyRequests] > uint64(refused)
			})
			if s.Stats().Refused[codec.CodeTooManyRequests] == uint64(refused) {
				waiting = append(waiting, c)
			} else if refused++; string(answer(t,
				c)) != "-BUSY too many bytes of unfinished commands: try again later\r\n" {
				t.Error("it was answered otherwise")
			}
			if n := s.Stats().Held; n > 2<<20 {
				t.Fatalf("%d bytes are held", n)
			}
		}
		if len(waiting) < 2 || refused < 2 {
			t.Fatalf("%d wait, %d were refused", len(waiting), refused)
		}

		// Commands that are small fit piece by piece, be there ever so many of them.
		small := dialRESP(t, s, 2)
		var in, want strings.Builder
		for i := range 20_000 {
			in.WriteString(array("INCR", "orders"))
			fmt.Fprintf(&want, ":%d\r\n", i+1)
		}
		say(t, small, in.String(), want.String())
		for range 20 { // each with the beginning of the next
			send(t, small, []byte(long(array("PING", long("p", 100)), 100)+"*1\r\n$4\r\nPI"))
			readUntil(t, small, long(bulk(long("p", 100)), 100))
			say(t, small, "NG\r\n", "+PONG\r\n")
		}

		for _, c := range waiting {
			say(t, c, "x\r\n", bulk(long("x", size)))
		}
		eventually(t, "what was held is given back", func() bool { return s.Stats().Held < size })
		say(t, waiting[0], half(size)+"x\r\n", bulk(long("x", size)))
		for _, c := range append(waiting, small) {
			c.Close()
		}
		eventually(t, "nothing is held", func() bool { return s.Stats().Held == 0 && s.Stats().Connections == 0 })
	})
}

// Clients that do not take their answers hold no more than is there for all of them either.
func TestRESPUntakenAnswersAreBounded(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxInFlightBytes = 2 << 20
		o.WriteTimeout = time.Hour
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, (*server.Server).LongTurns) // or a slow machine's have no long answers
		for range 40 {                                  // about half of them find no room for what they hold already
			c := dialUnread(t, s)
			go func() { // until the server has closed, or waits for the client and so takes nothing more
				for chunk := []byte(long("COMMAND DOCS\r\n", 1000)); ; {
					if _, err := c.Write(chunk); err != nil {
						return
					}
				}
			}()
		}
		eventually(t, "some are cut off", func() bool { return s.Stats().LostAnswers >= 2 })
		if n := s.Stats().Held; n > 2<<20 {
			t.Errorf("%d bytes are held", n)
		}
		say(t, dialRESP(t, s, 2), "INCR orders\r\n", ":1\r\n")
	})
}
