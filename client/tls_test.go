package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// tlsServer is a server over TLS that answers countFor, and the config of its clients.
func tlsServer(t *testing.T, config *tls.Config) (addr string, clients *tls.Config) {
	own, pool := certificate()
	config.Certificates = []tls.Certificate{own}
	config.MinVersion = tls.VersionTLS13
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	servertest.Serve(t, listener, countFor)
	return listener.Addr().String(), &tls.Config{RootCAs: pool}
}

// bothNetworks are those that have connections.
var bothNetworks = [...]string{"tcp", "resp"}

// Over TLS both protocols count, and only with a server that is the one that was meant.
func TestTLS(t *testing.T) {
	t.Parallel()
	addr, config := tlsServer(t, &tls.Config{})
	foreign := config.Clone()
	foreign.ServerName = "counter.example"
	for _, network := range bothNetworks {
		sum, err := newClient(t, addr, Options{Network: network, TLS: config}).Count(patient(t), "orders")
		wantSum(t, sum, err, map[string]uint64{"tcp": 3, "resp": 1}[network])

		for name, wrong := range map[string]*tls.Config{"unknown authority": {}, "counter.example": foreign} {
			_, err = newClient(t, addr, Options{Network: network, TLS: wrong}).Count(patient(t), "orders")
			wantClass(t, err, "not sent")
			if !strings.Contains(fmt.Sprint(err), name) {
				t.Errorf("network %s: %v, want a word of %s", network, err, name)
			}
		}
	}
	if config.ServerName != "" {
		t.Error("a client has changed the config that it was given")
	}
}

// TLS goes over what Options.Dial opens, too.
func TestTLSOverDial(t *testing.T) {
	t.Parallel()
	addr, config := tlsServer(t, &tls.Config{})
	config.ServerName = "127.0.0.1"
	dial := new(net.Dialer).DialContext
	for _, network := range bothNetworks {
		c := newClient(t, addr, Options{Network: network, TLS: config, Dial: dial})
		sum, err := c.Count(patient(t), "orders")
		wantSum(t, sum, err, map[string]uint64{"tcp": 3, "resp": 1}[network])
	}
}

// A server that wants a certificate and gets none, or one that it does not trust, has counted
// nothing.
func TestTLSClientCertificate(t *testing.T) {
	t.Parallel()
	own, trusted := certificate()
	addr, config := tlsServer(t, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted})
	with := func(certificate tls.Certificate) *tls.Config {
		c := config.Clone()
		c.Certificates = []tls.Certificate{certificate}
		return c
	}
	other, _ := certificate()
	for _, network := range bothNetworks {
		sum, err := newClient(t, addr, Options{Network: network, TLS: with(own)}).Count(patient(t), "orders")
		wantSum(t, sum, err, map[string]uint64{"tcp": 3, "resp": 1}[network])
		for _, wrong := range []*tls.Config{config, with(other)} {
			_, err := newClient(t, addr, Options{Network: network, TLS: wrong}).Count(patient(t), "orders")
			// The server's word may be lost with what it did not read; then nobody knows.
			if errors.Is(err, syscall.ECONNRESET) && network == "tcp" {
				continue
			}
			wantClass(t, err, "not sent")
		}
	}
}

// Clear text where TLS is spoken, and the other way round, is an error that says so.
func TestTLSOnOneSideOnly(t *testing.T) {
	t.Parallel()
	// What OpenSSL sends to who does not begin a handshake: a record with an alert.
	alerting := servertest.TCP(t, answering("\x15\x03\x03\x00\x02\x02\x0a"))
	for _, network := range bothNetworks {
		_, err := newClient(t, alerting, Options{Network: network}).Count(patient(t), "orders")
		wantClass(t, err, "not sent")
		if !strings.Contains(fmt.Sprint(err), "the server speaks TLS here") {
			t.Errorf("network %s: the error says %v", network, err)
		}
	}
	// Go's own says nothing and closes.
	addr, config := tlsServer(t, &tls.Config{})
	_, err := newClient(t, addr, Options{}).Count(patient(t), "orders")
	wantClass(t, err, "not sent")
	_, err = newClient(t, addr, Options{Network: "tcp"}).Count(patient(t), "orders")
	wantClass(t, err, "unknown")

	for name, answer := range map[string]string{
		"answered in clear text":                        "\xff\x02unknown opcode",
		"does not speak TLS here":                       "-ERR unknown command\r\n",
		"closed the connection in the TLS handshake":    "",
		"the TLS handshake took too long; does the ser": "silence",
	} {
		addr := servertest.TCP(t, func(conn *net.TCPConn) {
			read(conn)
			if answer == "silence" {
				io.Copy(io.Discard, conn)
				return
			}
			io.WriteString(conn, answer)
		})
		for _, network := range bothNetworks {
			opts := Options{Network: network, TLS: config}
			if answer == "silence" {
				opts.Timeout = impatience
			}
			_, err := newClient(t, addr, opts).Count(patient(t), "orders")
			wantClass(t, err, "not sent")
			if !strings.Contains(fmt.Sprint(err), name) {
				t.Errorf("network %s: %v, want %q", network, err, name)
			}
		}
	}
}

// An address may be that of a unix socket.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	servertest.Serve(t, listener, countFor)
	for _, network := range []string{"", "resp", "tcp"} {
		sum, err := newClient(t, "unix:"+path, Options{Network: network}).Count(patient(t), "orders")
		want := uint64(1)
		if network == "tcp" {
			want = 3
		}
		wantSum(t, sum, err, want)
	}
	_, err = newClient(t, "unix:"+path+".gone", Options{}).Count(patient(t), "orders")
	wantClass(t, err, "not sent")
}

// Options that do not fit together are told before anything is sent.
func TestNewRefusesWhatCannotBeSecured(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		addr string
		opts Options
		says string
	}{
		{"127.0.0.1:5555", Options{Network: "udp", TLS: &tls.Config{}}, "TLS goes over connections"},
		{"127.0.0.1:5555", Options{Network: "udp", Token: "x"}, "a Token needs RESP"},
		{"127.0.0.1:5555", Options{Network: "tcp", Token: "x"}, "a Token needs RESP"},
		{"unix:", Options{}, "want unix:PATH"},
		{"unix:/run/gcd.sock", Options{Network: "udp"}, "is a socket of connections"},
		{"unix:/run/gcd.sock", Options{TLS: &tls.Config{}}, "names no host"},
	} {
		_, err := New(test.addr, test.opts)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s, %+v: %v, want %q", test.addr, test.opts, err, test.says)
		}
	}
	for addr, name := range map[string]string{"counter.example:5555": "counter.example", ":5555": "localhost"} {
		c := newClient(t, addr, Options{TLS: &tls.Config{}})
		if got := c.opts.TLS.ServerName; got != name {
			t.Errorf("%s: the certificate has to be for %q, want %q", addr, got, name)
		}
	}
	given := &tls.Config{ServerName: "counter.example", RootCAs: x509.NewCertPool(), Time: time.Now}
	if got := newClient(t, "unix:/run/gcd.sock", Options{TLS: given}).opts.TLS.ServerName; got != given.ServerName {
		t.Errorf("the certificate has to be for %q, want the name that was given", got)
	}
}
