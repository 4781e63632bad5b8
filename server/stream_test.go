package server_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/server"
)

// never is a settle time that ends no message within a test.
const never = time.Minute

// sendParts writes the parts one by one; each is a segment of its own unless the system joins them.
func sendParts(t testing.TB, c net.Conn, parts ...string) {
	t.Helper()
	if tcp := tcpOf(c); tcp != nil {
		if err := tcp.SetNoDelay(true); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range parts {
		send(t, c, []byte(p))
	}
}

func TestSplitMessages(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.Settle = never
		s, f := serveFake(t, o)
		for _, c := range []struct {
			name  string
			parts []string
			fin   bool
		}{
			{"after the opcode", []string{"\x00", "orders"}, false},
			{"in a character of two bytes", []string{"\x00caf\xc3", "\xa9"}, false},
			{"after the first of three bytes", []string{"\x00\xe6", "\x97\xa5"}, false},
			{"after the second of three bytes", []string{"\x00\xe6\x9c", "\xac"}, false},
			{"one byte per packet", []string{"\x00", "\xf0", "\x9f", "\xa7", "\xae"}, false},
			{"after 536 bytes", []string{"\x00" + strings.Repeat("a", 535), "tail"}, true},
			{"after 537 bytes", []string{"\x00" + strings.Repeat("b", 536), "tail"}, true},
			{"after 30,000 bytes", []string{"\x00" + strings.Repeat("c", 29999), strings.Repeat("d", 20000), "e"},
				true},
			{"long and in a character", []string{"\x00" + strings.Repeat("x", 700) + "\xe6", "\x97\xa5"}, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				conn := dial(t, "tcp", s.addr("tcp"))
				sendParts(t, conn, c.parts...)
				if c.fin {
					closeWrite(conn)
				}
				wantAnswer(t, answer(t, conn), 128, 1)
				topic := strings.Join(c.parts, "")[1:]
				if f.state()[topic] != 1 {
					t.Errorf("the parts were not counted as one topic")
				}
			})
		}
		if n := len(f.state()); n != 9 {
			t.Errorf("%d topics, want 9", n)
		}
	})
}

// What looks complete and arrives alone is complete: the client neither closes its side nor does
// the settle time pass.
func TestCompleteLookingMessageIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.Settle = never
		s, _ := serveFake(t, o)
		for _, topic := range []string{"a", "日本", strings.Repeat("x", 534)} {
			wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count(topic)), 128, 1)
		}
	})
}

func TestQuietEndsAMessage(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.Settle = 300 * time.Millisecond // long enough for the parts that one write is sent in
		s, f := serveFake(t, o)
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), []byte{0}), 128, 1)
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), []byte{1}), 129)
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count(strings.Repeat("x", 535))), 128, 1)
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count(strings.Repeat("x", 65535))), 128, 1)
		wantRefusal(t, "tcp", ask(t, "tcp", s.addr("tcp"), []byte("\x00caf\xc3")), 4)
		if n := len(f.state()); n != 3 {
			t.Errorf("%d topics, want 3", n)
		}
	})
}

func TestHalfCloseEndsAMessage(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.Settle, o.NoRESP = never, true
		s, f := serveFake(t, o)
		for _, c := range []struct {
			msg  []byte
			want []byte
			code byte
		}{
			{[]byte{0}, []byte{128, 1}, 0},
			{[]byte{1}, []byte{129}, 0},
			{[]byte("\x00abc"), []byte{128, 1}, 0},
			{count(strings.Repeat("x", 600)), []byte{128, 1}, 0},
			{count(strings.Repeat("x", 65535)), []byte{128, 1}, 0},
			{[]byte("\x00\xc3"), nil, 4},
			{nil, nil, 1},
			{[]byte{77}, nil, 2},
			{count(strings.Repeat("x", 65536)), nil, 3},
		} {
			conn := dial(t, "tcp", s.addr("tcp"))
			send(t, conn, c.msg)
			closeWrite(conn)
			got := answer(t, conn)
			if c.want == nil {
				wantRefusal(t, "tcp", got, c.code)
			} else {
				wantAnswer(t, got, c.want...)
			}
		}
		if n := len(f.state()); n != 4 {
			t.Errorf("%d topics, want 4", n)
		}
		if n := s.Stats().Refused[codec.CodeMalformed]; n != 0 {
			t.Errorf("%d malformed requests are counted, though the one without a byte asked for nothing", n)
		}
	})
}

// A connection that ends without a byte, in whichever way, is no trouble: whoever looks whether
// somebody listens makes one.
func TestConnectionsWithoutAByte(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		var lines lockedBuffer
		o.Logger = hclog.New(&hclog.LoggerOptions{Output: &lines, Level: hclog.Debug})
		s, _ := serveFake(t, o)
		for i := range 20 {
			c := dial(t, "tcp", s.addr("tcp")).(*net.TCPConn)
			if i%2 == 0 {
				c.SetLinger(0) // a reset
			}
			c.Close()
		}
		eventually(t, "all are gone", func() bool { return s.Stats().Accepted == 20 && s.Stats().Connections == 0 })
		if st := s.Stats(); len(st.Refused) != 0 || st.BrokenConns != 0 || st.LostAnswers != 0 {
			t.Errorf("refused %v, %d broken, %d lost", st.Refused, st.BrokenConns, st.LostAnswers)
		}
		if got := lines.String(); strings.Contains(got, "[WARN]") ||
			!strings.Contains(got, "a connection ended without a byte") {
			t.Errorf("the log says %s", got)
		}
	})
}

// A message that is too long is refused without waiting for its end, and the refusal arrives whole
// although the client was still sending.
func TestTooLongMessage(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		o.Settle = never
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetLinger(time.Hour) }) // the client may be late with the rest
		for _, size := range []int{65536, 65537, 200_000, 1_000_000} {
			wantRefusal(t, network, ask(t, network, s.addr(network), count(strings.Repeat("x", size))), 3)
		}
		if len(f.state()) != 0 {
			t.Error("a refused request was counted")
		}
	})
}

// A refusal can be read to its end, with a text that says what to do.
func TestRefusalHasAText(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, _ := serveFake(t, o)
		got := ask(t, "tcp", s.addr("tcp"), []byte("\x09x"))
		wantRefusal(t, "tcp", got, 2)
		if !bytes.Contains(got[2:], []byte("opcode")) {
			t.Errorf("the text is %q", got[2:])
		}
	})
}

// refused says what ends a connection with a refusal, and reads that to its end.
func refused(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c := dial(t, "tcp", addr)
	if network == "resp" {
		send(t, c, []byte("PING what \"is this\r\n"))
		wantAnswer(t, answer(t, c), []byte("-ERR Protocol error: unbalanced quotes in request\r\n")...)
	} else {
		send(t, c, []byte("\x09what is this"))
		wantRefusal(t, network, answer(t, c), 2)
	}
	return c
}

// A refused client that is still sending can finish, within bounds, and then reads the refusal to
// its orderly end.
func TestRefusedClientMaySendOn(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetLinger(time.Hour) })
		c := refused(t, network, s.addr(network))
		more := make([]byte, 64<<10)
		for range server.LingerBytes / len(more) / 2 {
			send(t, c, more)
		}
		if n := s.Stats().Connections; n != 1 {
			t.Errorf("%d connections while the client sends, want 1", n)
		}
		var err error
		for sent := 0; err == nil && sent < 1<<30; sent += len(more) {
			_, err = c.Write(more)
		}
		if err == nil {
			t.Error("the client may send without end")
		}
	})
}

// A refused client that stays is not waited for without end.
func TestRefusedClientThatStays(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetLinger(50 * time.Millisecond) })
		refused(t, network, s.addr(network))
		eventually(t, "the server has ended it", func() bool { return s.Stats().Connections == 0 })
	})
}

func TestSilentConnectionIsRefusedAtTheReadDeadline(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.ReadTimeout, o.Settle = 50*time.Millisecond, never
		s, f := serveFake(t, o)
		wantRefusal(t, "tcp", answer(t, dial(t, "tcp", s.addr("tcp"))), 13)
		conn := dial(t, "tcp", s.addr("tcp"))
		send(t, conn, []byte("\x00\xe6\x97")) // never finished
		wantRefusal(t, "tcp", answer(t, conn), 13)
		if len(f.state()) != 0 {
			t.Error("an unfinished request was counted")
		}
	})
}

// A client that sends a byte now and then does not keep its connection beyond the deadline.
func TestSlowlorisEndsAtTheReadDeadline(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		o.ReadTimeout, o.Settle = 200*time.Millisecond, never
		s, _ := serveFake(t, o)
		begun, want := count(strings.Repeat("x", 600)), "\xff\x0d"
		if network == "resp" {
			begun, want = []byte("PING\r\n*2\r\n$4\r\nINCR\r\n$1000000\r\n"), "+PONG\r\n-ERR Protocol error: the "+
				"command was not complete in time\r\n"
		}
		eventually(t, "it spoke in time", func() bool {
			conn := dial(t, "tcp", s.addr("tcp"))
			send(t, conn, begun)
			stop := make(chan struct{})
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						if _, err := conn.Write([]byte("x")); err != nil {
							return
						}
					}
				}
			}()
			first := make([]byte, len(want))
			n, err := io.ReadFull(conn, first)
			close(stop)
			<-sent
			if network == "resp" && strings.HasPrefix(string(first[:n]), "\xff\x0d") {
				return false // its first byte came too late to show that it speaks RESP
			}
			if err != nil {
				t.Fatal(err)
			}
			wantAnswer(t, first, []byte(want)...)
			return true
		})
	})
}

// Clients that go away at any moment leave nothing behind and disturb nobody.
func TestClientsThatGoAway(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		for _, msg := range []string{"", "\x00", "\x00half\xc3", "\x00gone", "\x07bad"} {
			for _, reset := range []bool{false, true} {
				f.block()
				c := dial(t, "tcp", s.addr("tcp"))
				send(t, c, []byte(msg))
				if reset {
					breakOff(c)
				}
				c.Close()
				f.unblock()
			}
		}
		eventually(t, "all connections ended", func() bool { return s.Stats().Connections == 0 })
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("others")), 128, 1)
	})
}

// What was taken of a client that went away before the reply is counted, and disturbs nobody.
func TestClientsThatDoNotWait(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		s, f := serveFake(t, o)
		for i, leave := range []func(c *net.TCPConn){
			func(c *net.TCPConn) { c.Close() },
			func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, // a reset
		} {
			f.block()
			c, err := net.DialTCP("tcp", nil, s.TCPAddr().(*net.TCPAddr))
			if err != nil {
				t.Fatal(err)
			}
			send(t, speak(network, c), count("gone"))
			eventually(t, "it is in flight", func() bool { return s.Stats().InFlight == 1 })
			leave(c)
			f.unblock()
			eventually(t, "all is over", func() bool { return s.Stats().Connections == 0 && s.Stats().InFlight == 0 })
			if got := f.state()["gone"]; got != uint64(i+1) {
				t.Errorf("counted %d, want %d", got, i+1)
			}
		}
		wantAnswer(t, ask(t, network, s.addr(network), count("gone")), 128, 3)
	})
}

// A thousand clients that send nothing, half of them after a PING, do not delay those that do.
func TestSilentClientsDelayNobody(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.Workers, o.ReadTimeout = 4, time.Hour
		s, f := serveFake(t, o)
		const silent, counts, clients = 1000, 1000, 8
		for range silent / 2 {
			dial(t, "tcp", s.addr("tcp"))
			say(t, dial(t, "tcp", s.addr("tcp")), "PING\r\n", "+PONG\r\n")
		}
		eventually(t, "all silent clients are connected", func() bool { return s.Stats().Connections == silent })
		failures := make(chan error, clients)
		for i := range clients {
			network := []string{"tcp", "resp"}[i%2]
			go func() {
				for range counts / clients {
					if _, err := tryAsk(network, s.addr(network), count("orders")); err != nil {
						failures <- err
						return
					}
				}
				failures <- nil
			}()
		}
		for range clients {
			if err := await(t, "a client is done", failures); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.state()["orders"]; got != counts {
			t.Errorf("counted %d, want %d", got, counts)
		}
		// The last counting clients' connections may be closing still.
		eventually(t, "only the silent ones are left", func() bool { return s.Stats().Connections == silent })
	})
}
