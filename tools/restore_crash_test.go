package tools

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs"
	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// copyTree copies directories and files: what a crash at this moment would leave.
func copyTree(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// restoreCase is a restore into one kind of place.
type restoreCase struct {
	name    string
	prepare func(t testing.TB, dir string)
	disk    vfs.FS // nil: the system's
}

func restoreCases(t testing.TB) []restoreCase {
	t.Helper()
	old := filepath.Join(t.TempDir(), "old")
	s := openDir(t, old, smallSegment)
	if _, err := s.Count(inTime(t), "old"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	used := func(t testing.TB, dir string) {
		if err := os.CopyFS(dir, os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
	}
	return []restoreCase{
		{name: "missing", prepare: func(testing.TB, string) {}},
		{name: "empty", prepare: func(t testing.TB, dir string) {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "used", prepare: used},
		{name: "used, no exchange", prepare: used, disk: withoutExchange()},
	}
}

// TestRestoreStopped stops a restore at each operation on the disk and at each of its steps, in
// three ways: by a crash (what is there at that moment is copied, and starts), by an error of the
// operation, and by one after it.
func TestRestoreStopped(t *testing.T) {
	t.Parallel()
	entries := short(randomEntries(rand.New(rand.NewPCG(7, 7)), 20, testHeader().Index))
	dump := writeDump(t, "ndjson", testHeader(), entries)
	dumped := valuesOf(entries)
	for _, test := range restoreCases(t) {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ways := []string{"crash"}
			switch test.name { // errors take the same ways out in the others
			case "used":
				ways = []string{"crash", "error", "error afterwards"}
			case "used, no exchange":
				ways = []string{"crash", "error"}
			}
			for _, way := range ways {
				for n := 1; ; n += thin.Step(5) {
					parent := t.TempDir()
					dir := filepath.Join(parent, "data")
					test.prepare(t, dir)
					i := interruption{way: way, n: n, below: test.disk}
					i.crash = func() { parent = copyTree(t, parent) }
					o := RestoreOptions{Force: true, SegmentSize: smallSegment,
						seams: seams{step: i.step, fs: i.disk()}}
					if _, err := Restore(t.Context(), dump, dir, o); i.over(t, err) {
						break
					}
					checkStopped(t, i.what, parent, test, dumped, way == "crash")
				}
			}
		})
	}
}

// checkStopped checks that a stopped restore left what was there before or what is to be there, and
// nothing else but a half-made directory after a crash.
func checkStopped(t *testing.T, what, parent string, test restoreCase, dumped map[string]core.Value, crash bool) {
	t.Helper()
	dir := filepath.Join(parent, "data")
	before := map[string]core.Value{"old": {Sum: 1}}
	if !strings.HasPrefix(test.name, "used") {
		before = map[string]core.Value{}
	}
	names, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	var aside, built string
	for _, name := range names {
		switch {
		case strings.HasPrefix(name.Name(), "data.before-restore-"):
			aside = filepath.Join(parent, name.Name())
		case strings.HasPrefix(name.Name(), "data.restore-"):
			if built = filepath.Join(parent, name.Name()); !crash {
				t.Errorf("%s: %s is left over", what, name.Name())
			}
		case name.Name() != "data":
			t.Errorf("%s: %s is there", what, name.Name())
		}
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if aside != "" && test.disk != nil && crash { // the moment that a system without exchange has
			refusesUnfinished(t, what, dir)
			dir = aside
		} else if len(before) > 0 {
			t.Fatalf("%s: the directory is gone", what)
		}
	}
	// nobody knows whether what was built is wanted
	if names, err := os.ReadDir(dir); (err != nil || len(names) == 0) && built != "" {
		refusesUnfinished(t, what, dir)
		if err := os.RemoveAll(built); err != nil {
			t.Fatal(err)
		}
	}
	got := sumsOf(t, openDir(t, dir, smallSegment))
	if isOld, isNew := equalValues(got, before), equalValues(got, dumped); !isOld && !isNew {
		t.Errorf("%s: %d counters, neither those of before nor those of the dump", what, len(got))
	} else if isNew && len(before) > 0 {
		if aside == "" {
			t.Errorf("%s: the old directory is gone", what)
		} else if !equalValues(sumsOf(t, openDir(t, aside, smallSegment)), before) {
			t.Errorf("%s: what was kept aside is not what was there before", what)
		}
	}
}

// refusesUnfinished checks that no new store is begun beside what a restore left.
func refusesUnfinished(t *testing.T, what, dir string) {
	t.Helper()
	_, there := os.Lstat(dir)
	s, err := store.Open(dir, store.Options{SegmentSize: smallSegment})
	if !errors.Is(err, store.ErrUnfinished) {
		t.Errorf("%s: a start where nothing is, beside what was put aside: %v", what, err)
	}
	if err == nil {
		_ = s.Close()
	}
	if _, _, err := store.Init(t.Context(), dir, store.Options{SegmentSize: smallSegment}); !errors.Is(err,
		store.ErrUnfinished) {
		t.Errorf("%s: making a store where nothing is, beside what was put aside: %v", what, err)
	}
	if _, err := os.Lstat(dir); (err == nil) != (there == nil) {
		t.Errorf("%s: the directory was made", what)
	}
}

// TestRestoreSyncs checks what a power loss could undo: everything of the new directory is synced
// before it gets its name, and that name before Restore returns.
func TestRestoreSyncs(t *testing.T) {
	t.Parallel()
	dump := writeDump(t, "ndjson", testHeader(),
		[]snapshot.Entry{{Topic: []byte("a"), Value: core.Value{Sum: 1}, Last: 1}})
	for _, test := range restoreCases(t) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "data")
		test.prepare(t, dir)
		below := test.disk
		if below == nil {
			below = vfs.OS{}
		}
		w := newPowerWatch(t, dir)
		o := RestoreOptions{Force: true, SegmentSize: smallSegment, seams: seams{fs: w.disk(below)}}
		if _, err := Restore(t.Context(), dump, dir, o); err != nil {
			t.Fatal(err)
		}
		w.end()
	}
}
