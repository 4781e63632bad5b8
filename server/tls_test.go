package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gcd/internal/access"
	"gcd/internal/thin"
	"gcd/server"
)

// eachTLS is eachDispatch with TLS.
func eachTLS(t *testing.T, f func(t *testing.T, o server.Options)) {
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.TLS = authority().server()
		f(t, o)
	})
}

// dialClear connects to the port of a server, without TLS.
func dialClear(t *testing.T, s *running) net.Conn {
	t.Helper()
	return dial(t, "tcp", s.TCPAddr().String())
}

// shake connects and does a handshake.
func shake(t *testing.T, s *running, config *tls.Config, below func(net.Conn) net.Conn) (*tls.Conn, error) {
	t.Helper()
	c := tls.Client(below(dialClear(t, s)), config)
	return c, c.Handshake()
}

func asItIs(c net.Conn) net.Conn { return c }

// Both protocols, and clients without TLS, come to the same port.
func TestTLSBesideClear(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 128, 1)
		wantAnswer(t, ask(t, "tcp", s.TCPAddr().String(), count("orders")), 128, 2)
		say(t, dialRESP(t, s, 3), "INCR orders\r\n", ":3\r\n")
		say(t, dialClear(t, s), "INCR orders\r\n", ":4\r\n")
	})
}

// Without a certificate the byte with which TLS begins is an opcode that nobody knows.
func TestTLSOff(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, _ := serveFake(t, o)
		wantRefusal(t, "tcp", ask(t, "tcp", s.addr("tcp"), []byte("\x16\x03\x01")), 2)
	})
}

// A connection that is cut off has said nothing: where TLS has not said that nothing more follows,
// the rest of a message may be missing.
func TestTLSTruncation(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		o.Settle = never
		s, f := serveFake(t, o)
		c := dial(t, "tcp", s.addr("tcp")).(*tls.Conn)
		send(t, c, []byte("\x00caf\xc3"))
		tcpOf(c).CloseWrite()
		if b, err := io.ReadAll(c); len(b) > 0 {
			t.Errorf("it is answered % x, %v", b, err)
		}
		eventually(t, "it is over", func() bool { return s.Stats().BrokenConns == 1 && s.Stats().Connections == 0 })
		whole := dial(t, "tcp", s.addr("tcp")).(*tls.Conn)
		send(t, whole, []byte("\x00caf\xc3\xa9"+strings.Repeat("s", 600)))
		if err := whole.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, answer(t, whole), 128, 1)
		if state := f.state(); len(state) != 1 {
			t.Errorf("counted were %v", state)
		}
	})
}

// held keeps back what is written, but for so many bytes, until it is let go.
type held struct {
	net.Conn
	keep int // of each write; negative: nothing
	kept []byte
	with []byte // what goes before the next write, in one piece with it
}

func (h *held) Write(b []byte) (int, error) {
	if h.keep < 0 {
		return h.Conn.Write(b)
	}
	if h.kept = append(h.kept, b[min(h.keep, len(b)):]...); h.keep == 0 {
		return len(b), nil
	}
	_, err := h.Conn.Write(append(h.with, b[:min(h.keep, len(b))]...))
	return len(b), err
}

// A message of which half a record is there goes on, however long the client is quiet.
func TestTLSHalfARecord(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		o.Settle = time.Millisecond
		s, f := serveFake(t, o)
		for i, keep := range []int{1, 4, 5, 30} {
			h := &held{keep: -1}
			c, err := shake(t, s, authority().client(), func(below net.Conn) net.Conn { h.Conn = below; return h })
			if err != nil {
				t.Fatal(err)
			}
			topic := fmt.Sprint(i) + strings.Repeat("x", 600)
			h.keep = 0
			send(t, c, count(topic))
			h.with, h.kept, h.keep = h.kept, nil, keep
			send(t, c, []byte("and the rest"))
			for range 20 { // much longer than it takes to settle
				wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("else"))[:1], 128)
			}
			if n := f.state()[topic]; n > 0 {
				t.Fatal("the first part of a message was counted")
			}
			send(t, h.Conn, h.kept)
			wantAnswer(t, answer(t, c), 128, 1)
			if f.state()[topic+"and the rest"] != 1 {
				t.Error("the whole message was not counted")
			}
		}
	})
}

// byBytes writes each byte alone.
type byBytes struct{ net.Conn }

func (c byBytes) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// However the first words of TLS come, and however long they are.
func TestTLSHellos(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		long := authority().client()
		for i := range 200 {
			long.NextProtos = append(long.NextProtos, fmt.Sprintf("%080d", i))
		}
		for i, try := range []struct {
			config *tls.Config
			below  func(net.Conn) net.Conn
		}{
			{authority().client(), func(c net.Conn) net.Conn { return byBytes{c} }},
			{long, asItIs},
		} {
			c, err := shake(t, s, try.config, try.below)
			if err != nil {
				t.Fatal(err)
			}
			say(t, c, "INCR orders\r\n", fmt.Sprintf(":%d\r\n", i+1))
		}
	})
}

// Handshakes that fail cost nobody a place, and are counted; who fails hears why.
func TestTLSHandshakesThatFail(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		o.MaxConns = 2
		o.TLS.ClientCAs, o.TLS.ClientAuth = authority().Pool(), tls.VerifyClientCertIfGiven
		s, _ := serveFake(t, o)
		old := authority().client()
		old.MaxVersion = tls.VersionTLS12
		expired := authority().client(authority().issue("web", -time.Minute))
		foreign := authority().client(newIssuer().issue("web", time.Hour))
		foreign.Certificates[0].Leaf = nil
		gone := uint64(0)
		leave := func(c net.Conn) {
			t.Helper()
			c.Close()
			gone++
			eventually(t, "it has left", func() bool {
				return s.Stats().Connections == 0 && s.Stats().BrokenHandshakes == gone
			})
		}
		for range 3 {
			for says, config := range map[string]*tls.Config{"protocol version": old, "expired": expired} {
				c, err := shake(t, s, config, asItIs)
				if err == nil { // a client of TLS 1.3 is through before the server has seen its certificate
					_, err = io.ReadAll(c)
				}
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("the client hears %v, want %q", err, says)
				}
				leave(c)
			}
			junk := dialClear(t, s)
			send(t, junk, []byte("\x16\x03\x01\x00\x05hello"))
			if _, err := io.ReadAll(junk); err != nil {
				t.Error(err)
			}
			leave(junk)
			cut := dialClear(t, s)
			send(t, cut, []byte("\x16\x03"))
			leave(cut)
		}
		c, err := shake(t, s, foreign, asItIs) // which the client keeps back: the server names its authority
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 128, 1)
	})
}

// firstWords are what a client begins a handshake with.
func firstWords() []byte {
	h := &held{keep: 0}
	h.Conn, _ = net.Pipe()
	h.Conn.Close() // it hears nothing
	tls.Client(h, authority().client()).Handshake()
	return h.kept
}

// Connections that begin a handshake and are silent have places like all others, and cost nobody
// else anything.
func TestTLSSilentHandshakes(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		silent := 1000
		if thin.On() {
			silent = 100
		}
		o.MaxConns = silent + 1
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetFirstByte(time.Millisecond) })
		whole := firstWords()
		for i := range silent { // some have sent a byte or two, some all of what they begin with
			first := whole
			if i%5 > 0 {
				first = whole[:i%5]
			}
			send(t, dialClear(t, s), first)
		}
		eventually(t, "all are in", func() bool { return s.Stats().Connections == int64(silent) })
		for i := range byte(50) { // one after the other: there is one place
			wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 128, i+1)
			eventually(t, "it is gone", func() bool { return s.Stats().Connections == int64(silent) })
		}
		s.stop(t) // which ends them
		if st := s.Stats(); st.Connections != 0 {
			t.Errorf("%d connections are left", st.Connections)
		}
	})
}

// A server that is to end at once does not wait for handshakes.
func TestTLSAbort(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetFirstByte(patience) })
		first := firstWords()
		for i := range 20 {
			send(t, dialClear(t, s), first[:len(first)/(1+i%2)])
		}
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 128, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown returns %v", err)
		}
		if err := await(t, "Serve returns", s.served); err != nil {
			t.Error(err)
		}
		s.served = nil
		if st := s.Stats(); st.Connections != 0 {
			t.Errorf("%d places are taken", st.Connections)
		}
	})
}

// A handshake has the time of a message.
func TestTLSHandshakeHasTheTimeOfAMessage(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		o.ReadTimeout = 50 * time.Millisecond
		s, _ := serveFake(t, o)
		c := dialClear(t, s)
		send(t, c, []byte("\x16\x03\x01"))
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil && !errors.Is(err, io.EOF) {
			t.Logf("it ends with % x, %v", b, err)
		}
		eventually(t, "it is gone", func() bool {
			return s.Stats().Connections == 0 && s.Stats().BrokenHandshakes == 1
		})
	})
}

// A certificate that is exchanged while clients come and count is nothing that they notice.
func TestTLSCertificateIsExchangedUnderLoad(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		var now atomic.Pointer[tls.Config]
		now.Store(o.TLS)
		o.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := now.Load().Clone()
			c.MinVersion = tls.VersionTLS13
			return c, nil
		}}
		s, f := serveFake(t, o)
		talker := dialRESP(t, s, 2)
		var clients sync.WaitGroup
		var counted atomic.Int64
		enough := make(chan struct{})
		for range 4 {
			clients.Go(func() {
				for {
					select {
					case <-enough:
						return
					default:
					}
					b, err := tryAsk("tcp", s.addr("tcp"), count("orders"))
					if err != nil || sum(b) == 0 {
						t.Errorf("it is answered % x, %v", b, err)
						return
					}
					counted.Add(1)
				}
			})
		}
		for range 3 {
			before := counted.Load()
			eventually(t, "there is load", func() bool { return counted.Load() > before+20 || t.Failed() })
			now.Store(&tls.Config{Certificates: []tls.Certificate{authority().issue("gcd", time.Hour)}})
			say(t, talker, "PING\r\n", "+PONG\r\n") // who is in stays
		}
		close(enough)
		clients.Wait()
		if n := int64(f.state()["orders"]); n != counted.Load() {
			t.Errorf("%d were counted, %d were told so", n, counted.Load())
		}
	})
}

// A configuration that allows old versions does not.
func TestTLSIsNew(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		own := o.TLS
		o.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return own, nil }}
		s, _ := serveFake(t, o)
		config := authority().client()
		config.MaxVersion = tls.VersionTLS12
		c, err := shake(t, s, config, asItIs)
		if err == nil {
			_, err = c.Write(count("orders"))
			_, readErr := io.ReadAll(c)
			err = errors.Join(err, readErr)
		}
		eventually(t, "it failed", func() bool { return s.Stats().BrokenHandshakes == 1 })
		if s.Stats().Answered != 0 {
			t.Errorf("it was answered, and the client hears %v", err)
		}
	})
}

// Who comes is known by the certificate that was verified, or by the unix socket; over both
// protocols.
func TestRightsByCarrier(t *testing.T) {
	t.Parallel()
	eachTLS(t, func(t *testing.T, o server.Options) {
		r := rules(t, "web cert:CN=web count:web/\nlocal unix count:local/\nanonymous - count:public/\n")
		o.Rules, o.Unix = func() *access.Rules { return r }, anySocket
		o.TLS.ClientCAs, o.TLS.ClientAuth = authority().Pool(), tls.VerifyClientCertIfGiven
		s, f := serveFake(t, o)
		web := authority().client(authority().issue("web", time.Hour))
		for _, row := range []struct {
			topic string
			dial  func() (net.Conn, error)
		}{
			{"web/", func() (net.Conn, error) { return shake(t, s, web, asItIs) }},
			{"local/", func() (net.Conn, error) { return dialStream(overUnix + s.options.Unix) }},
			{"public/", func() (net.Conn, error) { return shake(t, s, authority().client(), asItIs) }},
		} {
			for _, topic := range []string{"web/", "local/", "public/"} {
				c, err := row.dial()
				if err != nil {
					t.Fatal(err)
				}
				before := f.state()[topic]
				send(t, c, count(topic))
				got := answer(t, c)
				c.Close()
				if c, err = row.dial(); err != nil {
					t.Fatal(err)
				}
				send(t, c, []byte("INCR "+topic+"\r\nQUIT\r\n"))
				overRESP := string(answer(t, c))
				c.Close()
				counted := f.state()[topic] - before
				if may := topic == row.topic; may != (counted == 2) || may != (got[0] == 128) ||
					may != strings.HasPrefix(overRESP, ":") {
					t.Errorf("who may count %s counts %s: % x, %q", row.topic, topic, got, overRESP)
				}
			}
		}
	})
}
