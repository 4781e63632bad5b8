package wal

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/vfs/vfstest"
)

var markFile = path.Join(testDir, markName)

// lines is a log whose lines are kept; a line is its level and its message.
type lines struct{ bytes.Buffer }

func (l *lines) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: &l.Buffer, Level: hclog.Info, DisableTime: true})
}

// of returns the lines that speak of the mark.
func (l *lines) of(word string) []string {
	var found []string
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, word) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// TestMarkByHand compares with bytes that were worked out from docs/storage.md and not by this
// package's encoder.
func TestMarkByHand(t *testing.T) {
	t.Parallel()
	slot := func(flags uint32, number, index uint64) []byte {
		b := slices.Concat([]byte("\x67\x63\x64\x6d\x61\x72\x6b\x0a"), le.AppendUint32(nil, 1),
			le.AppendUint32(nil, flags), testID[:],
			le.AppendUint64(nil, number), le.AppendUint64(nil, index), make([]byte, 12))
		return le.AppendUint32(b, crcOf(b))
	}
	for _, each := range []bool{true, false} {
		disk := vfstest.NewMem()
		o := markedOptions(disk, each)
		if err := Create(testDir, testID, 1, o); err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 3*4096)
		expect := func(when string) {
			t.Helper()
			if got, _ := disk.ReadFile(markFile); !bytes.Equal(got, want) {
				t.Errorf("%s: a mark of %d bytes with\n%x\n%x\n%x, want\n%x\n%x\n%x", when, len(got), got[:64],
					got[4096:4096+64], got[8192:8192+64],
					want[:64], want[4096:4096+64], want[8192:8192+64])
			}
		}
		copy(want, slot(1, 1, 0))
		expect("created")
		flags := uint32(0)
		if each {
			flags = 1
		}
		l := start(t, o)
		copy(want[4096:], slot(flags, 2, 0))
		expect("started")
		appendSizes(t, l, 10, 20, 30)
		copy(want[8192:], slot(flags, 5, 3))
		expect("three records later")
		if !l.TurnMark() {
			t.Error("no turn")
		}
		expect("turned")
		appendSizes(t, l, 40)
		copy(want, slot(flags, 6, 4)) // not the second one: the third is not durable yet
		expect("a record later")
		l.SyncMark()
		if !l.TurnMark() {
			t.Error("no second turn")
		}
		appendSizes(t, l, 50)
		copy(want[4096:], slot(flags, 7, 5))
		expect("and another one")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = start(t, o)
		copy(want[8192:], slot(flags, 8, 5))
		expect("started again")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMarkIsWrittenWhenTheLogIsSynced: a Sync is the log's fdatasync and then one write of the
// mark; a start makes its slot durable when all of the log is.
func TestMarkIsWrittenWhenTheLogIsSynced(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, markedOptions(disk, true))
	appendSizes(t, l, 10)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var ops []string
	watch := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if changes(op.Kind) {
			ops = append(ops, fmt.Sprintf("%s %s", op.Kind, path.Base(op.Name)))
		}
		return vfstest.Outcome{}
	})
	l = start(t, markedOptions(watch, true))
	expect := func(want ...string) {
		t.Helper()
		if got := strings.Join(ops, ", "); got != strings.Join(want, ", ") {
			t.Errorf("%s, want %s", got, strings.Join(want, ", "))
		}
		ops = nil
	}
	expect("write 0000000000000001.seg", "write 0000000000000001.seg", "sync 0000000000000001.seg",
		"syncdir wal", "remove spare",
		"sync mark", "write mark", "sync mark")
	appendSizes(t, l, 20)
	expect("write 0000000000000001.seg", "sync 0000000000000001.seg", "write mark")
	if err := l.Sync(); err != nil || l.MarkMoved() != true {
		t.Error(err)
	}
	expect()
	if !l.TurnMark() || l.TurnMark() || l.MarkMoved() {
		t.Error("a turn with nothing new, or none with something")
	}
	l.SyncMark()
	expect("sync mark")
	for l.current.number == 1 {
		appendSizes(t, l, 1000)
	}
	if last := ops[len(ops)-1]; last != "write mark" {
		t.Errorf("the last of a rotation is %s", last)
	}
}

// TestMarkAllocates: the mark costs the sync of a record no allocation.
func TestMarkAllocates(t *testing.T) {
	allocations := func(o Options) float64 {
		dir := t.TempDir()
		o.SegmentSize = 1 << 20
		if err := Create(dir, testID, 1, o); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Start(); err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(50, func() {
			if _, err := l.Append(typeBatch, []byte("payload")); err != nil {
				t.Fatal(err)
			}
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		})
	}
	without, with := allocations(Options{}), allocations(markedOptions(nil, true))
	if with > without {
		t.Errorf("%v allocations for a record, %v without a mark", with, without)
	}
}

// TestTurnsSpareTheDurableSlot: while a sync of the mark fails no turn comes to the one slot that
// is durable.
func TestTurnsSpareTheDurableSlot(t *testing.T) {
	t.Parallel()
	disk, _ := markedRun(t, true)
	failing, failed := false, 0
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if failing && op.Kind == vfstest.KindSync && path.Base(op.Name) == markName {
			failed++
			if err := disk.FailSync(op.Name); err != nil {
				t.Error(err)
			}
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	l := start(t, markedOptions(fault, true))
	for range 2 {
		appendSizes(t, l, 8)
		if !l.TurnMark() {
			t.Fatal("no turn")
		}
		l.SyncMark()
	}
	failing = true
	for range 7 {
		appendSizes(t, l, 8)
		for seed := range uint64(20) {
			again, err := Open(testDir, markedOptions(disk.Crash(vfstest.Crash{Seed: seed, Garbage: true}), true))
			if err != nil || again.Mark().State != MarkSound || again.Mark().Index < 12 {
				t.Errorf("after %d syncs that failed, seed %d: %v", failed, seed, err)
			}
		}
		if !l.TurnMark() {
			t.Fatal("no turn")
		}
		l.SyncMark()
	}
	failing = false
	if !l.TurnMark() {
		t.Fatal("no turn")
	}
	l.SyncMark()
	again, err := Open(testDir, markedOptions(disk.Crash(vfstest.Crash{}), true))
	if err != nil || failed != 7 || again.Mark().Index != 19 {
		t.Errorf("after one that did not: %v", err)
	}
}

// TestMarkStates: what a start says of each state of the mark, and that the mark is sound after
// it.
func TestMarkStates(t *testing.T) {
	t.Parallel()
	disk, _ := markedRun(t, true)
	intact := freeze(disk)
	foreign := vfstest.NewMem()
	if err := Create(testDir, ID{9}, 1, markedOptions(foreign, true)); err != nil {
		t.Fatal(err)
	}
	each := func(b []byte, change func(slot []byte)) {
		for at := 0; at+64 <= len(b); at += 4096 {
			change(b[at : at+64])
		}
	}
	reseal := func(slot []byte) { le.PutUint32(slot[60:], crcOf(slot[:60])) }
	for _, row := range []struct {
		name   string
		note   MarkNote
		change func(f frozen)
		state  MarkState
		says   string // the level and a word; empty: nothing
	}{
		{"as it was", MarkCurrent, func(f frozen) {}, MarkSound, ""},
		{"an older gcd in between", MarkOld, func(f frozen) {}, MarkStale, "[INFO]  the mark is older"},
		{"no snapshot to tell", MarkUnknown, func(f frozen) {}, MarkStale, ""},
		{"never there", MarkUnknown, func(f frozen) { delete(f, markName) }, MarkMissing, "[INFO]  made the mark"},
		{"missing", MarkCurrent, func(f frozen) { delete(f, markName) }, MarkMissing, "[WARN]  the mark is missing"},
		{"missing, older", MarkOld, func(f frozen) { delete(f, markName) }, MarkMissing, "[WARN]  the mark is missing"},
		{"empty", MarkCurrent, func(f frozen) { f[markName] = nil }, MarkMissing, "[WARN]  the mark is missing"},
		{"zeros", MarkCurrent, func(f frozen) { clear(f[markName]) }, MarkMissing, "[WARN]  the mark is missing"},
		{"garbage", MarkCurrent, func(f frozen) { copy(f[markName], payload(1, 3*4096)) }, MarkDamaged,
			"[WARN]  the mark is damaged"},
		{"short garbage", MarkCurrent, func(f frozen) { f[markName] = []byte("hello\n") }, MarkDamaged,
			"[WARN]  the mark is damaged"},
		{"a bit of each slot", MarkCurrent, func(f frozen) { each(f[markName], func(s []byte) { s[40] ^= 1 }) },
			MarkDamaged, "[WARN]  the mark is damaged"},
		{"a version that is not known", MarkCurrent, func(f frozen) {
			each(f[markName],
				func(s []byte) { s[8] = 2; reseal(s) })
		}, MarkDamaged, "[WARN]  the mark is damaged"},
		{"flags that are not known", MarkCurrent, func(f frozen) {
			each(f[markName],
				func(s []byte) { s[12] = 3; reseal(s) })
		}, MarkDamaged, "[WARN]  the mark is damaged"},
		{"impossible numbers", MarkCurrent, func(f frozen) {
			each(f[markName],
				func(s []byte) { s[39] = 0xff; reseal(s) })
		}, MarkDamaged, "[WARN]  the mark is damaged"},
		{"another store's", MarkCurrent, func(f frozen) { f[markName], _ = foreign.ReadFile(markFile) },
			MarkForeign, "[WARN]  the mark is of another store"},
		{"a bit of the newest slot", MarkCurrent, func(f frozen) { f[markName][2*4096+40] ^= 1 },
			MarkSound, "[WARN]  a part of the mark is damaged"},
		{"a bit of an older slot", MarkCurrent, func(f frozen) { f[markName][7] ^= 1 },
			MarkSound, "[WARN]  a part of the mark is damaged"},
		{"one slot of three", MarkCurrent, func(f frozen) { f[markName] = f[markName][:64] }, MarkSound,
			"[WARN]  a part of the mark is damaged"},
		{"a byte short", MarkCurrent, func(f frozen) { f[markName] = f[markName][:3*4096-1] }, MarkSound,
			"[WARN]  a part of the mark is damaged"},
		{"much longer", MarkCurrent, func(f frozen) { f[markName] = append(f[markName], payload(1, 1<<20)...) },
			MarkSound, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := intact.clone()
			row.change(f)
			disk := f.thaw(t)
			var log lines
			o := markedOptions(disk, true)
			o.Mark.Note, o.Logger = row.note, log.logger()
			l, err := Open(testDir, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Mark().State; got != row.state {
				t.Errorf("state %d, want %d", got, row.state)
			}
			if !freeze(disk).equal(f) {
				t.Error("Open has written something")
			}
			if err := l.Start(); err != nil {
				t.Fatal(err)
			}
			said := log.of("mark")
			if row.says == "" && len(said) > 0 || row.says != "" && (len(said) != 1 ||
				!strings.HasPrefix(said[0], row.says)) {
				t.Errorf("it said %q, want %q", said, row.says)
			}
			if !l.Marked() {
				t.Error("no mark of this run is durable")
			}
			appendSizes(t, l, 8)
			for name, left := range map[string]*vfstest.Mem{
				"kill": disk.Clone(), "power loss": disk.Crash(vfstest.Crash{}),
			} {
				again, err := Open(testDir, markedOptions(left, true))
				want := Mark{State: MarkSound, Index: 11, SyncEach: true, Store: testID}
				if name == "power loss" {
					want.Index = 10
				}
				if err != nil || again.Mark() != want {
					t.Errorf("after a %s: %+v, %v, want %+v", name, again.Mark(), err, want)
				}
			}
		})
	}
}

// TestMarkOnItsOwn: whatever happens to each operation on the mark, the log goes on, it warns once,
// and the mark is written again when it can be.
func TestMarkOnItsOwn(t *testing.T) {
	t.Parallel()
	for _, kind := range []vfstest.Kind{
		vfstest.KindOpen, vfstest.KindOpenRead, vfstest.KindRead, vfstest.KindSize, vfstest.KindWrite, vfstest.KindSync,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			disk, _ := markedRun(t, true)
			broken, hits := true, 0
			fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
				if broken && op.Kind == kind && path.Base(op.Name) == markName {
					hits++
					return vfstest.Fail(nil)
				}
				return vfstest.Outcome{}
			})
			var log lines
			o := markedOptions(fault, true)
			o.Logger = log.logger()
			l, err := Open(testDir, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Start(); err != nil {
				t.Fatal(err)
			}
			appendSizes(t, l, 8, 8)
			if hits == 0 {
				t.Fatal("nothing was injected")
			}
			reading := kind == vfstest.KindOpenRead || kind == vfstest.KindRead
			if l.Marked() != reading {
				t.Errorf("marked %t", l.Marked())
			}
			if said := log.of("mark"); len(said) != 1 || !strings.HasPrefix(said[0], "[WARN]") ||
				!strings.Contains(said[0], syscall.EIO.Error()) {
				t.Errorf("it said %q", said)
			}
			if l.TurnMark() && (kind == vfstest.KindOpen || kind == vfstest.KindWrite) {
				t.Error("a turn of a mark that cannot be written")
			}
			broken = false
			appendSizes(t, l, 8)
			if !l.TurnMark() {
				t.Fatal("no turn of a mark that works again")
			}
			l.SyncMark()
			if !l.Marked() {
				t.Error("not marked")
			}
			appendSizes(t, l, 8)
			for name, left := range map[string]*vfstest.Mem{
				"kill": disk.Clone(), "power loss": disk.Crash(vfstest.Crash{}),
			} {
				again, err := Open(testDir, markedOptions(left, true))
				if err != nil || again.Mark().State != MarkSound || again.Mark().Index < 13 {
					t.Errorf("after a %s: %+v, %v", name, again.Mark(), err)
				}
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMarkThatMayNotBeOpened: a mark of another user's, or without the right mode, is made anew at
// once; the directory is ours.
func TestMarkThatMayNotBeOpened(t *testing.T) {
	t.Parallel()
	for name, kinds := range map[string][]vfstest.Kind{
		"at all": {vfstest.KindOpen, vfstest.KindOpenRead}, "to be written": {vfstest.KindOpen},
	} {
		disk, _ := markedRun(t, true)
		closed := true
		fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
			if path.Base(op.Name) != markName {
				return vfstest.Outcome{}
			}
			if op.Kind == vfstest.KindRemove {
				closed = false
			}
			if closed && slices.Contains(kinds, op.Kind) {
				return vfstest.Fail(syscall.EACCES)
			}
			return vfstest.Outcome{}
		})
		var log lines
		o := markedOptions(fault, true)
		o.Logger = log.logger()
		l, err := Open(testDir, o)
		if err == nil {
			err = l.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, said := range log.of("mark") {
			if strings.Contains(said, "cannot write") {
				t.Errorf("%s: it said %q", name, said)
			}
		}
		if !l.Marked() {
			t.Errorf("%s: not marked", name)
		}
		appendSizes(t, l, 8)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		again, err := Open(testDir, markedOptions(disk.Crash(vfstest.Crash{}), true))
		if err != nil || again.Mark().State != MarkSound {
			t.Errorf("%s: after a power loss: %+v, %v", name, again.Mark(), err)
		}
	}
}

// TestMarkIsNotTouched: a Log that keeps none leaves the mark as it is.
func TestMarkIsNotTouched(t *testing.T) {
	t.Parallel()
	disk, _ := markedRun(t, true)
	before, _ := disk.ReadFile(markFile)
	l := start(t, testOptions(disk))
	appendSizes(t, l, 8)
	if l.TurnMark() {
		t.Error("a turn")
	}
	if after, _ := disk.ReadFile(markFile); !bytes.Equal(before, after) {
		t.Error("the mark was changed")
	}
	bare := vfstest.NewMem()
	appendSizes(t, create(t, testOptions(bare)), 8)
	if _, err := bare.ReadFile(markFile); err == nil {
		t.Error("a mark was made")
	}
}

// TestMarkIndexReadAtOnce: a mark that cannot be read in part is good for what could be read.
func TestMarkIndexReadAtOnce(t *testing.T) {
	t.Parallel()
	disk, offsets := markedRun(t, true)
	b, _ := disk.ReadFile(segment1)
	clear(b[offsets[0]:])
	if err := disk.WriteFile(segment1, b); err != nil {
		t.Fatal(err)
	}
	for slot := range int64(3) {
		fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
			if op.Kind == vfstest.KindRead && path.Base(op.Name) == markName && op.Off == slot*markSpan {
				return vfstest.Fail(nil)
			}
			return vfstest.Outcome{}
		})
		_, err := Open(testDir, markedOptions(fault, true))
		if refused := slot != 2; errors.As(err, new(*CorruptionError)) != refused { // the third one has the records
			t.Errorf("slot %d cannot be read: %v", slot, err)
		}
	}
}

// TestMarkBitByBit: a mark with one bit flipped, or cut off, never says more than it did, and never
// keeps a log from being opened.
func TestMarkBitByBit(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, markedOptions(disk, true))
	for range 4 { // each slot has something else
		appendSizes(t, l, 8)
		if !l.TurnMark() {
			t.Fatal("no turn")
		}
		l.SyncMark()
	}
	intact := freeze(disk)
	check := func(what string, f frozen) {
		t.Helper()
		l, err := Open(testDir, markedOptions(f, true))
		if err != nil {
			t.Fatalf("%s: a log that is whole was refused: %v", what, err)
		}
		if m := l.Mark(); m.Index > 4 || m.State == MarkSound && (m.Index < 2 || !m.Partial) || m.State != MarkSound &&
			m.State != MarkMissing && m.State != MarkDamaged {
			t.Errorf("%s: the mark was read as %+v, which is neither what was written nor damaged", what, m)
		}
	}
	for slot := range 3 {
		for bit := range 64 * 8 {
			f := intact.clone()
			f[markName][slot*markSpan+bit/8] ^= 1 << (bit % 8)
			check(fmt.Sprintf("slot %d, bit %d", slot, bit), f)
		}
	}
	for n := range markFileSize {
		if n%markSpan < 70 {
			f := intact.clone()
			f[markName] = f[markName][:n]
			check(fmt.Sprintf("%d bytes", n), f)
		}
	}
}

// TestMarkOfADirectoryThatIsGone: a mark whose file is to be made anew is not made in a directory
// that another one has the name of.
func TestMarkOfADirectoryThatIsGone(t *testing.T) {
	t.Parallel()
	disk, _ := markedRun(t, true)
	gone, broken := false, true
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if broken && op.Kind == vfstest.KindOpen && path.Base(op.Name) == markName {
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	o := markedOptions(fault, true)
	o.Check = func() error {
		if gone {
			return errors.New("it was moved")
		}
		return nil
	}
	l := start(t, o)
	before, _ := disk.ReadFile(markFile)
	gone, broken = true, false
	appendSizes(t, l, 8)
	if l.TurnMark() {
		t.Error("a turn")
	}
	if after, _ := disk.ReadFile(markFile); !bytes.Equal(before, after) {
		t.Error("the mark was written")
	}
}
