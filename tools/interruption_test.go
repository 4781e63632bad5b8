package tools

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

var errStopped = errors.New("stopped")

// interruption stops a work at its n-th moment, which is an operation on the disk or a step of its
// own.
type interruption struct {
	// "crash": what is there is copied, and the work goes on; "error" of the operation; "error
	// afterwards", of one that was done
	way   string
	n     int
	below vfs.FS // the disk; nil: vfs.OS
	crash func() // makes the copy
	what  string // where it was stopped

	moment int
}

// reached says whether the work is to fail here.
func (i *interruption) reached(now string) bool {
	if i.moment++; i.moment != i.n {
		return false
	}
	i.what = fmt.Sprintf("%s at moment %d, %s", i.way, i.n, now)
	if i.way == "crash" {
		i.crash()
		return false
	}
	return true
}

// step is for the options of the work.
func (i *interruption) step(step string) error {
	if i.reached(step) {
		return errStopped
	}
	return nil
}

// disk is likewise. Operations of the kinds that are passed are no moments, closing (of a file that
// was read, or is durable) among them.
func (i *interruption) disk(passed ...vfstest.Kind) vfs.FS {
	if i.below == nil {
		i.below = vfs.OS{}
	}
	return vfstest.NewFault(unsynced{i.below}, func(op vfstest.Op) vfstest.Outcome {
		switch {
		case op.Kind == vfstest.KindClose || slices.Contains(passed, op.Kind):
			return vfstest.Outcome{}
		case !i.reached(string(op.Kind) + " " + filepath.Base(op.Name)):
			return vfstest.Outcome{}
		case i.way == "error" || op.Kind == vfstest.KindExchange: // which the system does, or says that it did not
			return vfstest.Fail(errStopped)
		}
		return vfstest.FailAfter(errStopped)
	})
}

// noExchange is a disk that exchanges no names, for a reason of its own.
type noExchange struct {
	vfs.FS
	err error
}

func (d noExchange) Exchange(string, string) error { return d.err }

// withoutExchange is the system's disk where names cannot be exchanged.
func withoutExchange() vfs.FS { return noExchange{vfs.OS{}, errors.ErrUnsupported} }

// unsynced is a disk that need not sync: what a process leaves, and what is copied of it, is the
// same. TestCompactSyncs and TestRestoreSyncs look at what a power loss would leave.
type unsynced struct{ vfs.FS }

func (unsynced) SyncDir(string) error { return nil }

func (u unsynced) Create(name string) (vfs.File, error) { return unsyncedFile(u.FS.Create(name)) }
func (u unsynced) Open(name string) (vfs.File, error)   { return unsyncedFile(u.FS.Open(name)) }

type fileWithoutSync struct{ vfs.File }

func (fileWithoutSync) Sync() error { return nil }

func unsyncedFile(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return fileWithoutSync{f}, nil
}

// over checks how the work ended, and says whether it had fewer moments than n, so that all were
// tried.
func (i *interruption) over(t *testing.T, err error) bool {
	t.Helper()
	if i.moment < i.n {
		if err != nil {
			t.Fatalf("undisturbed: %v", err)
		}
		return true
	}
	if strings.HasSuffix(i.what, " mark") && err == nil {
		return false // what goes wrong with the mark of a log is no reason to stop
	}
	if i.way == "crash" && err != nil || i.way != "crash" && !errors.Is(err, errStopped) {
		t.Fatalf("%s: it returned %v, want nothing after a crash, else the error", i.what, err)
	}
	return false
}

// powerWatch knows what a power loss could undo of the work that puts a new directory into a place.
type powerWatch struct {
	t            testing.TB
	dir          string          // the place
	files, names map[string]bool // not synced: bytes of files, names in directories
	placed       bool
}

func newPowerWatch(t testing.TB, dir string) *powerWatch {
	return &powerWatch{t: t, dir: dir, files: map[string]bool{}, names: map[string]bool{}}
}

// check says what is not synced. The name in the directory above need be only at the end.
func (w *powerWatch) check(when string, alsoAbove bool) {
	w.t.Helper()
	for name := range w.files {
		w.t.Errorf("%s: the bytes of %s are not synced", when, name)
	}
	for name := range w.names {
		if alsoAbove || name != filepath.Dir(w.dir) {
			w.t.Errorf("%s: the names in %s are not synced", when, name)
		}
	}
}

// disk is a disk that the watch looks at.
func (w *powerWatch) disk(below vfs.FS) vfs.FS {
	return vfstest.NewFault(below, func(op vfstest.Op) vfstest.Outcome {
		switch op.Kind {
		case vfstest.KindCreate:
			w.names[filepath.Dir(op.Name)], w.files[op.Name] = true, true
		case vfstest.KindWrite:
			w.files[op.Name] = true
		case vfstest.KindSync:
			delete(w.files, op.Name)
		case vfstest.KindSyncDir:
			delete(w.names, op.Name)
		case vfstest.KindRemove:
			w.names[filepath.Dir(op.Name)] = true
		case vfstest.KindRename:
			if op.To == w.dir {
				w.placed = true
				w.check("placing", false)
			}
			w.names[filepath.Dir(op.Name)] = true
		case vfstest.KindExchange:
			return vfstest.Outcome{}.Then(w.exchanged)
		}
		return vfstest.Outcome{}
	})
}

// exchanged is called when the new directory was exchanged for the one in its place, or was not.
func (w *powerWatch) exchanged(err error) {
	if err != nil {
		return
	}
	w.placed = true
	w.check("exchange", true)
	w.names[filepath.Dir(w.dir)] = true
}

// end checks that everything is durable when the work has returned.
func (w *powerWatch) end() {
	w.t.Helper()
	if !w.placed {
		w.t.Error("it was placed unseen")
	}
	w.check("return", true)
}
