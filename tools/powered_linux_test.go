//go:build amd64 || arm64

package tools

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"gcd/internal/powertest"
	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// TestPowerLossOfTools: what restore, import, compact and repair do to a directory on the system's
// own files. At each call that makes something durable or gives or takes a name the power goes:
// there is the directory as it was or the new one, each whole, and once the tool has returned it is
// the new one. It sees what bbolt syncs, and what passes the file system's seam.
func TestPowerLossOfTools(t *testing.T) {
	t.Parallel()
	if !powertest.Alone(t) {
		return
	}
	root := t.TempDir()
	rows := poweredRows(t)
	places := make([]string, len(rows))
	for i, row := range rows {
		places[i] = filepath.Join(root, fmt.Sprint(i))
		if err := os.Mkdir(places[i], 0o700); err != nil {
			t.Fatal(err)
		}
		row.prepare(t, filepath.Join(places[i], "data"))
	}
	var done atomic.Uint64 // how many have returned
	recorder, err := powertest.Record(root, done.Load)
	powertest.SkipIfUnsupported(t, err)
	for i, row := range rows {
		if err := row.run(filepath.Join(places[i], "data")); err != nil {
			t.Fatalf("%s fails without a power loss: %v", row.name, err)
		}
		done.Add(1)
	}
	points, err := recorder.End()
	if err != nil {
		t.Fatal(err)
	}
	calls := make([]int, len(rows))
	for n, p := range points {
		running := int(min(p.Note, uint64(len(rows)-1)))
		calls[running]++
		for _, c := range []vfstest.Crash{{}, {Seed: uint64(n), Keep: 0.5}, {Keep: 1}} {
			disk := p.Disk.Crash(c)
			for i := max(running-1, 0); i <= running; i++ { // the one before has just returned
				found := filepath.Join(t.TempDir(), "place")
				takeOut(t, disk, places[i], found)
				what := fmt.Sprintf("%s, call %d of %d (%s), power loss %+v", rows[i].name, n+1, len(points),
					strings.ReplaceAll(p.Call, root, ""), c)
				rows[i].check(t, what, found, p.Note > uint64(i))
			}
		}
		if t.Failed() {
			return
		}
	}
	for i, row := range rows {
		if calls[i] < 5 {
			t.Errorf("%s: only %d calls", row.name, calls[i])
		}
	}
}

// poweredRow is one tool's work on the directory "data" of a place.
type poweredRow struct {
	name    string
	prepare func(t testing.TB, dir string)
	run     func(dir string) error
	old     map[string]core.Value // what the directory serves before; nil: it is missing or empty
	damaged map[string]string     // its files, if it serves nothing
	new     map[string]core.Value
	aside   string // what the old one is called after "data."; "": nothing is kept
	moment  bool   // there is one without the directory, the old one beside its place
}

func poweredRows(t testing.TB) []poweredRow {
	t.Helper()
	entries := []snapshot.Entry{{Topic: []byte("a"), Value: core.Value{Sum: 7, Epoch: 2}, Last: 3},
		{Topic: []byte("b"), Value: core.Value{Sum: 1}, Last: 5}}
	dump := writeDump(t, "ndjson", testHeader(), entries)
	restoring := func(disk vfs.FS) func(dir string) error {
		return func(dir string) error {
			_, err := Restore(t.Context(), dump, dir, RestoreOptions{Force: true, SegmentSize: smallSegment,
				seams: seams{fs: disk}})
			return err
		}
	}
	old := map[string]core.Value{"old": {Sum: 1}}
	rows := make([]poweredRow, 0, 12)
	for _, c := range restoreCases(t) {
		row := poweredRow{name: "restore, " + c.name, prepare: c.prepare, run: restoring(c.disk),
			new: valuesOf(entries)}
		if strings.HasPrefix(c.name, "used") {
			row.old, row.aside, row.moment = old, "before-restore-", c.disk != nil
		}
		rows = append(rows, row)
	}
	rows = append(rows, poweredRow{name: "import", prepare: func(testing.TB, string) {},
		run: func(dir string) error {
			_, err := Import(t.Context(), strings.NewReader("topic,sum\na,5\nb,6\n"), dir,
				ImportOptions{SegmentSize: smallSegment})
			return err
		}, new: map[string]core.Value{"a": {Sum: 5}, "b": {Sum: 6}}})
	damaged, repaired := damagedStore(t)
	copied := func(from string) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, disk := range map[string]vfs.FS{"": nil, ", no exchange": withoutExchange()} {
		rows = append(rows, poweredRow{name: "repair" + name, prepare: copied(damaged), run: func(dir string) error {
			_, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment,
				seams: seams{fs: disk}})
			return err
		}, damaged: relativeContents(t, damaged), new: repaired, aside: "broken-", moment: disk != nil})
	}
	topics := []string{"a", "b", "c", "d"}
	for name, closed := range map[string]bool{"closed": true, "killed": false} {
		dir, want := compactStore(t, 5, smallSegment, topics, closed)
		compacting := func(dir string) error { _, err := Compact(t.Context(), dir, CompactOptions{}); return err }
		rows = append(rows, poweredRow{name: "compact, " + name, prepare: copied(dir), run: compacting,
			old: want, new: want},
			poweredRow{name: "compact without a snapshot, " + name, prepare: func(t testing.TB, to string) {
				copied(dir)(t, to)
				if err := os.Remove(store.SnapshotPath(to)); err != nil {
					t.Fatal(err)
				}
			}, run: compacting, old: want, new: want})
	}
	return rows
}

// check checks what a power loss has left of a place.
func (row *poweredRow) check(t testing.TB, what, place string, returned bool) {
	t.Helper()
	dir := filepath.Join(place, "data")
	var aside string
	if row.aside != "" {
		found, err := filepath.Glob(filepath.Join(place, "data."+row.aside+"*"))
		if err != nil || len(found) > 1 {
			t.Fatal(found, err)
		}
		if len(found) > 0 {
			aside = found[0]
		}
	}
	names, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist) && row.moment && aside != "" && !returned:
		dir, aside = aside, ""
	case errors.Is(err, os.ErrNotExist) || err == nil && len(names) == 0:
		if returned || row.old != nil || row.damaged != nil {
			t.Errorf("%s: nothing is there", what)
		}
		return
	case err != nil:
		t.Fatal(err)
	}
	if !returned && row.isOld(t, dir) {
		return
	}
	if got := servedSums(t, dir); !maps.Equal(got, row.new) {
		t.Errorf("%s: %d topics are served, neither what was there nor the result", what, len(got))
	} else if row.aside != "" && (aside == "" || !row.isOld(t, aside)) {
		t.Errorf("%s: what was there before is not kept", what)
	}
}

// isOld says whether a directory is as it was before.
func (row *poweredRow) isOld(t testing.TB, dir string) bool {
	t.Helper()
	if row.damaged != nil {
		return maps.Equal(relativeContents(t, dir), row.damaged)
	}
	return row.old != nil && maps.Equal(servedSums(t, dir), row.old)
}

// takeOut writes a directory of a memory disk into one that is not there yet.
func takeOut(t testing.TB, disk *vfstest.Mem, from, to string) {
	t.Helper()
	names, err := disk.ReadDir(from)
	if err == nil {
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			takeOut(t, disk, filepath.Join(from, name), filepath.Join(to, name))
		}
		return
	}
	b, err := disk.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
