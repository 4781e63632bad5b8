package wal

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gcd/internal/vfs"
)

// benchLog is a started log on the real disk and the directory above it.
func benchLog(b *testing.B, segmentSize int64) (*Log, string) {
	b.Helper()
	dir := b.TempDir()
	o := Options{SegmentSize: segmentSize}
	if err := Create(filepath.Join(dir, "wal"), testID, 1, o); err != nil {
		b.Fatal(err)
	}
	l, err := Open(filepath.Join(dir, "wal"), o)
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l, dir
}

// BenchmarkAppendSync is a durable record of 60 bytes against the least that the disk takes for the
// same bytes: one write and one fdatasync in a zero-filled file. The two take turns, so that the
// disk's moods meet both.
func BenchmarkAppendSync(b *testing.B) {
	l, dir := benchLog(b, 16<<20)
	bare, err := makeSpare(vfs.OS{}, dir, 16<<20, func() error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = bare.Close() })
	p := payload(1, 60)
	raw := payload(2, int(recordSize(60)))
	var ours, theirs []time.Duration
	off := int64(segmentHeaderSize)
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		if err := writeAt(bare, raw, off); err != nil {
			b.Fatal(err)
		}
		if err := bare.Sync(); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := l.Append(typeBatch, p); err != nil {
			b.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			b.Fatal(err)
		}
		ours, theirs = append(ours, time.Since(middle)), append(theirs, middle.Sub(begin))
		if off += int64(len(raw)); off+int64(len(raw)) > 16<<20 {
			off = segmentHeaderSize
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	median := func(d []time.Duration) float64 { return float64(d[len(d)/2]) / 1e3 }
	b.ReportMetric(median(ours), "p50-µs")
	b.ReportMetric(median(theirs), "bare-p50-µs")
	b.ReportMetric(median(ours)/median(theirs), "p50-ratio")
}

// BenchmarkAppend is an append without a sync, rotations included.
func BenchmarkAppend(b *testing.B) {
	l, _ := benchLog(b, DefaultSegmentSize)
	p := payload(1, 60)
	b.SetBytes(recordSize(60))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(typeBatch, p); err != nil {
			b.Fatal(err)
		}
		if l.Last()%500_000 == 0 {
			if err := l.Release(l.Durable()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkRead reads a segment of records from the page cache; bytes are those of the records.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{60, 4000} {
		b.Run(map[int]string{60: "60B", 4000: "4kB"}[size], func(b *testing.B) {
			l, _ := benchLog(b, 16<<20)
			p := payload(1, size)
			for l.off+recordSize(size) <= l.current.size {
				if _, err := l.Append(typeBatch, p); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Sync(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(l.Stats().Bytes)
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for _, err := range l.Records(1) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if int64(n) != l.Stats().Records {
					b.Fatalf("%d records", n)
				}
			}
		})
	}
}

// BenchmarkOpen checks an almost empty segment: what a start with a short log costs.
func BenchmarkOpen(b *testing.B) {
	l, dir := benchLog(b, DefaultSegmentSize)
	appendSizes(b, l, 60)
	for b.Loop() {
		if _, err := Open(filepath.Join(dir, "wal"), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
