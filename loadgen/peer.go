package loadgen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"gcd/internal/dial"
)

// peer is the server that is put under load.
type peer struct {
	addr   string       // as package dial takes it
	tcp    *net.TCPAddr // nil where it is a unix socket
	path   string       // of the unix socket
	secure *tls.Config  // nil: in clear text
}

// findPeer looks the address up.
func findPeer(o *Options) (*peer, error) {
	wrong := func(err error) error {
		return &OptionError{Field: "Addr", Reason: fmt.Sprintf("is %q: %v", o.Addr, err)}
	}
	p := &peer{addr: o.Addr}
	if network, path := dial.Split(o.Addr); network == "unix" {
		if p.path = path; path == "" {
			return nil, &OptionError{Field: "Addr", Reason: fmt.Sprintf("is %q: want unix:PATH", o.Addr)}
		}
	} else {
		address, err := net.ResolveTCPAddr("tcp", o.Addr)
		switch {
		case err != nil:
			return nil, wrong(err)
		case address.Port == 0:
			return nil, &OptionError{Field: "Addr", Reason: fmt.Sprintf("is %q: want a port from 1 to 65535", o.Addr)}
		case address.IP == nil:
			address.IP = net.IPv4(127, 0, 0, 1)
		}
		p.addr, p.tcp = address.String(), address
	}
	if o.TLS != nil {
		config, err := dial.Config(o.TLS, o.Addr)
		if err != nil {
			return nil, wrong(err)
		}
		p.secure = config
	}
	return p, nil
}

// open connects.
func (p *peer) open(ctx context.Context, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return dial.Open(ctx, new(net.Dialer), p.addr, p.secure)
}
