package server_test

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"math/bits"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/internal/certs/certstest"
	"gcd/server"
)

// What carries a stream: TCP as it is, TLS over it, or a unix socket. A test of eachCarrier dials
// the address that its server tells (running.addr), and need not know.
const (
	overTLS  = "tls:"
	overUnix = "unix:"
)

// anySocket has serve take a path of its own for each server.
const anySocket = "any"

// eachCarrier is eachDispatch over whatever carries a stream.
func eachCarrier(t *testing.T, f func(t *testing.T, o server.Options)) {
	eachDispatch(t, f)
	eachOtherCarrier(t, f)
}

// eachCarriedCell is eachCell, and over what else carries a stream.
func eachCarriedCell(t *testing.T, f func(t *testing.T, network string, o server.Options)) {
	eachCell(t, f)
	eachOtherCarrier(t, func(t *testing.T, o server.Options) {
		for _, network := range []string{"tcp", "resp"} {
			t.Run(network, func(t *testing.T) {
				t.Parallel()
				f(t, network, o)
			})
		}
	})
}

// eachOtherCarrier is eachDispatch over TLS and over a unix socket. On 32 bits it is nothing: what
// carries the bytes has no large numbers.
func eachOtherCarrier(t *testing.T, f func(t *testing.T, o server.Options)) {
	if bits.UintSize == 32 {
		return
	}
	for _, d := range dispatches {
		t.Run(string(d)+" tls", func(t *testing.T) {
			t.Parallel()
			f(t, server.Options{Dispatch: d, TLS: authority().server()})
		})
		t.Run(string(d)+" unix", func(t *testing.T) {
			t.Parallel()
			f(t, server.Options{Dispatch: d, Unix: anySocket})
		})
	}
}

// stream is a connection that can be half closed.
type stream interface {
	net.Conn
	CloseWrite() error
}

// dialStream makes one to an address of running.addr.
func dialStream(addr string) (stream, error) {
	if path, is := strings.CutPrefix(addr, overUnix); is {
		return net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	}
	addr, secured := strings.CutPrefix(addr, overTLS)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if !secured {
		return c.(*net.TCPConn), nil
	}
	return tls.Client(c, authority().client()), nil // the handshake comes with the first byte
}

// closeWrite says that a client sends nothing more.
func closeWrite(c net.Conn) error { return c.(stream).CloseWrite() }

// tcpOf is the TCP connection of a stream, nil if there is none.
func tcpOf(c net.Conn) *net.TCPConn {
	if secured, is := c.(*tls.Conn); is {
		c = secured.NetConn()
	}
	tcp, _ := c.(*net.TCPConn)
	return tcp
}

// breakOff has the close of a stream reset it, where there is such a thing.
func breakOff(c net.Conn) {
	if tcp := tcpOf(c); tcp != nil {
		tcp.SetLinger(0)
	}
}

// socketPath is a path for a unix socket, which has to be short.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "gcd.sock")
}

// issuer signs certificates.
type issuer struct {
	*certstest.Authority
	own tls.Certificate // of a server on the loopback
}

// authority is that of all tests.
var authority = sync.OnceValue(newIssuer)

func newIssuer() *issuer {
	i := &issuer{Authority: certstest.New(nil)}
	i.own = i.issue("gcd", time.Hour)
	return i
}

// issue makes a certificate that is valid for so long from now, or was until then.
func (i *issuer) issue(name string, long time.Duration) tls.Certificate {
	return i.Issue(certstest.Leaf{Subject: pkix.Name{CommonName: name}, From: -time.Hour, To: long}).TLS
}

// server is the configuration of a server; what of it the test does not set is as gcd has it.
func (i *issuer) server() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{i.own}}
}

// client is the configuration of a client, which shows certificates or none.
func (i *issuer) client(shown ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: i.Pool(), ServerName: "127.0.0.1", Certificates: shown}
}
