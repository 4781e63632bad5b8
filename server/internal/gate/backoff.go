package gate

import (
	"errors"
	"syscall"
	"time"
)

// Backoff is the pause after an operation failed that may work again later: 5 ms, doubled with each
// failure in a row up to a second.
type Backoff struct{ last time.Duration }

// Next is the pause after one more failure.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(2*b.last, 5*time.Millisecond), time.Second)
	return b.last
}

// Reset is called after a success.
func (b *Backoff) Reset() { b.last = 0 }

// AcceptGoesOn tells whether an error of accept is about the one connection only, so that the next
// can be accepted at once.
func AcceptGoesOn(err error) bool {
	return errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR)
}
