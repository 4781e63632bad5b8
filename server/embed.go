package server

import (
	"context"
	"errors"
	"fmt"

	"gcd/store"
)

// ListenAndServe is a whole counter service in one call: it opens the store in o.Data, serves it until ctx ends, answers
// what is under way, for at most o.ShutdownTimeout, and closes the store. It returns nil when all of that went well.
func ListenAndServe(ctx context.Context, o Options) error {
	o = o.withDefaults()
	if o.Store.Logger == nil {
		o.Store.Logger = o.Logger.Named("store")
	}
	st, err := store.Open(o.Data, o.Store)
	if err != nil {
		return fmt.Errorf("server: cannot open the store: %w", err)
	}
	err = serveUntil(ctx, st, o)
	return errors.Join(err, st.Close())
}

// serveUntil serves b until ctx ends, and returns when nothing of the server is left.
func serveUntil(ctx context.Context, b Backend, o Options) error {
	s, err := New(b, o)
	if err != nil {
		return err
	}
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
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.ShutdownTimeout)
	defer cancel()
	err = s.Shutdown(patience)
	if serveErr := <-served; !errors.Is(serveErr, ErrClosed) { // Serve may not even have begun
		err = errors.Join(err, serveErr)
	}
	return err
}
