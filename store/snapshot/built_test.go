package snapshot_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"gcd/store"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestBuilder builds a snapshot of several transactions, reads it back, and starts a store on it
// that counts on.
func TestBuilder(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	entries := snapshot.BuildEntries(rand.New(rand.NewPCG(seed, 0)), 25_000)
	dir, id := t.TempDir(), wal.ID{1}
	const index uint64 = 1 << 40
	built := snapshot.Build(t, store.SnapshotPath(dir), id, entries, index)

	var got []snapshot.Entry
	m, err := snapshot.At(store.SnapshotPath(dir)).Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		e.Topic = bytes.Clone(e.Topic)
		got = append(got, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if m != built || m.Store != id || m.State != snapshot.StateClosed || m.Replay != index ||
		m.DurableAtLeast != index {
		t.Errorf("the file says %+v, Finish said %+v", m, built)
	}
	if !slices.EqualFunc(got, entries, snapshot.EqualEntries) {
		t.Errorf("%d entries read back differ from the %d that were added", len(got), len(entries))
	}
	if _, err := snapshot.At(store.SnapshotPath(dir)).Check(nil); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(store.SnapshotPath(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v, want 0600", err, info.Mode())
	}

	if err := wal.Create(store.LogDir(dir), id, index+1, wal.Options{SegmentSize: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(dir, store.Options{SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Recovery(); !r.Clean || r.Index != index || r.Topics != len(entries) {
		t.Errorf("recovered %+v", r)
	}
	for _, e := range entries {
		if v, ok := s.GetBytes(e.Topic); !ok || v != e.Value {
			t.Fatalf("topic %.64q is at %+v, want %+v", e.Topic, v, e.Value)
		}
	}
	if sum, err := s.Count(context.Background(), string(entries[1].Topic)); err != nil || sum != entries[1].Sum+1 {
		t.Errorf("counted to %d, %v; want %d", sum, err, entries[1].Sum+1)
	}
	if err := s.Snapshot(context.Background()); err != nil {
		t.Errorf("a snapshot on top: %v", err)
	}
	if last := s.Stats().Index; last != index+1 {
		t.Errorf("the log ends at %d, want %d", last, index+1)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
