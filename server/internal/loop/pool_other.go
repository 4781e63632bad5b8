//go:build !linux

package loop

import (
	"errors"
	"net"
	"time"

	"gcd/server/internal/dispatch"
)

// Have says that this system has no readiness loops.
const Have = false

// Options configures a pool.
type Options struct {
	dispatch.Options
	Workers    int
	Processors int
	Secure     func(dispatch.Taken)
}

// Pool is there on Linux.
type Pool struct{}

// New fails.
func New(Options, *net.TCPListener, *net.UDPConn) (*Pool, error) {
	return nil, errors.New("server: dispatch by readiness loops needs Linux")
}

func (*Pool) Run()                    {}
func (*Pool) Open()                   {}
func (*Pool) Drain(time.Duration)     {}
func (*Pool) Abort()                  {}
func (*Pool) Rounds() <-chan struct{} { return nil }
