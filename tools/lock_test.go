package tools

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestLockIsHeld: while something changes a directory no server starts in it, also where there was
// no file to lock.
func TestLockIsHeld(t *testing.T) {
	t.Parallel()
	whole := closedStore(t, seeded(t), 60, 20)
	damaged, _ := damagedStore(t)
	dump := writeDump(t, "ndjson", testHeader(), nil)
	for _, work := range []struct {
		name string
		from string
		do   func(dir string, step func(string) error) error
	}{
		{"compact", whole, func(dir string, step func(string) error) error {
			_, err := Compact(t.Context(), dir, CompactOptions{step: step})
			return err
		}},
		{"restore", whole, func(dir string, step func(string) error) error {
			_, err := Restore(t.Context(), dump, dir,
				RestoreOptions{Force: true, SegmentSize: smallSegment, seams: seams{step: step}})
			return err
		}},
		{"repair", damaged, func(dir string, step func(string) error) error {
			_, err := Repair(t.Context(), dir,
				RepairOptions{AcceptLoss: true, SegmentSize: smallSegment, seams: seams{step: step}})
			return err
		}},
	} {
		for _, lockFile := range []bool{true, false} {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(work.from)); err != nil {
				t.Fatal(err)
			}
			if !lockFile {
				if err := os.Remove(store.LockPath(dir)); err != nil {
					t.Fatal(err)
				}
			}
			tried := false
			err := work.do(dir, func(step string) error {
				if step != "begun" || tried {
					return nil
				}
				tried = true
				if s, err := store.Open(dir, store.Options{SegmentSize: smallSegment, LockWait: -1}); !errors.Is(err,
					store.ErrBusy) {
					t.Errorf("%s, lock file %t: a server starts meanwhile: %v", work.name, lockFile, err)
					if err == nil {
						return s.Close()
					}
				}
				return nil
			})
			if err != nil || !tried {
				t.Errorf("%s: it returned %v; a start was tried meanwhile: %t", work.name, err, tried)
			}
		}
	}
}

// waiter is a logger that tells when a start waits.
func waiter() (logger hclog.Logger, waits <-chan struct{}) {
	told := make(chan struct{})
	var once sync.Once
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: writerFunc(func(b []byte) (int, error) {
		if bytes.Contains(b, []byte("a gcd-tool has the directory")) {
			once.Do(func() { close(told) })
		}
		return len(b), nil
	})}), told
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestWaitingStartGetsTheNewDirectory: a start that waits while a directory is exchanged for
// another one serves that, and never what was put aside; at no moment before the work is done.
func TestWaitingStartGetsTheNewDirectory(t *testing.T) {
	t.Parallel()
	dump := writeDump(t, "ndjson", testHeader(),
		[]snapshot.Entry{{Topic: []byte("new"), Value: core.Value{Sum: 41}, Last: 1}})
	whole := closedStore(t, seeded(t), 60, 20)
	damaged, _ := damagedStore(t)
	empty := t.TempDir()
	for _, row := range []struct {
		name string
		from string
		work func(dir string, s seams) (aside string, err error)
	}{
		{"restore", whole, func(dir string, s seams) (string, error) {
			r, err := Restore(t.Context(), dump, dir, RestoreOptions{Force: true, SegmentSize: smallSegment, seams: s})
			return r.Aside, err
		}},
		{"restore into an empty one", empty, func(dir string, s seams) (string, error) {
			r, err := Restore(t.Context(), dump, dir, RestoreOptions{SegmentSize: smallSegment, seams: s})
			return r.Aside, err
		}},
		{"repair", damaged, func(dir string, s seams) (string, error) {
			r, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment, seams: s})
			return r.Aside, err
		}},
	} {
		for _, exchanged := range []bool{true, false} {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(row.from)); err != nil {
				t.Fatal(err)
			}
			type opened struct {
				s   *store.Store
				err error
			}
			start := make(chan opened, 1)
			logger, waits := waiter()
			early := false
			s := seams{step: func(step string) error {
				switch step {
				case "begun":
					go func() {
						s, err := store.Open(dir,
							store.Options{SegmentSize: smallSegment, LockWait: time.Hour, Logger: logger})
						start <- opened{s, err}
					}()
					select {
					case <-waits:
					case o := <-start:
						return fmt.Errorf("it did not wait: %w", o.err)
					case <-time.After(60 * time.Second):
						return errors.New("it does not wait")
					}
				case "done":
					early = len(start) > 0
				}
				return nil
			}}
			if !exchanged {
				s.fs = withoutExchange()
			}
			aside, err := row.work(dir, s)
			if err != nil {
				t.Fatalf("%s: the work beside a waiting start returned %v", row.name, err)
			}
			if early {
				t.Errorf("%s: it started before the work was done", row.name)
			}
			var before map[string]string
			if aside != "" {
				before = contents(t, aside)
			}
			var o opened
			select {
			case o = <-start:
			case <-time.After(60 * time.Second):
				t.Fatalf("%s: it still waits", row.name)
			}
			if o.err != nil {
				t.Fatalf("%s, exchanged %t: %v", row.name, exchanged, o.err)
			}
			if row.name != "repair" {
				if v, there := o.s.Get("new"); !there || v.Sum != 41 {
					t.Errorf("%s, exchanged %t: it serves another one: %+v, %t", row.name, exchanged, v, there)
				}
			}
			if o.s.Recovery().Created {
				t.Errorf("%s, exchanged %t: it made a new store", row.name, exchanged)
			}
			if _, err := o.s.Count(inTime(t), "new"); err != nil {
				t.Error(err)
			}
			if err := o.s.Close(); err != nil {
				t.Error(err)
			}
			if aside != "" && !maps.Equal(before, contents(t, aside)) {
				t.Errorf("%s, exchanged %t: what was put aside was changed", row.name, exchanged)
			}
		}
	}
}

// TestReaderLetsGo: what only reads has the lock until its files are open. A server that starts
// then changes nothing of what it reads: the end of the log, with what a crash left after it, the
// snapshot, and segments that are removed.
func TestReaderLetsGo(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 100, 60)
	tearEnd(t, dir)
	verify := func() *Verified {
		v, err := Verify(t.Context(), dir, VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want := verify()
	r, err := openDirView(t.Context(), dir, dirViewOptions{tempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if r.running {
		t.Error("nobody has the directory")
	}
	for range 2 { // a server lives, twice, and then it is compacted
		s, err := store.Open(dir, store.Options{SegmentSize: smallSegment, LockWait: -1})
		if err != nil {
			t.Fatal("a start beside a reader:", err)
		}
		for i := range 200 {
			counted(t, s, core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "topic %d", i%40)})
			if i%70 == 0 {
				if err := s.Snapshot(inTime(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Compact(t.Context(), dir, CompactOptions{LockWait: -1}); err != nil {
		t.Fatal(err)
	}
	v := &verifier{VerifyOptions: VerifyOptions{memory: verifyMemory}, ctx: t.Context(), dirView: r,
		result: &Verified{Dir: dir, Unproven: []string{}}}
	if err := v.verify(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(v.result, want) {
		t.Errorf("it reads\n%+v\nand before\n%+v", v.result, want)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
}

// tearEnd writes something after the last record, as a crash leaves it, and says that the store
// was not closed.
func tearEnd(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(dir, store.Options{SegmentSize: smallSegment})
	if err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "crashed")
	counted(t, s, core.Op{Kind: core.Count, Topic: []byte("a")})
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(crashed, dir)); err != nil {
		t.Fatal(err)
	}
	segment := lastSegment(t, dir)
	log, err := wal.Open(store.LogDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(segment, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("a record that was cut off"), log.Tail().Offset)
	if err := errors.Join(err, f.Close(), log.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestReaderWithoutRoom reads in place, and keeps the lock.
func TestReaderWithoutRoom(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 100, 60)
	r, err := openDirView(t.Context(), dir, dirViewOptions{tempDir: filepath.Join(dir, "nowhere")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir, store.Options{LockWait: -1}); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a start beside it: %v", err)
	}
	if _, err := r.snapshotMeta(); err != nil {
		t.Error(err)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
	s, err := store.Open(dir, store.Options{SegmentSize: smallSegment, LockWait: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestToolsWaitForEachOther, as a start does.
func TestToolsWaitForEachOther(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 60, 20)
	_, err := Compact(t.Context(), dir, CompactOptions{step: func(step string) error {
		if step != "begun" {
			return nil
		}
		if _, err := Compact(t.Context(), dir, CompactOptions{LockWait: -1}); !errors.Is(err, store.ErrBusy) {
			t.Errorf("another one meanwhile: %v", err)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}
