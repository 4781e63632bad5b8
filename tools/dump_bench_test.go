package tools

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"gcd/internal/vfs"
	"gcd/store"
	"gcd/wal"
)

// bigStore is a directory with a snapshot of many topics of 16 bytes, and records behind it that count so many of them once more, from the first on.
func bigStore(b *testing.B, topics, behind int) string {
	b.Helper()
	dir := b.TempDir()
	builder, err := store.NewBuilder(vfs.OS{}, store.SnapshotPath(dir), wal.ID{1})
	if err != nil {
		b.Fatal(err)
	}
	for i := range topics {
		if err := builder.Add(store.Entry{Topic: fmt.Appendf(nil, "topic %010d", i), Value: store.Value{Sum: uint64(i)}, Last: 1}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := builder.Finish(100); err != nil {
		b.Fatal(err)
	}
	if err := wal.Create(store.LogDir(dir), wal.ID{1}, 101, wal.Options{SegmentSize: 64 << 20}); err != nil {
		b.Fatal(err)
	}
	log, err := wal.Open(store.LogDir(dir), wal.Options{SegmentSize: 64 << 20})
	if err == nil {
		err = log.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	var payload []byte
	for i := range behind {
		payload = append(append(payload, 2*16), fmt.Sprintf("topic %010d", i)...)
		payload = append(binary.AppendUvarint(append(payload, 0), uint64(i)), 1) // epoch 0, from sum i, one
		if i%10_000 == 9_999 || i == behind-1 {
			if _, err := log.Append(payload); err != nil {
				b.Fatal(err)
			}
			payload = payload[:0]
		}
	}
	if err := errors.Join(log.Sync(), log.Close()); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(store.LockPath(dir), nil, 0o600); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkDump dumps a million topics of 16 bytes, of a stopped server.
func BenchmarkDump(b *testing.B) {
	const topics = 1_000_000
	for _, test := range []struct {
		name, format string
		behind       int
	}{{"ndjson", "ndjson", 0}, {"csv", "csv", 0}, {"all in the log", "ndjson", topics}} {
		dir, format := bigStore(b, topics, test.behind), test.format
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				w, err := NewDumpWriter(io.Discard, format, false)
				if err != nil {
					b.Fatal(err)
				}
				if done, err := Dump(b.Context(), dir, w, DumpOptions{}); err != nil || done.Entries != topics {
					b.Fatal(done, err)
				}
			}
			b.ReportMetric(float64(topics*b.N)/b.Elapsed().Seconds(), "topics/s")
		})
	}
}
