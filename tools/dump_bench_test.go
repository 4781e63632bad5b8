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
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// bigStore is a directory with a snapshot of many topics of 16 bytes, and records after it that
// count so many of them once more, from the first on.
func bigStore(b *testing.B, topics, after int) string {
	b.Helper()
	dir := b.TempDir()
	buildSnapshot(b, dir, topics, 100, func(i int) (sum, last uint64) { return uint64(i), 1 })
	appendCounts(b, dir, 101, after, func(i int) (from uint64) { return uint64(i) })
	return dir
}

// countsOfRecord is how many counts appendCounts puts into a record.
const countsOfRecord = 10_000

// wholeStore is a directory as a server leaves it that has counted on many topics of 16 bytes once:
// all of it is in the snapshot, and in the log still.
func wholeStore(b *testing.B, topics int) string {
	b.Helper()
	dir := b.TempDir()
	records := uint64(topics+countsOfRecord-1) / countsOfRecord
	buildSnapshot(b, dir, topics, records, func(i int) (sum, last uint64) { return 1, uint64(1 + i/countsOfRecord) })
	appendCounts(b, dir, 1, topics, func(int) (from uint64) { return 0 })
	return dir
}

func buildSnapshot(b *testing.B, dir string, topics int, replay uint64, state func(i int) (sum, last uint64)) {
	b.Helper()
	builder, err := snapshot.NewBuilder(vfs.OS{}, store.SnapshotPath(dir), wal.ID{1})
	if err != nil {
		b.Fatal(err)
	}
	for i := range topics {
		sum, last := state(i)
		if err := builder.Add(snapshot.Entry{Topic: fmt.Appendf(nil, "topic %010d", i), Value: core.Value{Sum: sum},
			Last: last}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := builder.Finish(replay); err != nil {
		b.Fatal(err)
	}
}

// appendCounts makes a log of counts, one of each topic.
func appendCounts(b *testing.B, dir string, first uint64, topics int, from func(i int) uint64) {
	b.Helper()
	if err := wal.Create(store.LogDir(dir), wal.ID{1}, first, wal.Options{SegmentSize: 64 << 20}); err != nil {
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
	for i := range topics {
		payload = append(append(payload, 2*16), fmt.Sprintf("topic %010d", i)...)
		payload = append(binary.AppendUvarint(append(payload, 0), from(i)), 1) // epoch 0, one
		if i%countsOfRecord == countsOfRecord-1 || i == topics-1 {
			if _, err := log.Append(1, payload); err != nil {
				b.Fatal(err)
			}
			payload = payload[:0]
		}
	}
	if err := errors.Join(log.Sync(), log.Close(), os.WriteFile(store.LockPath(dir), nil, 0o600)); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDump dumps a million topics of 16 bytes, of a stopped server.
func BenchmarkDump(b *testing.B) {
	const topics = 1_000_000
	for _, test := range []struct {
		name, format string
		after        int
	}{{"ndjson", "ndjson", 0}, {"csv", "csv", 0}, {"all in the log", "ndjson", topics}} {
		dir, format := bigStore(b, topics, test.after), test.format
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
