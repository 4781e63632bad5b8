package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gcd/internal/certs/certstest"
	"gcd/internal/servertest"
)

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// countFor answers one message of the counter protocol with 3, or PINGs and counts over RESP with
// 1, 2, 3, …; the first byte tells which it is.
func countFor(conn net.Conn) {
	from := bufio.NewReader(conn)
	if first, err := from.Peek(1); err != nil || first[0] == 0 {
		io.WriteString(conn, "\x80\x03")
		return
	}
	c := &respConn{from: from}
	for sum := uint64(1); ; {
		switch command, err := c.command(); {
		case err != nil:
			return
		case command == "PING":
			io.WriteString(conn, "+PONG\r\n")
		default:
			io.WriteString(conn, bulk(sum))
			sum++
		}
	}
}

// certificate is one for 127.0.0.1, and the pool that trusts it.
func certificate() (tls.Certificate, *x509.CertPool) {
	authority := certstest.New(nil)
	return authority.Issue(certstest.Leaf{}).TLS, authority.Pool()
}

// Over what Options.Dial opens, both protocols count, one call and many at a time.
func TestDial(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) (addr string, dial dialFunc){
		"TLS": func(t *testing.T) (string, dialFunc) {
			own, pool := certificate()
			listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{own}})
			if err != nil {
				t.Fatal(err)
			}
			servertest.Serve(t, listener, countFor)
			return listener.Addr().String(), (&tls.Dialer{Config: &tls.Config{RootCAs: pool}}).DialContext
		},
		"unix socket": func(t *testing.T) (string, dialFunc) {
			path := filepath.Join(t.TempDir(), "s")
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Skipf("this system has no unix sockets: %v", err)
			}
			servertest.Serve(t, listener, countFor)
			return path, func(ctx context.Context, _, addr string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", addr)
			}
		},
		"memory": func(t *testing.T) (string, dialFunc) {
			var running sync.WaitGroup
			t.Cleanup(func() { ended(t, &running) })
			return "memory", func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				running.Go(func() {
					defer ours.Close()
					countFor(ours)
				})
				return theirs, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, dial := open(t)
			sum, err := newClient(t, addr, Options{Network: "tcp", Dial: dial}).Count(patient(t), "orders")
			wantSum(t, sum, err, 3)
			c := newClient(t, addr, Options{Dial: dial})
			var calls []*Call
			for range 2000 {
				calls = append(calls, c.CountAsync(patient(t), "orders"))
			}
			for i, call := range calls {
				sum, err := outcome(t, call)
				wantSum(t, sum, err, uint64(i+1))
			}
		})
	}
}

// ending notes how a connection ends.
type ending struct {
	net.Conn
	within net.Conn // what NetConn returns
	said   *[]string
}

func (e ending) NetConn() net.Conn { return e.within }

func (e ending) SetLinger(int) error {
	*e.said = append(*e.said, "reset")
	return nil
}

func (e ending) Close() error {
	*e.said = append(*e.said, "end")
	return nil
}

// A message that was sent in part over TLS ends in a reset of what is under it, without a word of
// an end.
func TestPartOfAMessageOverTLS(t *testing.T) {
	t.Parallel()
	var outer, inner []string
	breakOff(ending{said: &outer, within: struct{ ending }{ending{said: &inner}}})
	if len(outer) > 0 || strings.Join(inner, " ") != "reset end" {
		t.Errorf("TLS: %q, under it: %q", outer, inner)
	}
}

// A certificate that is not trusted is a connection that was not made.
func TestDialUntrusted(t *testing.T) {
	t.Parallel()
	own, _ := certificate()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{own}})
	if err != nil {
		t.Fatal(err)
	}
	servertest.Serve(t, listener, countFor)
	c := newClient(t, listener.Addr().String(), Options{Dial: new(tls.Dialer).DialContext})
	_, err = c.Count(patient(t), "orders")
	wantClass(t, err, "not sent")
}
