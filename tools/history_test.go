package tools

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestHistory: the steps of a topic, one after the other, are what was handed out, and each starts
// where the one before ended.
func TestHistory(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 400, 200)
	before := contents(t, dir)
	want := servedSums(t, dir)
	for topic, value := range want {
		var at core.Value
		var middle time.Time
		var steps []Step
		found, err := History(t.Context(), []byte(topic), dir, HistoryOptions{}, func(s Step) error {
			steps = append(steps, s)
			if s.Epoch != at.Epoch || s.Reset && s.Last != at.Sum || !s.Reset && s.First != at.Sum+1 {
				t.Errorf("topic %.20q: %+v does not follow from %+v", topic, s, at)
			}
			if at.Sum = s.Last; s.Reset {
				at = core.Value{Epoch: at.Epoch + 1}
			}
			return nil
		})
		if err != nil || at != value || !found.Covered || found.Last != 600 || found.Steps != uint64(len(steps)) {
			t.Fatalf("topic %.20q: %+v, want %+v, %v", topic, at, value, err)
		}
		middle = steps[len(steps)/2].Time
		late := 0
		if _, err := History(t.Context(), []byte(topic), dir, HistoryOptions{Since: middle}, func(s Step) error {
			if late++; s.Time.Before(middle) {
				t.Error("too early")
			}
			return nil
		}); err != nil || late == 0 || late > len(steps) {
			t.Error(late, err)
		}
	}
	if after := contents(t, dir); len(after) != len(before) {
		t.Error("files changed")
	}
	found, err := History(t.Context(), []byte("nobody counts this"), dir, HistoryOptions{},
		func(Step) error { return nil })
	if err != nil || found.Steps != 0 {
		t.Error(found, err)
	}
	if err := os.Remove(filepath.Join(store.LogDir(dir), "0000000000000001.seg")); err != nil {
		t.Fatal(err)
	}
	if found, err := History(t.Context(), []byte("topic 1"), dir, HistoryOptions{},
		func(Step) error { return nil }); err != nil || found.Covered || found.First == 1 {
		t.Error(found, err)
	}
	path := filepath.Join(store.LogDir(dir), "0000000000000002.seg")
	flip(t, path, 64+45)
	var damage *wal.CorruptionError
	if _, err := History(t.Context(), []byte("topic 1"), dir, HistoryOptions{},
		func(Step) error { return nil }); !errors.As(err, &damage) || damage.File != path {
		t.Error(err)
	}
}

// TestHistoryNamesARecord that is whole and no batch, after what was before it.
func TestHistoryNamesARecord(t *testing.T) {
	t.Parallel()
	dir := handmade(t, 9, nil, core.Change{Topic: []byte("a"), N: 1})
	log, err := wal.Open(store.LogDir(dir), wal.Options{SegmentSize: 8192})
	if err == nil {
		err = log.Start()
	}
	if err == nil {
		_, err = log.Append(1, []byte("no batch"))
	}
	if err := errors.Join(err, log.Sync(), log.Close()); err != nil {
		t.Fatal(err)
	}
	steps := 0
	_, err = History(t.Context(), []byte("a"), dir, HistoryOptions{}, func(Step) error { steps++; return nil })
	var damage *wal.CorruptionError
	if !errors.As(err, &damage) || damage.File != segmentPath(dir, 1) || damage.Index != 11 || damage.Offset <= 64 ||
		steps != 1 {
		t.Errorf("%d steps, %v", steps, err)
	}
}

// TestPartOfALog: what is left of a log is told, and then that it is not all; a log without a
// record is whole.
func TestPartOfALog(t *testing.T) {
	t.Parallel()
	whole, other := closedStore(t, seeded(t), 400, 200), closedStore(t, seeded(t), 400, 200)
	none := handmade(t, 9, []snapshot.Entry{{Topic: []byte("topic 1"), Value: core.Value{Sum: 4}, Last: 9}})
	last := func(log string) string {
		found, err := filepath.Glob(filepath.Join(log, "*.seg"))
		if err != nil || len(found) < 3 {
			t.Fatal(found, err)
		}
		return found[len(found)-1]
	}
	put := func(from, to string) error { return errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))) }
	for _, test := range []struct {
		name    string
		spoil   func(log string) error
		told    bool // there are records to tell of
		damaged bool
	}{
		{"no end", func(log string) error { return os.Remove(last(log)) }, true, true},
		{"damaged after it", func(log string) error { flip(t, last(log), 64+45); return nil }, true, true},
		{"another's", func(log string) error { return put(store.LogDir(other), log) }, true, true},
		{"gone", os.RemoveAll, false, true},
		{"empty", func(log string) error { return put(t.TempDir(), log) }, false, true},
		{"no records", func(log string) error { return put(none, filepath.Dir(log)) }, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := copyTree(t, whole)
			if err := test.spoil(store.LogDir(dir)); err != nil {
				t.Fatal(err)
			}
			check := func(told bool, err error) {
				t.Helper()
				if damaged := errors.As(err, new(*wal.CorruptionError)); told != test.told || damaged != test.damaged ||
					!damaged && err != nil {
					t.Errorf("told: %v, %v", told, err)
				}
			}
			told := false
			found, err := History(t.Context(), []byte("topic 1"), dir, HistoryOptions{},
				func(Step) error { told = true; return nil })
			check(told, err)
			if test.name == "no records" && (found.Covered || found.First != 10 || found.Last != 9) {
				t.Errorf("found was %+v, want nothing covered, from 10 to 9", found)
			}
			var lines bytes.Buffer
			w, err := NewRecordWriter(&lines, FormatNDJSON)
			if err != nil {
				t.Fatal(err)
			}
			err = DumpRecords(t.Context(), dir, w, DumpOptions{})
			check(lines.Len() > 0, err)
		})
	}
}

// flip flips a bit of a file.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := []byte{0}
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func kindOf(in *Inspected, name string) string {
	for _, f := range in.Files {
		if f.Name == name {
			return f.Kind
		}
	}
	return ""
}

func TestInspect(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 300, 100)
	for _, name := range []string{"notes", "counters.db.new", "reserve", filepath.Join("wal", "spare"),
		filepath.Join("wal", "counters.db")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in, err := Inspect(t.Context(), dir, InspectOptions{})
	if err != nil || in.Running || in.State != "closed cleanly" || in.First != 1 || in.Last != 400 ||
		in.Replay != 300 || in.Witness != 400 || in.Problem != "" || in.Tail == 0 || in.Estimate <= 0 {
		t.Fatalf("the closed store was read as %+v, %v", in, err)
	}
	kinds := map[string]int{}
	var tail int64 // bytes of the segments that a start reads
	for _, f := range in.Files {
		if kinds[f.Kind]++; f.Last > in.Replay {
			tail += f.Bytes
		}
		if f.Kind == "segment, format 1" && (f.First == 0 || f.Begun.IsZero()) {
			t.Errorf("a segment has no first record, or no time: %+v", f)
		}
	}
	if segments := kinds["segment, format 1"]; segments < 2 ||
		!maps.Equal(kinds, map[string]int{"segment, format 1": segments, "snapshot, format 1": 1, "lock": 1,
			"not ours": 2, "half-made snapshot, removed at a start": 1, "room held for the next snapshot": 1,
			"the next segment's zeros": 1, "mark of how far the log was durable": 1}) {
		t.Errorf("the files are of the kinds %v", kinds)
	}
	if in.Tail != tail || in.Tail < smallSegment || in.Tail > int64(kinds["segment, format 1"]-1)*smallSegment {
		t.Errorf("%d bytes after the snapshot, want %d", in.Tail, tail)
	}
	setMeta(t, dir, "format", []byte{2, 0, 0, 0})
	if in, err := Inspect(t.Context(), dir, InspectOptions{}); err != nil || kindOf(in,
		"counters.db") != "snapshot, of another version" || in.Problem == "" || in.Estimate != 0 || in.State != "" {
		t.Errorf("with a snapshot of another version it is %+v, %v, want a problem and no estimate", in, err)
	}
	if err := os.WriteFile(store.SnapshotPath(dir), bytes.Repeat([]byte("nonsense"), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if in, err := Inspect(t.Context(), dir, InspectOptions{}); err != nil || kindOf(in,
		"counters.db") != "snapshot, not readable" || in.Problem == "" || in.Estimate != 0 || in.State != "" {
		t.Errorf("with nonsense for a snapshot it is %+v, %v, want a problem and no estimate", in, err)
	}
	if err := os.Remove(store.SnapshotPath(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(store.LogDir(dir), "0000000000000001.seg")); err != nil {
		t.Fatal(err)
	}
	if in, err := Inspect(t.Context(), dir, InspectOptions{}); err != nil || in.Problem == "" {
		t.Errorf("without a snapshot and its first segment it is %+v, %v, want a problem", in, err)
	}
	if _, err := Inspect(t.Context(), t.TempDir(), InspectOptions{}); !errors.Is(err, store.ErrNoStore) {
		t.Error(err)
	}
}

// TestInspectOfWhatCannotBeRead: what the system does not let be read is an error, and no reason
// why a start would refuse.
func TestInspectOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 300, 60)
	for n := 1; ; n++ {
		seen, mark := 0, false
		disk := vfstest.NewFault(readOnly{vfs.OS{}}, func(op vfstest.Op) vfstest.Outcome {
			if op.Kind != vfstest.KindRead {
				return vfstest.Outcome{}
			}
			if seen++; seen != n {
				return vfstest.Outcome{}
			}
			mark = op.Name == wal.MarkPath(store.LogDir(dir))
			return vfstest.Fail(nil)
		})
		r := dirView{dir: dir, fs: disk}
		in, err := r.inspect("")
		switch {
		case seen < n:
			if err != nil || in.Problem != "" || n < 10 {
				t.Errorf("%d reads: %+v, %v", seen, in, err)
			}
			return
		case mark && (err != nil || in.Problem != ""):
			t.Errorf("a read of the mark fails: %+v, %v", in, err)
		case !mark && !errors.Is(err, syscall.EIO):
			t.Errorf("read %d fails: %+v, %v", n, in, err)
		}
	}
}
