package snapshot

import (
	"bytes"
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
	"gcd/store/core"
	"gcd/wal"
)

// BuildEntries are entries in their order, with topics and numbers that are hard on a format.
func BuildEntries(r *rand.Rand, n int) []Entry {
	topics := [][]byte{{}, []byte("a"), []byte("a\x00"), []byte("line\nline"), bytes.Repeat([]byte("k"), 1024),
		bytes.Repeat([]byte("k"), 1025),
		bytes.Repeat([]byte("x"), core.MaxTopicLen), bytes.Repeat([]byte("y"), core.MaxTopicLen)}
	for i := range n {
		topics = append(topics, fmt.Appendf(nil, "topic/%d/%s", i, strings.Repeat("é", r.IntN(20))))
	}
	slices.SortFunc(topics, core.CompareTopics)
	entries := make([]Entry, len(topics))
	for i, topic := range topics {
		entries[i] = Entry{Topic: topic,
			Value: core.Value{Sum: r.Uint64() >> r.IntN(64),
				Epoch: r.Uint64() >> (1 + r.IntN(63))}, Last: uint64(i + 1)}
	}
	entries[0].Value = core.Value{Sum: math.MaxUint64, Epoch: core.MaxEpoch}
	return entries
}

// Build builds a file of entries.
func Build(t testing.TB, path string, id wal.ID, entries []Entry, index uint64) Meta {
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

// EqualEntries compares what a Builder takes.
func EqualEntries(a, b Entry) bool {
	return bytes.Equal(a.Topic, b.Topic) && a.Value == b.Value && a.Last == b.Last
}

// TestBuilderIsTight compares the file with one that a store grew.
func TestBuilderIsTight(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new")
	var bytes int64
	entries := BuildEntries(rand.New(rand.NewPCG(1, 1)), 50_000)
	for _, e := range entries {
		bytes += pageElementSize + int64(len(e.key(nil))+len(e.encode(nil)))
	}
	Build(t, path, wal.ID{1}, entries, 99)
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
		{"long before short", []Entry{{Topic: make([]byte, core.MaxPlainTopic+1)}, {Topic: []byte("zzz")}}},
		{"too long", []Entry{{Topic: make([]byte, core.MaxTopicLen+1)}}},
		{"epoch", []Entry{{Topic: []byte("a"), Value: core.Value{Epoch: core.MaxEpoch + 1}}}},
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

// TestBuilderFails lets each operation on the disk that it can see fail: the error comes out, and
// no file stays.
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
			if err = b.Add(Entry{Topic: []byte("a"), Value: core.Value{Sum: 1}, Last: 1}); err == nil {
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
		if err := builder.Add(Entry{Topic: topic, Value: core.Value{Sum: uint64(i)}, Last: uint64(i)}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := builder.Finish(1 << 40); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mtopics/s")
}
