package store

import (
	"context"

	"gcd/store/core"
)

// Alive returns when the commit owner has come round: what it was committing is through by then,
// and what waited with it. It returns ctx's error if that takes longer, and ErrClosed from a closed
// store.
func (s *Store) Alive(ctx context.Context) error {
	round := make(chan struct{})
	owner, ok := s.queue.enqueueTask(func() { close(round) })
	if !ok {
		return core.ErrClosed
	}
	if owner {
		s.handover <- struct{}{} // has room
	}
	select {
	case <-round:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
