//go:build amd64 || arm64

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"gcd/internal/powertest"
	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// TestPowerLossOfARealRun: lives of a store on the system's own files, with snapshots, of which one
// is made anew, and with all of its goroutines. At each call that makes something durable or gives
// or takes a name, the power goes: what was acknowledged is there. It sees what bbolt syncs, and
// what passes the file system's seam.
func TestPowerLossOfARealRun(t *testing.T) {
	t.Parallel()
	if !powertest.Alone(t) {
		return
	}
	place := t.TempDir()
	dir := filepath.Join(place, "data")
	var sent, acknowledged atomic.Uint64
	recorder, err := powertest.Record(place, acknowledged.Load)
	powertest.SkipIfUnsupported(t, err)
	recordedRun(t, dir, &sent, &acknowledged)
	points, err := recorder.End()
	if err != nil {
		t.Fatal(err)
	}
	if len(points) < 60 {
		t.Errorf("only %d calls", len(points))
	}
	for i, p := range points {
		for _, c := range []vfstest.Crash{{}, {Seed: uint64(i), Keep: 0.5}} {
			what := fmt.Sprintf("call %d of %d (%s), power loss %+v", i, len(points), p.Call, c)
			startsWith(t, what, p.Disk.Crash(c), dir, p.Note, sent.Load())
		}
		if t.Failed() {
			return
		}
	}
}

// recordedRun counts topic a, one in a batch, in three lives, and says how often it was answered.
func recordedRun(t *testing.T, dir string, sent, acknowledged *atomic.Uint64) {
	t.Helper()
	for life := range 3 {
		o := Options{SegmentSize: 16 << 10, SnapshotInterval: -1, SnapshotBytes: -1}
		if life == 0 {
			o.Retain.Bytes = 1 << 30 // so that the next one can do without this one's snapshot
		}
		s, err := open(t, dir, o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			sent.Add(1)
			ops := []core.Op{count("a", 1), count(strings.Repeat("x", 900)+fmt.Sprint(i%5), 1)}
			if op := runOps(t, s, ops)[0]; op.Err != nil {
				t.Fatal(op.Err)
			}
			acknowledged.Add(1)
			if i == 3 || i == 15 {
				if err := s.Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if life == 0 { // the next one makes it anew
			if err := errors.Join(os.Remove(SnapshotPath(dir)), vfs.OS{}.SyncDir(dir)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// startsWith checks that a store starts on what a power loss has left, with so many counts.
func startsWith(t *testing.T, what string, disk *vfstest.Mem, dir string, least, most uint64) {
	t.Helper()
	again := t.TempDir()
	b, err := disk.ReadFile(filepath.Join(dir, snapshot.FileName))
	if err == nil {
		err = os.WriteFile(filepath.Join(again, snapshot.FileName), b, 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	o := Options{fs: disk, logDir: LogDir(dir), SegmentSize: 16 << 10, SnapshotInterval: -1,
		hooks: snapshot.Hooks{NoSync: true}}
	s, err := open(t, again, o)
	if err != nil {
		t.Errorf("%s: it does not start: %v", what, err)
		return
	}
	if got := get(s, "a").Sum; got < least || got > most {
		t.Errorf("%s: a is at %d, %d were acknowledged", what, got, least)
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: Close: %v", what, err)
	}
}
