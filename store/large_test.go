package store

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
)

// largeRun is a life with batches of a few bytes to the longest record, of which each is a record.
func (sc *script) largeRun(t *testing.T) {
	t.Helper()
	sc.open(t, Options{})
	longest := sc.s.wal.MaxRecord()
	batch := func(bytes int) { // of long topics, so that a model of it is small
		var ops []core.Op
		for i := 0; bytes > 0; i++ {
			size := min(bytes, sc.s.options.MaxTopicLen+core.MaxChangeLen) - core.MaxChangeLen
			if size < 8 {
				size = 8
			}
			ops = append(ops, count(fmt.Sprintf("%d %s", i, strings.Repeat("x", size-4)), uint64(i+1)))
			bytes -= size + core.MaxChangeLen
		}
		sc.batch(t, ops...)
	}
	sc.batch(t, count("a", 1))
	for _, size := range []int{9000, longest / 2, 70_000, longest, 1, longest} {
		batch(min(size, longest))
		sc.batch(t, count("a", 1), reset("b"))
	}
	sc.snapshot(t)
	batch(longest)
	sc.batch(t, count("a", 1))
	if err := sc.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCrashOverSizes: as TestCrashAtEveryOperation, with segments as large as they are in earnest
// and batches that fill a record, before each operation on a segment but those in the middle of
// making a spare.
func TestCrashOverSizes(t *testing.T) {
	t.Parallel()
	segments := []int64{64 << 10, 4 << 20, 64 << 20}
	if thin.On() {
		segments = segments[:2]
	}
	for _, segment := range segments {
		t.Run(fmt.Sprintf("segments of %d bytes", segment), func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, []vfstest.Crash{{Keep: 0}, {Seed: 3, Keep: 0.5, Garbage: true}})
			r.segment = segment
			r.only = func(op vfstest.Op) bool { return path.Base(op.Name) != "spare" || op.Kind == vfstest.KindRename }
			sc := newScript(r)
			sc.largeRun(t)
			if len(r.points) < 30 {
				t.Fatalf("only %d crash points", len(r.points))
			}
			for i := 0; i < len(r.points); i += thin.Step(4) {
				p := r.points[i]
				for _, version := range p.versions {
					for v, disk := range p.disks {
						where := fmt.Sprintf("point %d (before %s %s %d+%d), snapshot version %d, variant %d",
							i, p.op.Kind, p.op.Name, p.op.Off, p.op.Len, version, v)
						sc.recoverAndCheck(t, where, disk.Clone(), version, p)
					}
				}
			}
		})
	}
}
