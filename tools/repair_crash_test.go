package tools

import (
	"context"
	"errors"
	"io/fs"
	"maps"
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

// damagedStore makes a directory whose last segment is gone, and says what a repair makes of it.
func damagedStore(t testing.TB) (dir string, repaired map[string]core.Value) {
	t.Helper()
	dir = closedStore(t, seeded(t), 100, 40)
	if err := os.Remove(lastSegment(t, dir)); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(whole, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := Repair(t.Context(), whole, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment}); err != nil {
		t.Fatal(err)
	}
	return dir, servedSums(t, whole)
}

// TestRepairStopped stops a repair at each operation on the disk and at each of its steps, as
// TestRestoreStopped does a restore: the directory is the damaged one, untouched, or the repaired
// one, and then the damaged one is beside it.
func TestRepairStopped(t *testing.T) {
	t.Parallel()
	damaged, repaired := damagedStore(t)
	original := relativeContents(t, damaged)
	for _, exchanged := range []bool{true, false} {
		for _, way := range []string{"crash", "error", "error afterwards"} {
			if !exchanged && way == "error afterwards" {
				continue // a rename that was done and yet failed is undone only where it cannot leave the place free
			}
			t.Run(strings.TrimSuffix(way+", no exchange", map[bool]string{true: ", no exchange"}[exchanged]),
				func(t *testing.T) {
					t.Parallel()
					for n := 1; ; n += thin.Step(5) {
						parent := t.TempDir()
						if err := os.CopyFS(filepath.Join(parent, "data"), os.DirFS(damaged)); err != nil {
							t.Fatal(err)
						}
						i := interruption{way: way, n: n}
						if !exchanged {
							i.below = withoutExchange()
						}
						i.crash = func() { parent = copyTree(t, parent) }
						o := RepairOptions{AcceptLoss: true, SegmentSize: smallSegment,
							seams: seams{step: i.step, fs: i.disk()}}
						if _, err := Repair(t.Context(), filepath.Join(parent, "data"), o); i.over(t, err) {
							break
						}
						dir := filepath.Join(parent, "data")
						aside, _ := filepath.Glob(dir + ".broken-*")
						left, _ := filepath.Glob(dir + ".repair-*")
						if len(aside) > 1 || len(left) > 0 && way != "crash" {
							t.Errorf("%s: %q and %q are there", i.what, aside, left)
						}
						if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && !exchanged && way == "crash" &&
							len(aside) == 1 {
							dir = aside[0] // the moment that a system without exchange has
						}
						if maps.Equal(relativeContents(t, dir), original) {
							// without exchange it may be the way back that failed
							if way == "error" && exchanged && len(aside) > 0 {
								t.Errorf("%s: %q is left over", i.what, aside)
							}
							continue
						}
						if !maps.Equal(servedSums(t, dir), repaired) {
							t.Errorf("%s: neither what was there nor the result", i.what)
						}
						if len(aside) != 1 || !maps.Equal(relativeContents(t, aside[0]), original) {
							t.Errorf("%s: the damaged directory is not kept: %q", i.what, aside)
						}
					}
				})
		}
	}
}

// relativeContents are the bytes of a directory's files, but the lock's, by their names in it.
func relativeContents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == filepath.Base(store.LockPath("")) {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

// TestRepairSyncs: as TestRestoreSyncs.
func TestRepairSyncs(t *testing.T) {
	t.Parallel()
	damaged, _ := damagedStore(t)
	for _, below := range []vfs.FS{vfs.OS{}, withoutExchange()} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "data")
		if err := os.CopyFS(dir, os.DirFS(damaged)); err != nil {
			t.Fatal(err)
		}
		w := newPowerWatch(t, dir)
		o := RepairOptions{AcceptLoss: true, SegmentSize: smallSegment, seams: seams{fs: w.disk(below)}}
		if _, err := Repair(t.Context(), dir, o); err != nil {
			t.Fatal(err)
		}
		w.end()
	}
}

// TestRepairReadsBack changes what was built before it gets its place, and then interrupts the
// repair.
func TestRepairReadsBack(t *testing.T) {
	t.Parallel()
	damaged, _ := damagedStore(t)
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	if err := os.CopyFS(dir, os.DirFS(damaged)); err != nil {
		t.Fatal(err)
	}
	o := RepairOptions{AcceptLoss: true, SegmentSize: smallSegment}
	o.step = func(step string) error {
		if step == "snapshot" { // another state, right in itself
			path, _ := filepath.Glob(filepath.Join(parent, "data.repair-*", "counters.db"))
			m, entries := readEntries(t, filepath.Dir(path[0]))
			entries[len(entries)/2].Sum++
			buildEntries(t, path[0], m.Store, m.Replay, entries)
		}
		return nil
	}
	if _, err := Repair(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), "does not read back") {
		t.Errorf("what was spoiled is taken: %v", err)
	}
	onlyNames(t, parent, "data")
	ctx, cancel := context.WithCancel(t.Context())
	o.step = func(step string) error {
		if step == "durable" {
			cancel()
		}
		return nil
	}
	if _, err := Repair(ctx, dir, o); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	onlyNames(t, parent, "data")
	if !maps.Equal(relativeContents(t, dir), relativeContents(t, damaged)) {
		t.Error("the directory was changed")
	}
}

// TestRepairFollows: whether records follow from one another and from the snapshot decides whether
// there is anything to repair, as it does whether a server starts.
func TestRepairFollows(t *testing.T) {
	t.Parallel()
	count := func(topic string, epoch, sum, n uint64) core.Change {
		return core.Change{Topic: []byte(topic), Epoch: epoch, Sum: sum, N: n}
	}
	entries := []snapshot.Entry{{Topic: []byte("a"), Value: core.Value{Sum: 4}, Last: 9},
		{Topic: []byte("c"), Value: core.Value{Sum: 1, Epoch: 1}, Last: 3}}
	for name, changes := range map[string][]core.Change{
		"right": {count("a", 0, 4, 2), count("b", 0, 0, 1), count("a", 0, 6, 0), count("a", 1, 0, 3),
			count("c", 1, 1, 1), count("d", 0, 0, 1)},
		"held":               {count("a", 0, 1, 2), count("a", 0, 4, 2), count("c", 0, 7, 0)},
		"a gap":              {count("a", 0, 4, 2), count("a", 0, 7, 1)},
		"not from the entry": {count("a", 0, 5, 2)},
		"other epoch":        {count("c", 2, 1, 2)},
		"new, above 0":       {count("b", 0, 3, 2)},
		"last, above 0":      {count("d", 0, 3, 2)},
	} {
		dir := handmade(t, 10, entries, changes...)
		starts := servedSums(t, dir) != nil
		for _, memory := range []int{0, 1} {
			plan, err := Repair(t.Context(), dir, RepairOptions{memory: memory})
			if err != nil || plan.Needless != starts || starts != (plan.Reason == "") {
				t.Errorf("%s, memory %d: it starts: %t; %+v, %v", name, memory, starts, plan, err)
			}
		}
	}
}
