package tools

import (
	"fmt"
	"io"
	"os"
	"testing"

	"gcd/internal/vfs"
	"gcd/store"
	"gcd/wal"
)

// bigStore is a directory with a snapshot of many topics of 16 bytes, and no record.
func bigStore(b testing.TB, topics int) string {
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
	if err := os.WriteFile(store.LockPath(dir), nil, 0o600); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkDump dumps a million topics of 16 bytes, of a stopped server.
func BenchmarkDump(b *testing.B) {
	const topics = 1_000_000
	dir := bigStore(b, topics)
	for _, format := range []string{"ndjson", "csv"} {
		b.Run(format, func(b *testing.B) {
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
