package vfstest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"gcd/internal/vfs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// script does every kind of operation once, some more often.
func script(t *testing.T, fsys vfs.FS) {
	t.Helper()
	must(t, fsys.MkdirAll("d"))
	f, err := fsys.Create("d/a")
	must(t, err)
	write(t, f, "content", 3)
	must(t, f.Sync())
	must(t, fsys.Rename("d/a", "d/b"))
	must(t, fsys.SyncDir("d"))
	must(t, f.Sync())
	_, err = f.Size()
	must(t, err)
	must(t, f.Close())
	f, err = fsys.OpenRead("d/b")
	must(t, err)
	_, err = f.ReadAt(make([]byte, 4), 2)
	must(t, err)
	must(t, f.Close())
	f, err = fsys.Open("d/b")
	must(t, err)
	_, err = fsys.ReadDir("d")
	must(t, err)
	must(t, fsys.Remove("d/b"))
	must(t, f.Close())
}

func TestFaultSeesEverything(t *testing.T) {
	t.Parallel()
	var seen []string
	fault := NewFault(NewMem(), func(op Op) Outcome {
		seen = append(seen, fmt.Sprintf("%d %s %s %s %d %d", op.N, op.Kind, op.Name, op.To, op.Off, op.Len))
		return Outcome{}
	})
	script(t, fault)
	want := []string{
		"1 mkdirall d  0 0", "2 create d/a  0 0", "3 write d/a  3 7", "4 sync d/a  0 0", "5 rename d/a d/b 0 0",
		"6 syncdir d  0 0", "7 sync d/b  0 0", "8 size d/b  0 0", "9 close d/b  0 0", "10 openread d/b  0 0",
		"11 read d/b  2 4", "12 close d/b  0 0", "13 open d/b  0 0", "14 readdir d  0 0", "15 remove d/b  0 0",
		"16 close d/b  0 0",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	if n := fault.Count(KindSync); n != 2 {
		t.Errorf("%d syncs counted, want 2", n)
	}
	if n := fault.Count(KindWrite); n != 1 {
		t.Errorf("%d writes counted, want 1", n)
	}
	if n := fault.Total(); n != len(want) {
		t.Errorf("%d operations counted, want %d", n, len(want))
	}
}

// An open file follows its own renames, not those of a file that has its old name now.
func TestFaultNamesOpenFiles(t *testing.T) {
	t.Parallel()
	var last string
	fault := NewFault(newMemWith(t, "d"), func(op Op) Outcome { last = op.Name; return Outcome{} })
	removed := create(t, fault, "d/a", "removed")
	must(t, fault.Remove("d/a"))
	f := create(t, fault, "d//a", "")
	must(t, fault.Rename("d/a", "d/b"))
	must(t, f.Sync())
	if last != "d/b" {
		t.Errorf("sync of a renamed file is called %q", last)
	}
	must(t, removed.Sync())
	if last != "d/a" {
		t.Errorf("sync of a removed file is called %q", last)
	}
	wantErr(t, fault.Rename("d/none", "d/x"), fs.ErrNotExist)
	over := create(t, fault, "d/c", "")
	must(t, fault.Rename("d/c", "d/b")) // f has no name any more
	other := create(t, fault, "d/e", "")
	must(t, fault.Exchange("d/b", "d/e"))
	for file, want := range map[vfs.File]string{f: "d/b", over: "d/e", other: "d/b"} {
		must(t, file.Sync())
		if last != want {
			t.Errorf("sync of a file that was replaced, or exchanged, is called %q, want %q", last, want)
		}
	}
}

// attempt does one operation of a kind on a disk that holds the open file d/f = "old".
var attempts = map[Kind]func(fsys vfs.FS, f vfs.File) error{
	KindCreate:   func(fsys vfs.FS, _ vfs.File) error { _, err := fsys.Create("d/new"); return err },
	KindOpen:     func(fsys vfs.FS, _ vfs.File) error { _, err := fsys.Open("d/f"); return err },
	KindOpenRead: func(fsys vfs.FS, _ vfs.File) error { _, err := fsys.OpenRead("d/f"); return err },
	KindWrite:    func(_ vfs.FS, f vfs.File) error { return count(f.WriteAt([]byte("new"), 0)) },
	KindRead:     func(_ vfs.FS, f vfs.File) error { return count(f.ReadAt(make([]byte, 3), 0)) },
	KindSync:     func(_ vfs.FS, f vfs.File) error { return f.Sync() },
	KindSize:     func(_ vfs.FS, f vfs.File) error { n, err := f.Size(); return count(int(n), err) },
	KindClose:    func(_ vfs.FS, f vfs.File) error { return f.Close() },
	KindRename:   func(fsys vfs.FS, _ vfs.File) error { return fsys.Rename("d/f", "d/g") },
	KindExchange: func(fsys vfs.FS, _ vfs.File) error { return fsys.Exchange("d/f", "d/g") },
	KindRemove:   func(fsys vfs.FS, _ vfs.File) error { return fsys.Remove("d/f") },
	KindReadDir: func(fsys vfs.FS, _ vfs.File) error {
		names, err := fsys.ReadDir("d")
		return count(len(names), err)
	},
	KindMkdirAll: func(fsys vfs.FS, _ vfs.File) error { return fsys.MkdirAll("d/sub") },
	KindSyncDir:  func(fsys vfs.FS, _ vfs.File) error { return fsys.SyncDir("d") },
}

// count reports a failed operation that claims to have moved something.
func count(n int, err error) error {
	if err != nil && n != 0 {
		return fmt.Errorf("count is %d beside the error", n)
	}
	return err
}

// Every kind fails without doing anything, or after doing its work.
func TestFaultFails(t *testing.T) {
	t.Parallel()
	for kind, attempt := range attempts {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after=%t", kind, after), func(t *testing.T) {
				t.Parallel()
				recorder := NewFault(newMemWith(t, "d"), nil)
				var told error
				fault := NewFault(recorder, func(op Op) Outcome {
					switch {
					case op.Kind != kind || op.Name == "d/setup":
						return Outcome{}
					case after:
						return FailAfter(syscall.ENOSPC).Then(func(err error) { told = err })
					default:
						return Fail(syscall.ENOSPC).Then(func(err error) { told = err })
					}
				})
				created := create(t, recorder, "d/f", "old")
				must(t, created.Close())
				f := vfs.File(&faultFile{fault: fault, file: open(t, recorder, "d/f"), name: "d/f"})
				before := recorder.Count(kind)
				closes := recorder.Count(KindClose)

				err := attempt(fault, f)
				wantErr(t, err, syscall.ENOSPC)
				if told != err {
					t.Errorf("Then was told %v, the operation returned %v", told, err)
				}
				var linkErr *os.LinkError
				if (kind == KindRename || kind == KindExchange) &&
					(!errors.As(err, &linkErr) || linkErr.Old != "d/f" || linkErr.New != "d/g") {
					t.Errorf("rename's error is %#v", err)
				}
				want := 0
				if after || kind == KindClose {
					want = 1
				}
				if got := recorder.Count(kind) - before; got != want {
					t.Errorf("done %d times, want %d", got, want)
				}
				if after && slices.Contains([]Kind{KindCreate, KindOpen, KindOpenRead}, kind) {
					if recorder.Count(KindClose) != closes+1 {
						t.Error("the file that was opened stays open")
					}
				}
			})
		}
	}
}

func TestFaultSyncOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		outcome Outcome
		err     error
		durable string
	}{
		{"untouched", Outcome{}, nil, "new"},
		{"did nothing", Fail(nil), syscall.EIO, "old"},
		{"did its work", FailAfter(nil), syscall.EIO, "new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMemWith(t, "d")
			must(t, m.WriteFile("d/f", []byte("old")))
			f := open(t, NewFault(m, func(op Op) Outcome {
				if op.Kind == KindSync {
					return c.outcome
				}
				return Outcome{}
			}), "d/f")
			write(t, f, "new", 0)
			if err := f.Sync(); !errors.Is(err, c.err) {
				t.Errorf("Sync() = %v, want %v", err, c.err)
			}
			wantDisk(t, m.Crash(Crash{}), disk{"d/f": c.durable})
		})
	}
}

func TestFaultShort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n, want int
		err     error
	}{{4, 4, syscall.ENOSPC}, {0, 0, syscall.EIO}, {-1, 0, syscall.EIO}, {99, 10, syscall.EIO}, {4, 4, nil}} {
		m := newMemWith(t, "d")
		fault := NewFault(m, func(op Op) Outcome {
			if op.Kind == KindWrite || op.Kind == KindRead {
				return Short(c.n, c.err)
			}
			return Outcome{}
		})
		f, err := fault.Create("d/f")
		must(t, err)
		n, err := f.WriteAt([]byte("0123456789"), 0)
		if n != c.want || !errors.Is(err, c.err) {
			t.Errorf("Short(%d, %v): WriteAt = %d, %v", c.n, c.err, n, err)
		}
		wantDisk(t, m, disk{"d/f": "0123456789"[:c.want]})
		must(t, m.WriteFile("d/f", []byte("abcdefghij")))
		p := make([]byte, 10)
		n, err = f.ReadAt(p, 0)
		if n != c.want || !errors.Is(err, c.err) || string(p[:n]) != "abcdefghij"[:n] {
			t.Errorf("Short(%d, %v): ReadAt = %d, %v, %q", c.n, c.err, n, err, p[:n])
		}
		must(t, f.Close())
	}
}

// The wrapped file system's own results come through, and Then sees them.
func TestFaultPassesResults(t *testing.T) {
	t.Parallel()
	var told error
	fault := NewFault(newMemWith(t, "d"), func(Op) Outcome {
		return Outcome{}.Then(func(err error) { told = err })
	})
	f := create(t, fault, "d/f", "12345")
	n, err := f.ReadAt(make([]byte, 9), 2)
	if n != 3 || err != io.EOF || told != io.EOF {
		t.Errorf("ReadAt = %d, %v; Then was told %v", n, err, told)
	}
	_, err = fault.Open("d/none")
	wantErr(t, err, fs.ErrNotExist)
	wantErr(t, told, fs.ErrNotExist)
}

// The hook runs before the operation and Then after it, and a Crash of the disk may be taken in
// both.
func TestFaultCrashInHook(t *testing.T) {
	t.Parallel()
	m := NewMem()
	var before, after []disk
	fault := NewFault(m, func(Op) Outcome {
		before = append(before, contents(t, m.Crash(Crash{})))
		return Outcome{}.Then(func(error) { after = append(after, contents(t, m.Crash(Crash{}))) })
	})
	script(t, fault)
	if len(before) != 16 || len(after) != 16 {
		t.Fatalf("%d and %d clones", len(before), len(after))
	}
	synced := disk{"d/b": "\x00\x00\x00content"}
	for i, want := range map[int]disk{4: {}, 5: {}, 6: synced, 15: synced} { // by what is done next, from 0
		if !slices.Equal(sorted(before[i]), sorted(want)) || !slices.Equal(sorted(after[i-1]), sorted(want)) {
			t.Errorf("before operation %d the durable disk is %q, after the one before it %q, want %q",
				i+1, before[i], after[i-1], want)
		}
	}
}

func sorted(d disk) []string {
	var all []string
	for name, content := range d {
		all = append(all, name+"="+content)
	}
	slices.Sort(all)
	return all
}

// A hook that waits holds up its own operation and no other.
func TestFaultBlocks(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	fault := NewFault(newMemWith(t, "d"), func(op Op) Outcome {
		if op.Kind == KindSync && op.Name == "d/slow" {
			close(entered)
			<-release
		}
		return Outcome{}
	})
	slow, fast := create(t, fault, "d/slow", "slow"), create(t, fault, "d/fast", "fast")
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := slow.Sync(); err != nil {
			t.Error(err)
		}
		done.Store(true)
	})
	<-entered
	must(t, fast.Sync())
	write(t, slow, "SLOW", 0)
	must(t, fault.Rename("d/fast", "d/faster"))
	if n := fault.Count(KindSync); n != 2 || done.Load() {
		t.Errorf("%d syncs begun, slow one done: %t", n, done.Load())
	}
	close(release)
	wg.Wait()
}

// Concurrent operations get numbers of their own.
func TestFaultConcurrent(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[int]bool{}
	fault := NewFault(newMemWith(t, "d"), func(op Op) Outcome {
		mu.Lock()
		defer mu.Unlock()
		seen[op.N] = true
		return Outcome{}
	})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 25 {
				name := fmt.Sprintf("d/%d-%d", i, j)
				f, err := fault.Create(name)
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(f.Sync(), fault.Rename(name, name+"x"), f.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(seen) != 400 || fault.Total() != 400 || fault.Count(KindRename) != 100 {
		t.Errorf("%d numbers, %d operations, %d renames", len(seen), fault.Total(), fault.Count(KindRename))
	}
}
