// Package dial opens connections to a server: over TCP or to a unix socket, in clear text or over
// TLS, and says to it who asks.
package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
)

// Split returns what package net wants to know of an address: of unix:PATH the network "unix" and
// the path, of any other "tcp" and the address as it is.
func Split(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}

// Open connects to the server at addr, by TLS if there is a config for it. It ends when ctx does.
func Open(ctx context.Context, dialer *net.Dialer, addr string, config *tls.Config) (net.Conn, error) {
	network, address := Split(addr)
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil || config == nil {
		return conn, err
	}
	return Secure(ctx, conn, config)
}

// Secure begins TLS on a connection, and closes it where that fails.
func Secure(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, handshakeError(err)
	}
	return secured, nil
}

// Config is a config for the server at addr: its certificate has to be for the host of addr, where
// the config names none.
func Config(config *tls.Config, addr string) (*tls.Config, error) {
	if config == nil || config.ServerName != "" || config.InsecureSkipVerify {
		return config.Clone(), nil
	}
	config = config.Clone()
	network, address := Split(addr)
	host, _, err := net.SplitHostPort(address)
	switch {
	case network == "unix" || err != nil:
		return nil, fmt.Errorf("%s names no host that a certificate could be for", addr)
	case host == "": // package net takes it for this machine
		host = "localhost"
	}
	config.ServerName = host
	return config, nil
}

// handshakeError says what a failed handshake may mean.
func handshakeError(err error) error {
	var header tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &header):
		return fmt.Errorf("the server does not speak TLS here: it answered in clear text (%q)", header.RecordHeader)
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server closed the connection in the TLS handshake; does it speak TLS here?")
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("the TLS handshake took too long; does the server speak TLS here? %w", err)
	}
	return fmt.Errorf("TLS: %w", err)
}

// ErrWantsTLS means that a server took what it was sent in clear text for a broken record of TLS:
// nothing of it was done.
var ErrWantsTLS = errors.New("the server speaks TLS here, and was asked in clear text")

// IsAlert reports whether an answer begins as an alert of TLS, which no protocol of a counter
// server does.
func IsAlert(answer []byte) bool {
	return len(answer) >= 2 && answer[0] == 21 && answer[1] == 3
}

// certificateAlerts are those by which a server refuses a client's certificate, or that there is
// none. In TLS 1.3 they come when the client takes the handshake for done.
func certificateAlerts() []tls.AlertError { return []tls.AlertError{42, 43, 44, 45, 46, 48, 49, 116} }

// RefusedCertificate reports whether a connection has ended since the server refused the client's
// certificate: then it has done nothing that was asked over it.
func RefusedCertificate(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	return slices.ContainsFunc(certificateAlerts(), func(alert tls.AlertError) bool {
		return op.Err.Error() == alert.Error()
	})
}
