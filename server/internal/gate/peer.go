package gate

import (
	"crypto/x509"
	"net/netip"
)

// Peer is who is at the other end of a connection, or has sent a datagram. The zero Peer is nobody.
type Peer struct {
	Addr        netip.AddrPort    // of a network; zero over the unix socket
	Unix        bool              // it came over the unix socket
	Certificate *x509.Certificate // that it has shown, and that was verified; nil: none
}

// IsNobody tells that there is none.
func (p Peer) IsNobody() bool { return p == Peer{} }

// IsLocal tells whether it is on the server's own machine.
func (p Peer) IsLocal() bool { return p.Unix || p.Addr.Addr().Unmap().IsLoopback() }

// String shows an IPv4 address as one also where it came through a socket for both families.
func (p Peer) String() string {
	if p.Unix {
		return "unix"
	}
	return netip.AddrPortFrom(p.Addr.Addr().Unmap(), p.Addr.Port()).String()
}

// source is what limits per source count by: an IPv4 address, or the network of an IPv6 address, of
// which one host has 2^64. All who come over the unix socket are one.
func (p Peer) source() netip.Addr {
	addr := p.Addr.Addr().Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // cannot fail: 64 is in range
		return prefix.Addr()
	}
	return addr
}
