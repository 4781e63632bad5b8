package store

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/wal"
)

// buildEntries are entries in their order, with topics and numbers that are hard on a format.
func buildEntries(r *rand.Rand, n int) []Entry {
	topics := [][]byte{{}, []byte("a"), []byte("a\x00"), []byte("line\nline"), bytes.Repeat([]byte("k"), 1024), bytes.Repeat([]byte("k"), 1025),
		bytes.Repeat([]byte("x"), MaxTopicLen), bytes.Repeat([]byte("y"), MaxTopicLen)}
	for i := range n {
		topics = append(topics, fmt.Appendf(nil, "topic/%d/%s", i, strings.Repeat("é", r.IntN(20))))
	}
	slices.SortFunc(topics, CompareTopics)
	entries := make([]Entry, len(topics))
	for i, topic := range topics {
		entries[i] = Entry{Topic: topic, Value: Value{Sum: r.Uint64() >> r.IntN(64), Epoch: r.Uint64() >> (1 + r.IntN(63))}, Last: uint64(i + 1)}
	}
	entries[0].Value = Value{Sum: math.MaxUint64, Epoch: maxEpoch}
	return entries
}

func build(t testing.TB, path string, id wal.ID, entries []Entry, index uint64) SnapshotMeta {
	t.Helper()
	b, err := NewBuilder(vfs.OS{}, path, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	m, err := b.Finish(index)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Abort(); err != nil {
		t.Fatal(err)
	}
	return m
}

func equalEntries(a, b Entry) bool {
	return bytes.Equal(a.Topic, b.Topic) && a.Value == b.Value && a.Last == b.Last
}

// TestBuilder builds a snapshot of several transactions, reads it back, and starts a store on it that counts on.
func TestBuilder(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	entries := buildEntries(rand.New(rand.NewPCG(seed, 0)), 25_000)
	dir, id := t.TempDir(), wal.ID{1}
	const index uint64 = 1 << 40
	built := build(t, SnapshotPath(dir), id, entries, index)

	var got []Entry
	m, err := ReadSnapshot(SnapshotPath(dir), func(_ SnapshotMeta, e Entry) error {
		e.Topic = bytes.Clone(e.Topic)
		got = append(got, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if m != built || m.Store != id || m.State != StateClosed || m.Replay != index || m.Witness != index {
		t.Errorf("the file says %+v, Finish said %+v", m, built)
	}
	if !slices.EqualFunc(got, entries, equalEntries) {
		t.Errorf("%d entries read back differ from the %d that were added", len(got), len(entries))
	}
	if err := (&snapshotFile{path: SnapshotPath(dir)}).check(); err != nil {
		t.Errorf("bbolt's check: %v", err)
	}
	if info, err := os.Stat(SnapshotPath(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v, want 0600", err, info.Mode())
	}

	if err := wal.Create(LogDir(dir), id, index+1, wal.Options{SegmentSize: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir, Options{SegmentSize: 1 << 20})
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
	if s.wal.Last() != index+1 {
		t.Errorf("the log ends at %d, want %d", s.wal.Last(), index+1)
	}
}

// TestBuilderIsTight compares the file with one that a store grew.
func TestBuilderIsTight(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new")
	var bytes int64
	entries := buildEntries(rand.New(rand.NewPCG(1, 1)), 50_000)
	for _, e := range entries {
		it := item{topic: e.Topic, value: e.Value, last: e.Last}
		bytes += pageElementSize + int64(len(it.key(nil))+len(it.encode(nil)))
	}
	build(t, path, wal.ID{1}, entries, 99)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > bytes*5/4 {
		t.Errorf("the file has %d bytes for %d bytes of entries", info.Size(), bytes)
	}
}

func TestBuilderRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		entries []Entry
	}{
		{"twice", []Entry{{Topic: []byte("a")}, {Topic: []byte("a")}}},
		{"order", []Entry{{Topic: []byte("b")}, {Topic: []byte("a")}}},
		{"long before short", []Entry{{Topic: make([]byte, maxPlainKey+1)}, {Topic: []byte("zzz")}}},
		{"too long", []Entry{{Topic: make([]byte, MaxTopicLen+1)}}},
		{"epoch", []Entry{{Topic: []byte("a"), Value: Value{Epoch: maxEpoch + 1}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "new")
			b, err := NewBuilder(vfs.OS{}, path, wal.ID{1})
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range test.entries {
				if err = b.Add(e); err != nil && i < len(test.entries)-1 {
					t.Fatal(err)
				}
			}
			if err == nil {
				t.Error("it was taken")
			}
			if _, err := b.Finish(1); err == nil {
				t.Error("it was finished all the same")
			}
			if err := b.Abort(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("the file is still there: %v", err)
			}
		})
	}
}

// TestBuilderFails lets each operation on the disk that it can see fail: the error comes out, and no file stays.
func TestBuilderFails(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		path := filepath.Join(t.TempDir(), "new")
		disk := vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
			if op.N == n {
				return vfstest.Fail(nil)
			}
			return vfstest.Outcome{}
		})
		b, err := NewBuilder(disk, path, wal.ID{1})
		if err == nil {
			if err = b.Add(Entry{Topic: []byte("a"), Value: Value{Sum: 1}, Last: 1}); err == nil {
				_, err = b.Finish(1)
			}
			if abort := b.Abort(); abort != nil {
				t.Errorf("operation %d: %v", n, abort)
			}
		}
		if disk.Total() < n {
			if err != nil || disk.Count(vfstest.KindSync) != 1 {
				t.Errorf("undisturbed: %v, %d syncs", err, disk.Count(vfstest.KindSync))
			}
			return
		}
		if err == nil {
			t.Errorf("operation %d failed and nobody said so", n)
		}
		if _, err := os.Stat(path); n > 2 && !os.IsNotExist(err) {
			t.Errorf("operation %d: the file is still there: %v", n, err)
		}
	}
}

func BenchmarkBuilder(b *testing.B) {
	path := filepath.Join(b.TempDir(), "new")
	builder, err := NewBuilder(vfs.OS{}, path, wal.ID{1})
	if err != nil {
		b.Fatal(err)
	}
	var topic []byte
	for i := 0; b.Loop(); i++ {
		topic = fmt.Appendf(topic[:0], "topic-%010d", i)
		if err := builder.Add(Entry{Topic: topic, Value: Value{Sum: uint64(i)}, Last: uint64(i)}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := builder.Finish(1 << 40); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mtopics/s")
}
