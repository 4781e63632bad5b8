package store

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openMemory opens a store without a directory and closes it with the test.
func openMemory(t testing.TB, o Options) *Store { return openStore(t, "", o) }

// openStore opens a store and, when the test ends, checks its invariants and closes it.
func openStore(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && s.Err() == nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// runOps submits ops as one group and returns them with their outcomes.
func runOps(t testing.TB, s *Store, ops []Op) []Op {
	t.Helper()
	done := make(chan struct{})
	g := &Group{Ops: ops, Done: func(*Group) { close(done) }}
	s.Submit(g)
	<-done
	return g.Ops
}

// copySnapshot copies a store's snapshot file into a new directory.
func copySnapshot(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	b, err := os.ReadFile(filepath.Join(dir, snapshotName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, snapshotName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}
