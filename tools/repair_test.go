package tools

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestRepair damages directories in ways that stop a start. A repair that may not do it changes
// nothing. One that may leaves a directory that starts, in which no topic that it calls sure has
// less than it had, and keeps the old one whole.
func TestRepair(t *testing.T) {
	t.Parallel()
	seg := func(dir string, n int) string { return filepath.Join(store.LogDir(dir), fmt.Sprintf("%016x.seg", n)) }
	remove := func(t *testing.T, path string) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	intact := closedStore(t, seeded(t), 200, 500)
	had := servedSums(t, intact)
	rows := []struct {
		name   string
		damage func(t *testing.T, r *rand.Rand, dir string)
		whole  bool
		sure   bool // some topics are
		exact  bool // every topic is in the log's end, so none has less, sure or not
	}{
		{"a record after the snapshot", func(t *testing.T, r *rand.Rand, dir string) {
			flip(t, seg(dir, 7), 64+45+r.Int64N(1500))
		}, false, true, false},
		{"many bits after the snapshot", func(t *testing.T, r *rand.Rand, dir string) {
			for range 20 {
				flip(t, seg(dir, 7), 64+r.Int64N(5000))
			}
		}, false, true, false},
		{"a segment header", func(t *testing.T, _ *rand.Rand, dir string) { flip(t, seg(dir, 7), 33) }, true, true,
			true},
		{"a segment header, and history", func(t *testing.T, _ *rand.Rand, dir string) {
			flip(t, seg(dir, 2), 64+45)
			flip(t, seg(dir, 7), 33)
		}, true, true, true},
		{"the magic of a header", func(t *testing.T, _ *rand.Rand, dir string) { flip(t, seg(dir, 7), 1) }, true, true,
			true},
		{"the version of a header", func(t *testing.T, _ *rand.Rand, dir string) { flip(t, seg(dir, 7), 8) }, true,
			true, true},
		{"the whole of a header", func(t *testing.T, _ *rand.Rand,
			dir string) {
			overwrite(t, seg(dir, 7), make([]byte, 64))
		}, true, true, true},
		{"every magic", func(t *testing.T, _ *rand.Rand, dir string) {
			for n := 1; ; n++ {
				if _, err := os.Stat(seg(dir, n)); err != nil {
					return
				}
				overwrite(t, seg(dir, n), []byte("nonsense"))
			}
		}, true, true, true},
		{"a missing segment", func(t *testing.T, _ *rand.Rand, dir string) { remove(t, seg(dir, 7)) }, false, true,
			false},
		{"a segment cut off", func(t *testing.T, _ *rand.Rand, dir string) {
			if err := os.Truncate(seg(dir, 7), 5000); err != nil {
				t.Fatal(err)
			}
		}, false, true, false},
		{"the log gone", func(t *testing.T, _ *rand.Rand, dir string) { remove(t, store.LogDir(dir)) }, false, false,
			false},
		{"the snapshot damaged, the log from 1", func(t *testing.T, _ *rand.Rand, dir string) { flipEntry(t, dir) },
			true, true, true},
		{"the snapshot missing, the log later", func(t *testing.T, _ *rand.Rand, dir string) {
			remove(t, store.SnapshotPath(dir))
			remove(t, seg(dir, 1))
		}, false, false, true},
		{"the snapshot's entries damaged, the log later", func(t *testing.T, r *rand.Rand, dir string) {
			flipEntry(t, dir)
			remove(t, seg(dir, 1))
		}, false, false, true},
		{"the snapshot of no bytes, the log later", func(t *testing.T, _ *rand.Rand, dir string) {
			if err := os.Truncate(store.SnapshotPath(dir), 0); err != nil {
				t.Fatal(err)
			}
			remove(t, seg(dir, 1))
		}, false, false, true},
		{"the last segment missing", func(t *testing.T, _ *rand.Rand, dir string) { remove(t, lastSegment(t, dir)) },
			false, false, false},
		{"the last record damaged after a clean end", func(t *testing.T, _ *rand.Rand, dir string) {
			log, err := wal.Open(store.LogDir(dir), wal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			flip(t, lastSegment(t, dir), log.Tail().Offset-9)
		}, false, false, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := seeded(t)
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(intact)); err != nil {
				t.Fatal(err)
			}
			row.damage(t, r, dir)
			if servedSums(t, dir) != nil {
				t.Fatal("it starts all the same")
			}
			before := contents(t, dir)
			plan, err := Repair(t.Context(), dir, RepairOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if plan.Done || plan.Needless || plan.Whole() != row.whole || !maps.Equal(before, contents(t, dir)) {
				t.Fatalf("the plan is %+v, want a mere plan, and nothing lost: %t", plan, row.whole)
			}
			tight, err := Repair(t.Context(), dir, RepairOptions{memory: 1})
			if err != nil || !reflect.DeepEqual(tight, plan) {
				t.Errorf("with little memory: %+v, %v; want %+v", tight, err, plan)
			}
			unsure := map[string]core.Value{}
			done, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment,
				memory: 2000,
				Report: func(all iter.Seq2[*Counter, error]) error {
					for c, err := range all {
						if err != nil {
							return err
						}
						unsure[string(c.Topic)] = c.Value
					}
					return nil
				}})
			if err != nil || !done.Done {
				t.Fatalf("the repair did %+v, %v, want that it is done", done, err)
			}
			if m, err := snapshot.At(store.SnapshotPath(intact)).Meta(); err != nil ||
				(done.Store == m.Store) != row.whole {
				t.Errorf("it is store %s, and was %s, %v", done.Store, m.Store, err)
			}
			got := servedSums(t, dir)
			if got == nil {
				t.Fatal("it does not start")
			}
			if uint64(len(got)) != done.Topics || done.Sure+uint64(len(unsure)) != done.Topics ||
				len(done.Unsure) != min(len(unsure), mostUnsure) || row.sure && done.Sure == 0 || done.Open &&
				done.Sure > 0 {
				t.Errorf("%d topics; %d, of which %d are sure; lost %v, open %t", len(got), done.Topics, done.Sure,
					done.Lost, done.Open)
			}
			for topic, v := range had {
				now, there := got[topic]
				if !there {
					if row.whole {
						t.Errorf("topic %.20q is gone", topic)
					}
					continue
				}
				reported, doubtful := unsure[topic]
				if doubtful && reported != now {
					t.Errorf("topic %.20q is reported with %+v, and has %+v", topic, reported, now)
				}
				if (!doubtful || row.exact) && less(now, v) || row.whole && v != now {
					t.Errorf("topic %.20q had %+v, and has %+v", topic, v, now)
				}
			}
			if v := verified(t, dir, VerifyOptions{}); v.Err() != nil || done.Index != 700 || v.First != 701 {
				t.Errorf("the repaired store is %+v, want a whole one from index 700 on", v)
			}
			aside := contents(t, done.Aside)
			if len(aside) < len(before) {
				t.Errorf("%d files are kept of %d", len(aside), len(before))
			}
			again, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true})
			if err != nil || !again.Needless {
				t.Errorf("a second repair did %+v, %v, want that it is needless", again, err)
			}
		})
	}
}

// makeNewer makes a segment's header that of a later version.
func makeNewer(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 64)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	b[8]++
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crc32.MakeTable(crc32.Castagnoli)))
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}

func lastSegment(t testing.TB, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(store.LogDir(dir), "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return names[len(names)-1]
}

// overwrite writes other bytes over a file's first ones.
func overwrite(t testing.TB, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// flipEntry damages an entry of the snapshot: the page that begins with a topic that was counted.
func flipEntry(t testing.TB, dir string) {
	t.Helper()
	path := store.SnapshotPath(dir)
	size := int64(0) // of what holds something
	if _, err := snapshot.At(path).Check(func(off, n int64) { size = max(size, off+n) }); err != nil {
		t.Fatal(err)
	}
	for at := size - 1; at >= 0; at-- { // the first bit that a start notices in the entries
		flip(t, path, at)
		if _, err := snapshot.At(path).Read(func(snapshot.Meta, snapshot.Entry) error { return nil }); err != nil {
			return
		}
		flip(t, path, at)
	}
	t.Fatal("nothing is noticed")
}

// TestRepairDoubts: a record whose payload nothing proves is counted, and an entry of a damaged
// snapshot that names a record that never was is not taken.
func TestRepairDoubts(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 20, 30)
	log, err := wal.Open(store.LogDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range log.Records(25) {
		if err != nil {
			t.Fatal(err)
		}
		flip(t, filepath.Join(store.LogDir(dir), fmt.Sprintf("%016x.seg", r.Segment)), r.Offset+10) // its header
		break
	}
	plan, err := Repair(t.Context(), dir, RepairOptions{})
	if err != nil || plan.Doubtful != 1 || len(plan.Lost) != 1 || plan.Lost[0] != (Range{25, 25}) {
		t.Errorf("the plan is %+v, %v, want one doubtful topic, and record 25 alone lost", plan, err)
	}

	entries := []snapshot.Entry{{Topic: []byte("a"), Value: core.Value{Sum: 4}, Last: 9},
		{Topic: []byte("b"), Value: core.Value{Sum: 7}, Last: 1000}}
	dir = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(handmade(t, 10, entries, core.Change{Topic: []byte("c"), N: 1}))); err != nil {
		t.Fatal(err)
	}
	setMeta(t, dir, "digest", make([]byte, 16))
	done, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true})
	if err != nil || done.Snapshot != "read in part" || done.Sure != 1 || len(done.Unsure) != 1 ||
		string(done.Unsure[0]) != "a" {
		t.Errorf("the repair did %+v, %v, want one topic sure, and topic a alone not", done, err)
	}
	if got := servedSums(t, dir); !maps.Equal(got, map[string]core.Value{"a": {Sum: 4}, "c": {Sum: 1}}) {
		t.Errorf("the repaired store serves %v, want a with 4 and c with 1", got)
	}
}

// TestRepairOfAPart: where an entry of a snapshot is gone, and nothing else names its topic,
// something is lost, though all that is left is sure.
func TestRepairOfAPart(t *testing.T) {
	t.Parallel()
	dir := handmade(t, 10, nil, core.Change{Topic: []byte("c"), N: 1})
	setMeta(t, dir, "count", binary.LittleEndian.AppendUint64(nil, 1))
	done, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true})
	if err != nil || !done.Partial() || done.Whole() || done.Sure != 1 || done.Topics != 1 ||
		done.Store == (wal.ID{1}) {
		t.Errorf("the repair did %+v, %v, want a part, with one topic that is sure", done, err)
	}
}

// TestRepairOpen: a repair says that nothing is lost only where the directory proves it: the store
// was closed, and its snapshot names the last record; or the end of the log was read, and lies
// where the snapshot says that the log came to, or after it. The snapshot has every record up to
// 350, and the log goes on to 390.
func TestRepairOpen(t *testing.T) {
	t.Parallel()
	intact := closedStoreOf(t, seeded(t), 350, 40, false)
	log, err := wal.Open(store.LogDir(intact), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	end := log.Tail().Offset
	segments := log.Segments()
	before := segments[len(segments)-1].First - 1 // what is left without the last segment
	if before >= 350 {
		t.Fatalf("the last segment begins after record %d", before)
	}
	unreadable := func(t *testing.T, dir string) error { // but for the pages that have the entries
		overwrite(t, store.SnapshotPath(dir), make([]byte, 2*os.Getpagesize()))
		return nil
	}
	cut := func(size int64) func(t *testing.T, dir string) error {
		return func(t *testing.T, dir string) error { return os.Truncate(lastSegment(t, dir), size) }
	}
	missing := func(t *testing.T, dir string) error { return os.Remove(lastSegment(t, dir)) }
	header := func(t *testing.T, dir string) error { flip(t, lastSegment(t, dir), 33); return nil }
	noLog := func(t *testing.T, dir string) error { return os.RemoveAll(store.LogDir(dir)) }
	type row struct {
		name    string
		state   snapshot.State
		witness uint64
		damage  func(t *testing.T, dir string) error
		open    bool
		index   uint64 // after which the result goes on
		lost    []Range
		mark    bool // there is one
	}
	var rows []row
	for _, row := range []row{
		{"the log is gone", snapshot.StateOpen, 390, noLog, true, 390, []Range{{351, 390}}, false},
		{"the log is gone, closed", snapshot.StateClosed, 390, noLog, false, 390, []Range{{351, 390}}, false},
		{"the log is gone, all of it in the snapshot", snapshot.StateOpen, 350, noLog, true, 350, nil, false},
		{"the log is gone, all of it in the snapshot, closed", snapshot.StateClosed, 350, noLog, false, 350, nil,
			false},
		{"the last segment is missing", snapshot.StateOpen, 390, missing, true, 390, []Range{{351, 390}}, false},
		{"the last segment is missing, closed", snapshot.StateClosed, 390, missing, false, 390, []Range{{351, 390}},
			false},
		{"the last segment is missing, its records were in the snapshot", snapshot.StateOpen, 350, missing, true, 350,
			nil, false},
		{"the last segment is missing, its records were in the snapshot, closed", snapshot.StateClosed, 350, missing,
			false, 350, nil, false},
		{"the last segment is cut", snapshot.StateOpen, 350, cut(64), true, 350, nil, false},
		{"the last segment is cut to its header's half", snapshot.StateOpen, 350, cut(32), true, 350, nil, false},
		{"the last segment has no bytes", snapshot.StateOpen, 350, cut(0), true, 350, nil, false},
		{"the last segment has no bytes, and the snapshot not all", snapshot.StateOpen, 390, cut(0), true, 390,
			[]Range{{351, 390}}, false},
		{"the last segment has no bytes, closed", snapshot.StateClosed, 390, cut(0), false, 390, []Range{{351, 390}},
			false},
		{"the last segment is cut after its records", snapshot.StateOpen, 350, cut(end + 48), false, 390, nil, false},
		{"the last segment's header", snapshot.StateOpen, 350, header, false, 390, nil, false},
		{"the snapshot", snapshot.StateOpen, 390, unreadable, false, 390, nil, false},
		{"the snapshot, and the last segment is missing", snapshot.StateOpen, 390,
			func(t *testing.T, dir string) error {
				return errors.Join(unreadable(t, dir), missing(t, dir))
			}, true, before, nil, false},
		{"the snapshot, and the last segment has no bytes", snapshot.StateOpen, 390,
			func(t *testing.T, dir string) error {
				return errors.Join(unreadable(t, dir), os.Truncate(lastSegment(t, dir), 0))
			}, true, before, nil, false},
		{"the log goes on after what was said to be its end", snapshot.StateClosed, 350, header, false, 390, nil,
			false},
		{"the same, and it is cut", snapshot.StateClosed, 350, cut(end), true, 390, nil, false},
	} {
		// With the mark, which says 390, what is missing up to there is known to be lost, and a
		// store that was closed before that was not closed.
		marked := row
		marked.name, marked.mark = row.name+", marked", true
		if hasLog := !strings.HasPrefix(row.name, "the log is gone"); hasLog && row.index < 390 {
			marked.open, marked.lost, marked.index = true, []Range{{row.index + 1, 390}}, 390
		}
		rows = append(rows, row, marked)
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(intact)); err != nil {
				t.Fatal(err)
			}
			if !row.mark {
				if err := os.Remove(wal.MarkPath(store.LogDir(dir))); err != nil {
					t.Fatal(err)
				}
			}
			setMeta(t, dir, "state", []byte{byte(row.state)})
			setMeta(t, dir, "witness", binary.LittleEndian.AppendUint64(nil, row.witness))
			was, err := snapshot.At(store.SnapshotPath(dir)).Meta()
			if err != nil {
				t.Fatal(err)
			}
			if err := row.damage(t, dir); err != nil {
				t.Fatal(err)
			}
			done, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment})
			if err != nil || !done.Done {
				t.Fatalf("the repair did %+v, %v, want that it is done", done, err)
			}
			whole := !row.open && row.lost == nil
			done.Unsure = nil // of whom there are many
			if done.Open != row.open || !slices.Equal(done.Lost, row.lost) || done.Index != row.index ||
				done.Whole() != whole || row.open && done.Sure > 0 {
				t.Errorf("%+v, want open %t, lost %v, index %d", done, row.open, row.lost, row.index)
			}
			if believed := strings.TrimSuffix(row.name, ", marked") == "the snapshot"; done.Believed != believed {
				t.Errorf("believed %t, want %t", done.Believed, believed)
			}
			if (done.Store == was.Store) != whole {
				t.Errorf("it is store %s, and was %s", done.Store, was.Store)
			}
		})
	}
}

func TestRepairRefuses(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 60, 10)
	if err := os.RemoveAll(store.LogDir(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(store.LogDir(dir), os.DirFS(store.LogDir(closedStore(t, seeded(t), 60, 10)))); err != nil {
		t.Fatal(err)
	}
	if _, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true}); !errors.Is(err, ErrTwoStores) {
		t.Error(err)
	}
	if _, err := Repair(t.Context(), t.TempDir(), RepairOptions{AcceptLoss: true}); !errors.Is(err, store.ErrNoStore) {
		t.Error(err)
	}
	// What a newer version wrote is no damage.
	newer := closedStore(t, seeded(t), 60, 10)
	setMeta(t, newer, "format", []byte{2, 0, 0, 0})
	newerLog := closedStore(t, seeded(t), 60, 10)
	makeNewer(t, lastSegment(t, newerLog))
	damagedToo := copyTree(t, newerLog)
	flip(t, filepath.Join(store.LogDir(damagedToo), "0000000000000001.seg"), 33)
	for _, dir := range []string{newer, newerLog, damagedToo} {
		before := contents(t, dir)
		if _, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true}); !errors.Is(err, wal.ErrVersion) ||
			!maps.Equal(before, contents(t, dir)) {
			t.Error(err)
		}
	}
	running := t.TempDir()
	s, err := store.Open(running, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Repair(t.Context(), running, RepairOptions{AcceptLoss: true}); !errors.Is(err, store.ErrLocked) {
		t.Error(err)
	}
}

// TestRepairOfWhatCannotBeRead: what the system cannot read just now is not lost: a repair ends
// with its error, and changes nothing, also where there is damage beside, and whichever segment it
// is.
func TestRepairOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 300, 60)
	segments, err := filepath.Glob(filepath.Join(store.LogDir(dir), "*.seg"))
	if err != nil || len(segments) < 4 {
		t.Fatal(segments, err)
	}
	for _, damaged := range []int{0, 2} {
		dir := copyTree(t, dir)
		in := func(segment string) string { return filepath.Join(store.LogDir(dir), filepath.Base(segment)) }
		flip(t, in(segments[damaged]), 200)
		for at, unreadable := range segments {
			if at == damaged {
				continue
			}
			var failed atomic.Int64
			disk := vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
				if op.Kind == vfstest.KindRead && op.Name == in(unreadable) {
					failed.Add(1)
					return vfstest.Fail(nil)
				}
				return vfstest.Outcome{}
			})
			before := contents(t, dir)
			_, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment, logFS: disk})
			if !errors.Is(err, syscall.EIO) || isDamage(err) || failed.Load() == 0 ||
				!maps.Equal(before, contents(t, dir)) {
				t.Fatalf("segment %d of %d is damaged, %d cannot be read: %v, %d reads failed",
					damaged+1, len(segments), at+1, err, failed.Load())
			}
		}
	}
}

// TestRepairOfAnUnreadableMark: the mark may know of records that nothing else does, so a repair
// does not go on without one that is there and cannot be read just now. A server starts without it.
func TestRepairOfAnUnreadableMark(t *testing.T) {
	t.Parallel()
	dir := killedStore(t)
	log, err := wal.Open(store.LogDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range log.Records(6) { // those from there on are gone, and only the mark says so
		if err != nil {
			t.Fatal(err)
		}
		overwriteAt(t, lastSegment(t, dir), r.Offset, make([]byte, log.Tail().Offset-r.Offset))
		break
	}
	want, err := Repair(t.Context(), dir, RepairOptions{})
	if err != nil || want.Needless || want.Index != 10 || want.Whole() {
		t.Fatalf("the plan is %+v, %v, want a loss after index 10", want, err)
	}
	refused := 0
	for n := int64(1); ; n++ {
		dir := copyTree(t, dir)
		var seen atomic.Int64
		disk := vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
			if op.Name == markOf(dir) && op.Kind != vfstest.KindClose && seen.Add(1) == n {
				return vfstest.Fail(nil)
			}
			return vfstest.Outcome{}
		})
		before := contents(t, dir)
		got, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, logFS: disk})
		touched := !maps.Equal(before, contents(t, dir))
		switch {
		case errors.Is(err, syscall.EIO) && !isDamage(err) && !touched:
			refused++
		case err != nil || touched != got.Done || got.Done && got.Index != want.Index || !got.Done && !got.Needless:
			t.Errorf("operation %d on the mark fails: %+v, %v, changed: %t", n, got, err, touched)
		}
		if seen.Load() < n {
			if !got.Done || refused < 4 {
				t.Errorf("undisturbed: %+v; %d times refused", got, refused)
			}
			return
		}
	}
}
