package tools

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"gcd/store"
	"gcd/wal"
)

// TestRepair damages directories in ways that stop a start. A repair that may not do it changes nothing. One that may leaves a directory that starts, in which no
// topic that it calls sure has less than it had, and keeps the old one whole.
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
		{"a record behind the snapshot", func(t *testing.T, r *rand.Rand, dir string) {
			flip(t, seg(dir, 7), 64+45+r.Int64N(1500))
		}, false, true, false},
		{"many bits behind the snapshot", func(t *testing.T, r *rand.Rand, dir string) {
			for range 20 {
				flip(t, seg(dir, 7), 64+r.Int64N(5000))
			}
		}, false, true, false},
		{"a segment header", func(t *testing.T, _ *rand.Rand, dir string) { flip(t, seg(dir, 7), 33) }, true, true, true},
		{"a segment header, and history", func(t *testing.T, _ *rand.Rand, dir string) {
			flip(t, seg(dir, 2), 64+45)
			flip(t, seg(dir, 7), 33)
		}, true, true, true},
		{"the magic of a header", func(t *testing.T, _ *rand.Rand, dir string) { flip(t, seg(dir, 7), 1) }, true, true, true},
		{"a missing segment", func(t *testing.T, _ *rand.Rand, dir string) { remove(t, seg(dir, 7)) }, false, true, false},
		{"a segment cut off", func(t *testing.T, _ *rand.Rand, dir string) {
			if err := os.Truncate(seg(dir, 7), 5000); err != nil {
				t.Fatal(err)
			}
		}, false, true, false},
		{"the log gone", func(t *testing.T, _ *rand.Rand, dir string) { remove(t, store.LogDir(dir)) }, false, false, false},
		{"the snapshot damaged, the log from 1", func(t *testing.T, _ *rand.Rand, dir string) { flipEntry(t, dir) }, true, true, true},
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
		{"the last segment missing", func(t *testing.T, _ *rand.Rand, dir string) { remove(t, lastSegment(t, dir)) }, false, false, false},
		{"the last record damaged behind a clean end", func(t *testing.T, _ *rand.Rand, dir string) {
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
				t.Fatalf("%+v", plan)
			}
			tight, err := Repair(t.Context(), dir, RepairOptions{memory: 1})
			if err != nil || !reflect.DeepEqual(tight, plan) {
				t.Errorf("with little memory: %+v, %v; want %+v", tight, err, plan)
			}
			done, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment, memory: 2000})
			if err != nil || !done.Done {
				t.Fatalf("%+v, %v", done, err)
			}
			if m, err := store.ReadSnapshotMeta(store.SnapshotPath(intact)); err != nil || (done.Store == m.Store) != row.whole {
				t.Errorf("it is store %s, and was %s, %v", done.Store, m.Store, err)
			}
			unsure := map[string]bool{}
			for _, topic := range done.Unsure {
				unsure[string(topic)] = true
			}
			got := servedSums(t, dir)
			if got == nil {
				t.Fatal("it does not start")
			}
			if uint64(len(got)) != done.Topics || done.Sure+uint64(len(unsure)) != done.Topics || row.sure && done.Sure == 0 || done.Open && done.Sure > 0 {
				t.Errorf("%d topics; %d, of which %d are sure; lost %v, open %t", len(got), done.Topics, done.Sure, done.Lost, done.Open)
			}
			for topic, v := range had {
				now, there := got[topic]
				if !there {
					if row.whole {
						t.Errorf("topic %.20q is gone", topic)
					}
					continue
				}
				if (!unsure[topic] || row.exact) && less(now, v) || row.whole && v != now {
					t.Errorf("topic %.20q had %+v, and has %+v", topic, v, now)
				}
			}
			if v := verified(t, dir, VerifyOptions{}); v.Err() != nil || done.Index != 700 || v.First != 701 {
				t.Errorf("%+v", v)
			}
			aside := contents(t, done.Aside)
			if len(aside) < len(before) {
				t.Errorf("%d files are kept of %d", len(aside), len(before))
			}
			again, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true})
			if err != nil || !again.Needless {
				t.Errorf("%+v, %v", again, err)
			}
		})
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

// flipEntry damages an entry of the snapshot: the page that begins with a topic that was counted.
func flipEntry(t testing.TB, dir string) {
	t.Helper()
	path := store.SnapshotPath(dir)
	size := int64(0) // of what holds something
	if _, err := store.CheckSnapshot(path, nil, func(off, n int64) { size = max(size, off+n) }); err != nil {
		t.Fatal(err)
	}
	for at := size - 1; at >= 0; at-- { // the first bit that a start notices in the entries
		flip(t, path, at)
		if _, err := store.ReadSnapshot(path, func(store.SnapshotMeta, store.Entry) error { return nil }); err != nil {
			return
		}
		flip(t, path, at)
	}
	t.Fatal("nothing is noticed")
}

// TestRepairDoubts: a record whose payload nothing proves is counted, and an entry of a damaged snapshot that names a record that never was is not taken.
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
		t.Errorf("%+v, %v", plan, err)
	}

	entries := []store.Entry{{Topic: []byte("a"), Value: store.Value{Sum: 4}, Last: 9}, {Topic: []byte("b"), Value: store.Value{Sum: 7}, Last: 1000}}
	dir = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(handmade(t, 10, entries, store.Change{Topic: []byte("c"), N: 1}))); err != nil {
		t.Fatal(err)
	}
	setMeta(t, dir, "digest", make([]byte, 16))
	done, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true})
	if err != nil || done.Snapshot != "read in part" || done.Sure != 1 || len(done.Unsure) != 1 || string(done.Unsure[0]) != "a" {
		t.Errorf("%+v, %v", done, err)
	}
	if got := servedSums(t, dir); !maps.Equal(got, map[string]store.Value{"a": {Sum: 4}, "c": {Sum: 1}}) {
		t.Errorf("%v", got)
	}
}

// TestRepairOpen: where the snapshot says that the store was closed its witness is the last record, and else more than it says may be lost.
func TestRepairOpen(t *testing.T) {
	t.Parallel()
	intact := closedStore(t, seeded(t), 100, 40)
	for name, damage := range map[string]func(dir string) error{
		"the log":          func(dir string) error { return os.RemoveAll(store.LogDir(dir)) },
		"the last segment": func(dir string) error { return os.Remove(lastSegment(t, dir)) },
	} {
		for state, open := range map[store.State]bool{store.StateOpen: true, store.StateClosed: false} {
			dir := copyTree(t, intact)
			setMeta(t, dir, "state", []byte{byte(state)})
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			plan, err := Repair(t.Context(), dir, RepairOptions{})
			if err != nil || plan.Open != open || plan.Whole() || plan.Index != 140 || plan.Lost[len(plan.Lost)-1].Last != 140 {
				t.Errorf("%s, %v: %+v, %v", name, state, plan, err)
			}
		}
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
	flip(t, lastSegment(t, newerLog), 8)
	damagedToo := copyTree(t, newerLog)
	flip(t, filepath.Join(store.LogDir(damagedToo), "0000000000000001.seg"), 33)
	for _, dir := range []string{newer, newerLog, damagedToo} {
		before := contents(t, dir)
		if _, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true}); !errors.Is(err, wal.ErrVersion) || !maps.Equal(before, contents(t, dir)) {
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
