package client

import (
	"context"
	"crypto/tls"
	"net"

	"gcd/internal/dial"
)

// way is how connections are made.
type way struct {
	// dial connects in place of package net; nil if it does not.
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	secure *tls.Config // nil: in clear text
}

// open makes a connection, which ctx bounds. dialer is for package net.
func (w way) open(ctx context.Context, dialer *net.Dialer, addr string) (net.Conn, error) {
	if w.dial == nil {
		return dial.Open(ctx, dialer, addr, w.secure)
	}
	conn, err := w.dial(ctx, "tcp", addr)
	switch {
	case conn == nil && err == nil:
		return nil, errNoConn
	case err != nil || w.secure == nil:
		return conn, err
	}
	return dial.Secure(ctx, conn, w.secure)
}
