package store

import (
	"sync/atomic"
	"time"

	"gcd/store/core"
)

// Refusing is why nothing can be counted just now: ErrFailed for good, ErrLogFull until there is
// room again; nil while it can. It costs two loads, so it may be asked for each request.
func (s *Store) Refusing() error {
	switch {
	case s.failure.Load() != nil:
		return core.ErrFailed
	case s.full.Load():
		return core.ErrLogFull
	}
	return nil
}

// refusingSince is since when that is so; the zero time while it is not.
func (s *Store) refusingSince() time.Time {
	if s.stopped.Load() {
		return s.stopped.Since()
	}
	return s.full.Since()
}

// moment is a flag that remembers when it was set.
type moment struct {
	at atomic.Int64 // nanoseconds since 1970, 0 while it is not set
}

func (m *moment) Load() bool { return m.at.Load() != 0 }

// Store sets the flag, and leaves it alone if it is set already; or takes it back.
func (m *moment) Store(set bool) { m.Swap(set) }

// Swap is Store, and returns what the flag was.
func (m *moment) Swap(set bool) (was bool) {
	if set {
		return !m.at.CompareAndSwap(0, time.Now().UnixNano())
	}
	return m.at.Swap(0) != 0
}

// Since is when the flag was set; the zero time if it is not.
func (m *moment) Since() time.Time {
	if at := m.at.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}
