package tools

import (
	"fmt"
	"os"
	"testing"

	"gcd/internal/vfs"
	"gcd/store"
	"gcd/wal"
)

// BenchmarkVerify verifies a directory with a snapshot of a million topics of 16 bytes.
func BenchmarkVerify(b *testing.B) {
	const topics = 1_000_000
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
	if err := wal.Create(store.LogDir(dir), wal.ID{1}, 101, wal.Options{SegmentSize: 1 << 20}); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(store.LockPath(dir), nil, 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if v := verified(b, dir, VerifyOptions{}); v.Err() != nil {
			b.Fatal(v.Err())
		}
	}
	b.ReportMetric(float64(topics*b.N)/b.Elapsed().Seconds(), "topics/s")
}
