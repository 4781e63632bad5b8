package store

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
)

// TestAlive: a store lives while its owner comes round, and does not while the disk hangs.
func TestAlive(t *testing.T) {
	t.Parallel()
	gate, entered := make(chan struct{}), make(chan struct{}, 100)
	var gated atomic.Bool
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) (out vfstest.Outcome) {
		if gated.Load() && op.Kind == vfstest.KindSync && strings.HasSuffix(op.Name, ".seg") {
			entered <- struct{}{}
			<-gate
		}
		return out
	})
	s := openStore(t, t.TempDir(), Options{fs: fault, logDir: "log"})
	if err := s.Alive(t.Context()); err != nil {
		t.Errorf("an idle store: %v", err)
	}
	if _, err := s.Count(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Alive(t.Context()); err != nil {
		t.Errorf("a store that counts: %v", err)
	}

	gated.Store(true)
	counted := make(chan error, 1)
	go func() {
		_, err := s.Count(t.Context(), "a")
		counted <- err
	}()
	within(t, "the disk's sync", entered)
	alive, early := make(chan error, 1), false
	go func() {
		err := s.Alive(context.WithoutCancel(t.Context()))
		early = gated.Load()
		alive <- err
	}()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Alive(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("while a sync hangs: %v, want the context's end", err)
	}
	for asked := 0; asked < 2; runtime.Gosched() { // both questions wait for the owner
		s.queue.mu.Lock()
		asked = len(s.queue.tasks)
		s.queue.mu.Unlock()
	}
	for range 100 {
		runtime.Gosched()
	}
	gated.Store(false)
	close(gate)
	if err := within(t, "the count", counted); err != nil {
		t.Error(err)
	}
	if err := within(t, "the answer when the sync is through", alive); err != nil {
		t.Error(err)
	}
	if early {
		t.Error("it was said to live while a sync hung")
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Alive(t.Context()); !errors.Is(err, core.ErrClosed) {
		t.Errorf("a closed store: %v, want ErrClosed", err)
	}
}
