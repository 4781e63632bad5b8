package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"gcd/codec"
)

// peer is a connection to serve in memory, for Options.Dial; serve has ended when the test has.
func peer(t *testing.T, serve func(net.Conn)) dialFunc {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer ours.Close()
			serve(ours)
		}()
		t.Cleanup(func() {
			ours.Close()
			receive(t, done)
		})
		return theirs, nil
	}
}

// greetOnly answers a PING, if one comes, and ends the connection when something else has come.
func greetOnly(conn net.Conn) {
	from := bufio.NewReader(conn)
	if first, err := from.Peek(1); err == nil && first[0] == '*' {
		(&respConn{from: from}).command()
		io.WriteString(conn, "+PONG\r\n")
		from.Peek(1)
	}
}

// odd is a connection that fails as it is told where the one within works or ends.
type odd struct {
	net.Conn
	reads     error // instead of the end
	writes    error // of each Write that carries a call, though all is written
	deadlines error // of setting one
}

func (o odd) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	if err != nil && o.reads != nil {
		err = o.reads
	}
	return n, err
}

func (o odd) Write(b []byte) (int, error) {
	n, err := o.Conn.Write(b)
	if err == nil && o.writes != nil && string(b) != ping {
		return 0, o.writes
	}
	return n, err
}

func (o odd) SetDeadline(at time.Time) error {
	if o.deadlines != nil {
		return o.deadlines
	}
	return o.Conn.SetDeadline(at)
}

// What Options.Dial made may fail by an error that says of something else what this package's
// errors say of a call. It never becomes what is said of this call.
func TestErrorsOfForeignConnections(t *testing.T) {
	t.Parallel()
	foreign := []error{
		context.Canceled, context.DeadlineExceeded, ErrRefused, ErrNotSent, ErrUnknown, ErrClosed,
		ErrNotAuthenticated, ErrNotPermitted,
		&RefusedError{Code: codec.CodeNoRoom}, &PartialError{}, &readError{ErrUnknown},
	}
	for _, network := range []string{"resp", "tcp"} {
		for _, cause := range foreign {
			for _, stage := range []struct{ name, class string }{
				{"dialing", "not sent"}, {"deadlines", "not sent"}, {"reading", "unknown"}, {"writing", "unknown"},
			} {
				t.Run(fmt.Sprint(network, " ", stage.name, " ", cause), func(t *testing.T) {
					t.Parallel()
					err := fmt.Errorf("of another: %w", cause)
					dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
						conn, _ := peer(t, greetOnly)(ctx, network, addr)
						switch stage.name {
						case "dialing":
							conn.Close()
							return nil, err
						case "deadlines":
							return odd{Conn: conn, deadlines: err}, nil
						case "reading":
							return odd{Conn: conn, reads: err}, nil
						}
						return odd{Conn: conn, writes: err}, nil
					}
					c := newClient(t, "elsewhere", Options{Network: network, Dial: dial})
					_, err = c.Count(patient(t), "orders")
					wantClass(t, err, stage.class)
					var partial *PartialError
					if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
						errors.Is(err, ErrClosed) || errors.Is(err, ErrNotAuthenticated) ||
						errors.Is(err, ErrNotPermitted) || errors.As(err, &partial) {
						t.Errorf("%v: what is said of another is said of this call", err)
					}
					if Retryable(err) != (stage.class == "not sent") {
						t.Errorf("%v: may be tried again: %v", err, Retryable(err))
					}
				})
			}
		}
	}
}

// A Dial that gives neither a connection nor an error is one whose calls were not sent.
func TestDialWithoutAConnection(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"", "resp", "tcp"} {
		c := newClient(t, "nowhere", Options{Network: network,
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, nil }})
		_, err := c.Count(patient(t), "orders")
		wantClass(t, err, "not sent")
	}
}
