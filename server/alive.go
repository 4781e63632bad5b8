package server

import "context"

// Alive returns nil when every worker has gone round once more, and ctx's error if that takes
// longer: one hangs, or waits for the disk. A server that does not serve has no worker that could
// hang.
func (s *Server) Alive(ctx context.Context) error {
	s.mu.Lock()
	d := s.dispatch
	s.mu.Unlock()
	if d == nil {
		return nil
	}
	rounds := d.rounds()
	for range cap(rounds) {
		select {
		case <-rounds:
		case <-s.finished:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
