//go:build amd64 || arm64

package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"gcd/internal/powertest"
	"gcd/store"
	"gcd/wal"
)

// refusing is how calls about one directory fail: one of them, or from it on all that are about
// that file.
type refusing struct {
	dir     string
	call    int64 // the how-manieth
	forever bool

	calls  int64
	what   string // that failed first
	file   string
	failed atomic.Bool
}

func (r *refusing) refuse(call, name string) unix.Errno {
	if name != r.dir && !strings.HasPrefix(name, r.dir+"/") {
		return 0
	}
	if r.calls++; r.calls == r.call {
		r.what, r.file = fmt.Sprintf("%s %s", call, strings.TrimPrefix(name, r.dir)), name
		r.failed.Store(true)
		return unix.EIO
	}
	if r.forever && r.failed.Load() && name == r.file {
		return unix.EIO
	}
	return 0
}

// TestUnreadable: each call by which a tool or a start reads a directory fails, once or from then
// on. What cannot be read just now is no damage, and nothing is lost: the work ends with the
// system's error, or as if nothing had happened. The mark is only evidence, but not for repair, of
// which it is one.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	if !powertest.Alone(t) {
		return
	}
	debug.SetGCPercent(-1) // it would have to stop threads whose calls are held up
	root := t.TempDir()
	var now atomic.Pointer[refusing]
	err := powertest.Refuse(root, func(call, name string) unix.Errno {
		if r := now.Load(); r != nil {
			return r.refuse(call, name)
		}
		return 0
	})
	powertest.SkipIfUnsupported(t, err)
	dirs := unreadableDirs(t)
	for _, work := range unreadableWorks() {
		for _, in := range work.dirs {
			t.Run(work.name+", "+in, func(t *testing.T) {
				to := filepath.Join(root, "data")
				place := func() { // anew where the work changes it
					if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(dirs[in]))); err != nil {
						t.Fatal(err)
					}
				}
				place()
				before := relativeContents(t, to)
				want, wantErr := work.do(t, to)
				for _, forever := range []bool{false, true} {
					for n := int64(1); ; n++ {
						if work.writes {
							place()
						}
						r := &refusing{dir: to, call: n, forever: forever}
						now.Store(r)
						got, err := work.do(t, to)
						now.Store(nil)
						if !r.failed.Load() {
							if n < 5 {
								t.Fatalf("only %d calls", n)
							}
							break
						}
						what := fmt.Sprintf("call %d fails (%s), from then on %t", n, r.what, forever)
						same := fmt.Sprint(err) == fmt.Sprint(wantErr) && (err != nil || got == want)
						system := err != nil && strings.Contains(err.Error(), unix.EIO.Error()) && !refused(err)
						if !same && !system {
							t.Errorf("%s: %v\n%s\nwant an input/output error, or %v\n%s", what, err, got, wantErr, want)
						}
						if work.untouched && err != nil && !maps.Equal(before, relativeContents(t, to)) {
							t.Errorf("%s: it changes the directory", what)
						}
					}
				}
			})
		}
	}
}

// unreadableDirs are directories that are whole, or damaged at one place: in the log that of a
// segment in the middle.
func unreadableDirs(t *testing.T) map[string]string {
	t.Helper()
	whole, segments := "", []string(nil)
	for r := seeded(t); len(segments) < 3; { // one in the middle, and with some seeds two are enough
		var err error
		whole = closedStore(t, r, 100, 60)
		if segments, err = filepath.Glob(filepath.Join(store.LogDir(whole), "*.seg")); err != nil {
			t.Fatal(err)
		}
	}
	dirs := map[string]string{"whole": whole}
	for name, damage := range map[string]func(dir, segment string){
		"a record":     func(_, segment string) { flip(t, segment, 200) },
		"a header":     func(_, segment string) { flip(t, segment, 33) },
		"a magic":      func(_, segment string) { flip(t, segment, 1) },
		"the snapshot": func(dir, _ string) { flipEntry(t, dir) },
	} {
		dir := copyTree(t, whole)
		damage(dir, filepath.Join(store.LogDir(dir), filepath.Base(segments[1])))
		dirs[name] = dir
	}
	return dirs
}

// An unreadableWork reads a directory, and says in words what came of it.
type unreadableWork struct {
	name      string
	dirs      []string
	writes    bool
	untouched bool // after an error
	do        func(t *testing.T, dir string) (string, error)
}

func unreadableWorks() []unreadableWork {
	some, most := []string{"whole", "a magic"}, []string{"whole", "a record", "a magic", "the snapshot"}
	return []unreadableWork{
		{"verify", most, false, true, func(t *testing.T, dir string) (string, error) {
			v, err := Verify(t.Context(), dir, VerifyOptions{})
			if err != nil {
				return "", err
			}
			v.Mark, v.Durable, v.Unproven = "", 0, nil // the mark is done without
			b, jsonErr := json.Marshal(v)
			return string(b), jsonErr
		}},
		{"inspect", most, false, true, func(t *testing.T, dir string) (string, error) {
			in, err := Inspect(t.Context(), dir, InspectOptions{})
			if err != nil {
				return "", err
			}
			return fmt.Sprintln(in.Entries, in.Topics, in.Records, in.Last, in.Problem), nil
		}},
		{"dump", some, false, true, func(t *testing.T, dir string) (string, error) {
			c := &collected{}
			_, err := Dump(t.Context(), dir, c, DumpOptions{})
			return fmt.Sprintf("%+v", c), err
		}},
		{"dump of records", some, false, true, func(t *testing.T, dir string) (string, error) {
			var b bytes.Buffer
			w, err := NewRecordWriter(&b, "ndjson")
			if err == nil {
				err = DumpRecords(t.Context(), dir, w, DumpOptions{})
			}
			return b.String(), err
		}},
		{"history", []string{"whole", "a record"}, false, true, func(t *testing.T, dir string) (string, error) {
			said := ""
			found, err := History(t.Context(), []byte("topic 7"), dir, HistoryOptions{}, func(s Step) error {
				said += fmt.Sprintf("%+v\n", s)
				return nil
			})
			return fmt.Sprintf("%s%+v", said, found), err
		}},
		{"repair", most, false, true, func(t *testing.T, dir string) (string, error) {
			r, err := Repair(t.Context(), dir, RepairOptions{})
			return fmt.Sprintf("%+v", r), err
		}},
		{"repair that is done", []string{"a magic"}, true, true, func(t *testing.T, dir string) (string, error) {
			r, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment})
			if err == nil {
				err = os.RemoveAll(r.Aside)
				r.Aside, r.Store = "", wal.ID{}
			}
			return fmt.Sprintf("%+v", r), err
		}},
		{"compact", some, true, false, func(t *testing.T, dir string) (string, error) {
			_, err := Compact(t.Context(), dir, CompactOptions{})
			return "", err
		}},
		{"a start", some, true, false, func(_ *testing.T, dir string) (string, error) {
			s, err := store.Open(dir, store.Options{SegmentSize: smallSegment, SnapshotInterval: -1, SnapshotBytes: -1})
			if err != nil {
				return "", err
			}
			return "", s.Close()
		}},
		{"making a store", some, true, false, func(t *testing.T, dir string) (string, error) {
			_, _, err := store.Init(t.Context(), dir, store.Options{SegmentSize: smallSegment})
			return "", err
		}},
	}
}
