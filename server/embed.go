package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gcd/store"
)

// ListenAndServe is a whole counter service in one call: it opens the store in o.Data, serves it
// until ctx ends, answers what is under way, for at most o.ShutdownTimeout, and closes the store.
// It returns nil when all of that went well.
func ListenAndServe(ctx context.Context, o Options) error {
	o = o.withDefaults()
	if o.Store.Logger == nil {
		o.Store.Logger = o.Logger.Named("store")
	}
	s, err := New(nil, o)
	if err != nil {
		return err
	}
	locked := o.Store.Locked
	o.Store.Locked = func() error { // who comes while the counters are loaded waits, and is told when that takes long
		if locked != nil {
			if err := locked(); err != nil {
				return err
			}
		}
		return s.AnswerLoading()
	}
	st, err := store.Open(o.Data, o.Store)
	if err != nil {
		return errors.Join(fmt.Errorf("server: cannot open the store: %w", err), s.shutdownWithin(ctx, o.ShutdownTimeout))
	}
	s.Use(st)
	err = s.serveUntil(ctx, o)
	return errors.Join(err, st.Close())
}

// serveUntil serves until ctx ends, and returns when nothing of the server is left.
func (s *Server) serveUntil(ctx context.Context, o Options) error {
	if err := s.Listen(); err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready(s)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err := s.shutdownWithin(ctx, o.ShutdownTimeout)
	if serveErr := <-served; !errors.Is(serveErr, ErrClosed) { // Serve may not even have begun
		err = errors.Join(err, serveErr)
	}
	return err
}

// shutdownWithin is Shutdown that has so long, even though ctx may have ended.
func (s *Server) shutdownWithin(ctx context.Context, timeout time.Duration) error {
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	return s.Shutdown(patience)
}
