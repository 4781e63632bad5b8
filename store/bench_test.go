package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// bareDisk is the floor under a durable answer: a write of 64 bytes and a sync on a zero-filled
// file.
type bareDisk struct {
	f   vfs.File
	off int64
	buf [64]byte
}

const bareSize = 16 << 20

func newBareDisk(b *testing.B) *bareDisk {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bare")
	if err := os.WriteFile(path, make([]byte, bareSize), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := vfs.OS{}.Open(path)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return &bareDisk{f: f}
}

func (d *bareDisk) op(b *testing.B) {
	d.buf[0]++
	if _, err := d.f.WriteAt(d.buf[:], d.off); err != nil {
		b.Fatal(err)
	}
	if err := d.f.Sync(); err != nil {
		b.Fatal(err)
	}
	d.off = (d.off + 64) % bareSize
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2])
}

// BenchmarkLoneCount: a lone durable COUNT, by a caller that runs the round itself and by the
// committer, in turn with a bare append and sync. The ratios are of medians.
func BenchmarkLoneCount(b *testing.B) {
	s := openStore(b, b.TempDir(), Options{SnapshotInterval: -1})
	disk := newBareDisk(b)
	done := make(chan struct{}, 1)
	g := &core.Group{Ops: []core.Op{{Kind: core.Count, Topic: []byte("orders")}},
		Done: func(*core.Group) { done <- struct{}{} }}
	var own, committer, bare []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		t0 := time.Now()
		disk.op(b)
		t1 := time.Now()
		if s.Enqueue(g) {
			s.Round()
		}
		<-done
		t2 := time.Now()
		s.Submit(g)
		<-done
		t3 := time.Now()
		bare, own, committer = append(bare, t1.Sub(t0)), append(own, t2.Sub(t1)), append(committer, t3.Sub(t2))
	}
	floor := median(bare)
	b.ReportMetric(floor/1e3, "bare-p50-µs")
	b.ReportMetric(median(own)/floor, "own-round/bare")
	b.ReportMetric(median(committer)/floor, "committer/bare")
}

// BenchmarkPipeline: the whole pipeline in process, n callers at once with a number of counts each,
// durable, against the disk's bare syncs per second.
func BenchmarkPipeline(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		for _, pipeline := range []int{1, 128} {
			for _, topics := range []int{1, 1 << 20} {
				b.Run(fmt.Sprintf("callers=%d/pipeline=%d/topics=%d", callers, pipeline, topics), func(b *testing.B) {
					benchPipeline(b, callers, pipeline, topics)
				})
			}
		}
	}
}

func benchPipeline(b *testing.B, callers, pipeline, topics int) {
	s := openStore(b, b.TempDir(), Options{SnapshotInterval: -1})
	disk := newBareDisk(b)
	var bare []time.Duration
	for range 50 {
		t0 := time.Now()
		disk.op(b)
		bare = append(bare, time.Since(t0))
	}
	names := make([][]byte, topics)
	for i := range names {
		names[i] = fmt.Appendf(nil, "counter:%012d", i)
	}
	before := s.Stats()
	var wg sync.WaitGroup
	per := b.N/callers/pipeline + 1
	b.ResetTimer()
	for c := range callers {
		wg.Go(func() {
			done := make(chan struct{}, 1)
			g := &core.Group{Ops: make([]core.Op, pipeline), Done: func(*core.Group) { done <- struct{}{} }}
			at := uint32(c * 7919)
			for range per {
				for i := range g.Ops {
					at = at*1664525 + 1013904223
					g.Ops[i] = core.Op{Kind: core.Count, Topic: names[int(at>>8)%topics]}
				}
				s.Submit(g)
				<-done
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	after := s.Stats()
	ops := float64(after.Counts - before.Counts)
	b.ReportMetric(ops/b.Elapsed().Seconds(), "counts/s")
	b.ReportMetric(float64(after.LogBytes-before.LogBytes)/ops, "log-B/count")
	b.ReportMetric(ops/float64(after.Syncs-before.Syncs), "counts/sync")
	b.ReportMetric(median(bare)/1e3, "bare-p50-µs")
}

// BenchmarkRecovery: a start from a snapshot, and one from the log alone.
func BenchmarkRecovery(b *testing.B) {
	const topics = 1 << 20
	for _, snapshot := range []bool{true, false} {
		b.Run(fmt.Sprintf("snapshot=%v", snapshot), func(b *testing.B) {
			dir := b.TempDir()
			s, err := Open(dir, Options{SnapshotInterval: -1})
			if err != nil {
				b.Fatal(err)
			}
			for i := 0; i < topics; i += 4096 {
				ops := make([]core.Op, 4096)
				for j := range ops {
					ops[j] = core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "counter:%012d", (i+j)*7919%topics)}
				}
				runOps(b, s, ops)
			}
			if snapshot {
				if err := s.Snapshot(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s, err := Open(dir, Options{SnapshotInterval: -1})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if s.Len() != topics {
					b.Fatalf("%d topics", s.Len())
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(topics/(b.Elapsed().Seconds()/float64(b.N))/1e6, "Mtopics/s")
		})
	}
}

// BenchmarkSnapshotUnderLoad: counting of 64 callers, 16 counts at a time, while a snapshot of a
// million changed topics is written, against the same before it. The callers count a few hot
// topics: it is the snapshot that costs, not they.
func BenchmarkSnapshotUnderLoad(b *testing.B) {
	const topics = 1 << 20
	var during, ratio []float64
	for b.Loop() {
		b.StopTimer()
		s, err := Open(b.TempDir(), Options{SnapshotInterval: -1, SnapshotBytes: -1})
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; i < topics; i += 8192 {
			ops := make([]core.Op, 8192)
			for j := range ops {
				ops[j] = core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "counter:%012d", (i+j)*7919%topics)}
			}
			runOps(b, s, ops)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for c := range 64 {
			wg.Go(func() {
				done := make(chan struct{}, 1)
				g := &core.Group{Ops: make([]core.Op, 16), Done: func(*core.Group) { done <- struct{}{} }}
				for {
					select {
					case <-stop:
						return
					default:
					}
					for i := range g.Ops {
						g.Ops[i] = core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "hot-%d", c%8)}
					}
					s.Submit(g)
					<-done
				}
			})
		}
		rate := func(f func()) float64 {
			before, began := s.Stats().Counts, time.Now()
			f()
			return float64(s.Stats().Counts-before) / time.Since(began).Seconds()
		}
		quiet := rate(func() {
			for began := time.Now(); time.Since(began) < time.Second; {
				time.Sleep(time.Millisecond)
			}
		})
		b.StartTimer()
		busy := rate(func() {
			if err := s.Snapshot(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
		b.StopTimer()
		during, ratio = append(during, busy), append(ratio, busy/quiet)
		close(stop)
		wg.Wait()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	slices.Sort(ratio)
	slices.Sort(during)
	b.ReportMetric(during[len(during)/2], "counts/s")
	b.ReportMetric(ratio[len(ratio)/2], "during/before")
}

// BenchmarkWriteEntries: a snapshot's transactions over a file of a million topics, all of them or
// each eighth; nothing is synced.
func BenchmarkWriteEntries(b *testing.B) {
	const topics = 1_000_000
	for _, every := range []int{1, 8} {
		b.Run(fmt.Sprintf("every=%d", every), func(b *testing.B) {
			file := snapshot.File{Path: filepath.Join(b.TempDir(), snapshot.FileName),
				Hooks: snapshot.Hooks{NoSync: true}}
			if err := file.Create(vfs.OS{}, wal.ID{1}, false); err != nil {
				b.Fatal(err)
			}
			sum := uint64(0)
			round := func(every int) {
				sum++
				var items []snapshot.Entry
				for i := 0; i < topics; i += every {
					items = append(items,
						snapshot.Entry{Topic: fmt.Appendf(nil, "counter:%012d", i), Value: core.Value{Sum: sum},
							Last: sum})
				}
				for part := range slices.Chunk(items, snapshot.TransactionEntries) {
					if err := file.Write(part, sum, nil); err != nil {
						b.Fatal(err)
					}
				}
			}
			round(1)
			for b.Loop() {
				round(every)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(topics/float64(every)), "ns/entry")
		})
	}
}

// BenchmarkOpenWithHistory: a start of a small store whose log is kept for history, 1 GiB of it,
// against one without.
func BenchmarkOpenWithHistory(b *testing.B) {
	for _, size := range []int64{0, 1 << 30} {
		b.Run(fmt.Sprintf("kept=%dMiB", size>>20), func(b *testing.B) {
			dir := b.TempDir()
			o := Options{Sync: SyncInterval, SnapshotInterval: -1, SnapshotBytes: -1, Retain: Retain{Bytes: size}}
			s, err := Open(dir, o)
			if err != nil {
				b.Fatal(err)
			}
			ops := make([]core.Op, 16)
			for written := int64(0); written < max(size, 64<<20); written += 1 << 20 {
				for i := range ops {
					ops[i] = core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "%065000d", i)}
				}
				runOps(b, s, ops)
			}
			if err := s.Snapshot(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s, err := Open(dir, o)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			kept := 0
			if dir, err := os.ReadDir(filepath.Join(dir, logName)); err == nil {
				kept = len(dir)
			}
			b.ReportMetric(float64(kept), "segments")
		})
	}
}

// BenchmarkRound is what the commit owner does for a batch besides the disk: 64 groups of 128
// counts each, in a store without a directory.
func BenchmarkRound(b *testing.B) {
	for _, topics := range []int{1, 1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			s := openStore(b, "", Options{})
			names := make([][]byte, topics)
			for i := range names {
				names[i] = fmt.Appendf(nil, "counter:%012d", i)
			}
			groups := make([]*core.Group, 64)
			for i := range groups {
				groups[i] = &core.Group{Ops: make([]core.Op, 128), Done: func(*core.Group) {}}
			}
			round := func(name func() []byte) {
				for _, g := range groups {
					for i := range g.Ops {
						g.Ops[i] = core.Op{Kind: core.Count, Topic: name()}
					}
				}
				b.StartTimer()
				if !s.Enqueue(groups...) {
					b.Fatal("somebody else owns the commit")
				}
				s.Round()
				b.StopTimer()
			}
			b.StopTimer()
			for n := 0; n < topics; n += 64 * 128 {
				// all are there, made in an order that has nothing to do with their names
				at := n
				round(func() []byte { at++; return names[at*7919%topics] })
			}
			// Topics come in a copy each, as from the network.
			var buf []byte
			b.ResetTimer()
			ops, at := 0, uint32(1)
			for ops < b.N {
				buf = buf[:0]
				round(func() []byte {
					at = at*1664525 + 1013904223
					buf = append(buf, names[int(at>>8)%topics]...)
					return buf[len(buf)-len(names[0]):]
				})
				ops += 64 * 128
			}
		})
	}
}
