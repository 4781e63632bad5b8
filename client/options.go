package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"gcd/codec"
	"gcd/internal/dial"
)

// Options say how a Client talks to its server. The zero value, with the defaults below, is RESP
// over one connection that is kept; a zero field means its default.
type Options struct {
	// Network is "resp", RESP over one connection for all calls; or "tcp" or "udp", the counter
	// protocol over one of these, which carries Count, Reset and Wrap and their asynchronous forms.
	// When it is empty it is "resp", and "tcp" where the server answers the first PING by a refusal
	// of the counter protocol, which shows that it has no RESP: then nothing was counted yet, and
	// Logger hears of it. For servers that do not refuse what they do not know, as those in Python,
	// give "tcp" or "udp".
	Network string

	// TLS has every connection go over TLS, as it says; nil: none does. Without a ServerName the
	// server's certificate has to be for the host of the address. A server of gcd speaks TLS 1.3
	// alone. Not with "udp".
	TLS *tls.Config

	// Token says to the server who asks: it is the first that each connection sends, by AUTH of
	// RESP. So there is no going over to "tcp" with it, and none with "tcp" and "udp", where the
	// protocol has no place for it. Without TLS it goes in clear text.
	Token string

	// Dial opens the connection to the server, in place of a net.Dialer: through a proxy, or to a
	// server in memory. network is "tcp", and addr is what New was given, in whatever form Dial
	// understands. It has to end when ctx does; its errors say that a call was not sent. The
	// connection has to take deadlines. TLS goes over it. Not with "udp".
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Logger hears of it, once, when a client that was given no Network goes over to "tcp"; default
	// slog.Default(). No call waits for it, but Close does.
	Logger *slog.Logger

	// Timeout is how long the client waits. Over TCP it bounds a whole call, from connecting to the
	// end of the answer; default 5 s. Over UDP it is the wait for an answer to one datagram;
	// default 100 ms. Over RESP it bounds making the connection, and then, for each call, the time
	// from when its command is given to the connection until its answer is there; default 5 s.
	// Waiting in the queue while MaxInFlight calls are in flight does not count: that is bounded by
	// the call's context alone.
	Timeout time.Duration

	// Attempts is how many datagrams a Count sends at most; default 5. UDP only: over TCP and RESP
	// nothing is ever sent again.
	Attempts int

	// ResetAttempts is how many datagrams a Reset sends at most; default 1. UDP only.
	ResetAttempts int

	// MaxInFlight bounds the calls that have a socket at a time; default 256. Over RESP it bounds
	// the calls that the connection has and that were not answered; default 16,384. Further calls
	// queue.
	MaxInFlight int

	// AnyPort accepts answers from every port of the server's host. UDP only; see the package
	// documentation for what it gives up.
	AnyPort bool

	// Settle takes a sum as whole when nothing followed it for so long, for servers that answer and
	// then leave the connection open, as the Python server with a pool of processes does. The
	// default, 0, insists on the end of the connection: half a sum looks like a sum. TCP only.
	Settle time.Duration
}

// over returns the options, with their defaults, for the calls that go over the network.
func (o Options) over(network string) Options {
	o.Network = network
	return o.withDefaults()
}

// withDefaults fills in what the network's calls use.
func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
		if o.Network == "udp" {
			o.Timeout = 100 * time.Millisecond
		}
	}
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	if o.ResetAttempts == 0 {
		o.ResetAttempts = 1
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 256
		if o.Network == "resp" {
			o.MaxInFlight = 16_384
		}
	}
	return o
}

// check names the first option that makes no sense.
func (o Options) check() error {
	switch o.Network {
	case "", "tcp", "udp", "resp":
	default:
		return fmt.Errorf(`client: network %q: want "tcp", "udp", "resp" or none`, o.Network)
	}
	if o.Timeout < 0 {
		return fmt.Errorf("client: Timeout %v: want a positive duration, or 0 for the default", o.Timeout)
	}
	if o.Dial != nil && o.Network == "udp" {
		return errors.New(`client: Dial makes connections, and network "udp" has none: leave one of the two out`)
	}
	if o.TLS != nil && o.Network == "udp" {
		return errors.New(`client: TLS goes over connections, and network "udp" has none: leave one of the two out`)
	}
	if o.Token != "" && o.Network != "" && o.Network != "resp" {
		return fmt.Errorf(`client: a Token needs RESP, and network %q is another protocol, without a place for it`,
			o.Network)
	}
	if o.Settle < 0 {
		return fmt.Errorf("client: Settle %v: want a positive duration, or 0 to wait for the end", o.Settle)
	}
	for _, number := range []struct {
		name  string
		value int
	}{
		{"Attempts", o.Attempts},
		{"ResetAttempts", o.ResetAttempts},
		{"MaxInFlight", o.MaxInFlight},
	} {
		if number.value < 0 {
			return fmt.Errorf("client: %s %d: want a positive number, or 0 for the default", number.name, number.value)
		}
	}
	return nil
}

func checkAddr(addr string) error {
	network, path := dial.Split(addr)
	if network == "unix" {
		if path == "" {
			return fmt.Errorf("client: address %q: want unix:PATH, with the path of the server's socket", addr)
		}
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("client: address %q: want host:port, such as %s: %w", addr, codec.DefaultAddr, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("client: address %q: want a port from 1 to 65535, such as in %s", addr, codec.DefaultAddr)
	}
	return nil
}
