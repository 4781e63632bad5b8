package loadgen

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/codec"
	"gcd/internal/certs/certstest"
	"gcd/internal/servertest"
)

// guarded is a counter service over RESP, or the counter protocol, that may ask for a token.
type guarded struct {
	t     *testing.T
	token string // "": none
	mu    sync.Mutex
	sum   uint64
}

func (g *guarded) next() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sum++
	return g.sum
}

func (g *guarded) converse(conn net.Conn) {
	from := bufio.NewReader(conn)
	if first, err := from.Peek(1); err != nil {
		return
	} else if first[0] == 0 {
		io.WriteString(conn, outcome{sum: g.next()}.message())
		return
	}
	for known := g.token == ""; ; {
		words, err := servertest.Command(from)
		if err != nil {
			return
		}
		answer := "+OK\r\n"
		switch name := words[0]; {
		case name == "AUTH" && known:
			g.t.Error("a token came twice over a connection, or where none is asked for")
		case name == "AUTH" && words[1] != g.token:
			answer = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
		case name == "AUTH":
			known = true
		case !known && name != "QUIT":
			answer = "-NOAUTH Authentication required.\r\n"
		case name == "DBSIZE":
			answer = ":0\r\n"
		case name == "INCR":
			answer = fmt.Sprintf(":%d\r\n", g.next())
		}
		if _, err := io.WriteString(conn, answer); err != nil || words[0] == "QUIT" {
			return
		}
	}
}

// certified is a certificate for 127.0.0.1, as a server has it and as clients trust it.
func certified(t *testing.T) (server, clients *tls.Config) {
	t.Helper()
	authority := certstest.New(nil)
	own := authority.Issue(certstest.Leaf{}).TLS
	return &tls.Config{Certificates: []tls.Certificate{own}}, &tls.Config{RootCAs: authority.Pool()}
}

// ways are those to reach a server; each gives its address, and the options that it needs.
func ways(t *testing.T) map[string]func(*guarded) Options {
	server, clients := certified(t)
	listen := func(network, addr string, config *tls.Config) func(*guarded) Options {
		return func(g *guarded) Options {
			listener, err := net.Listen(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Addr: listener.Addr().String()}
			if network == "unix" {
				o.Addr = "unix:" + addr
			}
			if config != nil {
				listener, o.TLS = tls.NewListener(listener, config), clients
			}
			servertest.Serve(t, listener, g.converse)
			return o
		}
	}
	return map[string]func(*guarded) Options{
		"plain":         listen("tcp", "127.0.0.1:0", nil),
		"TLS":           listen("tcp", "127.0.0.1:0", server),
		"a unix socket": listen("unix", filepath.Join(t.TempDir(), "s"), nil),
	}
}

// Every way to a server, with a token and without, over each network that has connections: all that
// is counted is counted once.
func TestEveryWay(t *testing.T) {
	t.Parallel()
	for _, network := range []Network{TCP, RESP, RESPOnce} {
		for _, token := range []string{"", "gcd_secret"} {
			for _, portable := range []bool{false, true} {
				for name, way := range ways(t) {
					if token != "" && network == TCP {
						continue
					}
					g := &guarded{t: t, token: token}
					o := way(g)
					o.Network, o.Token, o.portable = network, token, portable
					o.Clients, o.Threads, o.Requests, o.Verify, o.Timeout = 8, 2, 200, true, servertest.Patience
					o.Own = "bench:"
					if network == RESP {
						o.Pipeline = 3
					}
					if network == TCP {
						o.Own = "" // it asks over RESP, which this way has as well, but is no matter here
					}
					r, err := runWithin(t.Context(), t, o)
					if err != nil || r.Ops() != 200 || r.Errors.Total() != 0 || !r.Verified.OK() {
						t.Errorf("%s over %s, token %q, portable %v: %+v, %v, want 200 counts", network, name,
							token, portable, r, err)
					}
				}
			}
		}
	}
}

// A token that is not taken ends a run before anything is counted, and at once.
func TestTokenNotTaken(t *testing.T) {
	t.Parallel()
	for _, own := range []string{"", "bench:"} {
		for _, portable := range []bool{false, true} {
			for _, network := range []Network{RESP, RESPOnce} {
				for given, asked := range map[string]string{"gcd_wrong": "gcd_secret", "": "gcd_secret"} {
					g := &guarded{t: t, token: asked}
					o := ways(t)["plain"](g)
					o.Network, o.Token, o.Own, o.portable = network, given, own, portable
					o.Duration, o.Timeout = time.Hour, servertest.Patience
					if given == "" {
						o.Requests = 10 // each is refused
					}
					r, err := runWithin(t.Context(), t, o)
					if err == nil {
						err = errors.Join(r.Causes[:]...)
					}
					var refusal *codec.RefusalError
					if !errors.As(err, &refusal) || refusal.Code != codec.CodeNotAuthenticated || g.sum > 0 {
						t.Errorf("token %q, own %q: %v, want a refusal; %d counted", given, own, err, g.sum)
					}
					if given != "" && own == "" && !errors.Is(err, ErrNotAuthenticated) {
						t.Errorf("the run goes on with a wrong token: %v", err)
					}
				}
			}
		}
	}
}

// TLS on one side only is an error that says so.
func TestTLSOnOneSide(t *testing.T) {
	t.Parallel()
	_, clients := certified(t)
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		_, _ = conn.Read(make([]byte, 1<<10))
		io.WriteString(conn, "\xff\x02unknown opcode")
	})
	for _, own := range []string{"", "bench:"} {
		_, err := runWithin(t.Context(), t, Options{
			Network: RESP, Addr: addr, TLS: clients, Own: own, Requests: 1, Timeout: servertest.Patience,
		})
		if !errors.Is(err, ErrNotReached) || !strings.Contains(fmt.Sprint(err), "does not speak TLS here") {
			t.Errorf("own %q: it says %v", own, err)
		}
	}
}

// What does not fit together is told.
func TestWhatCannotBeSecured(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		o     Options
		field string
	}{
		{Options{Network: UDP, TLS: &tls.Config{}}, "TLS"},
		{Options{Network: UDP, Token: "x"}, "Token"},
		{Options{Network: TCP, Token: "x"}, "Token"},
		{Options{Network: UDP, Addr: "unix:/x"}, "Addr"},
		{Options{Network: RESP, Addr: "unix:"}, "Addr"},
		{Options{Network: RESP, Addr: "unix:/x", TLS: &tls.Config{}}, "Addr"},
	} {
		_, err := Run(t.Context(), test.o)
		var wrong *OptionError
		if !errors.As(err, &wrong) || wrong.Field != test.field {
			t.Errorf("%+v: %v, want one about %s", test.o, err, test.field)
		}
	}
}
