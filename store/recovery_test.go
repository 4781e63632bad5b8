package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"gcd/internal/dirlock"
	"gcd/internal/thin"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// liveDir makes a directory with several segments, a snapshot in the middle of the log and records
// after it, and returns it with the state it should recover. clean: closed, else as a kill leaves
// it.
func liveDir(t testing.TB, clean bool) (dir string, want map[string]core.Value) {
	t.Helper()
	dir = t.TempDir()
	s, err := open(t, dir, Options{SegmentSize: 8192, SnapshotInterval: -1, SnapshotBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	model := modelStore{values: map[string]core.Value{}, maxTopics: 1 << 20, maxTopic: core.MaxTopicLen}
	do := func(ops ...core.Op) {
		for _, op := range ops {
			model.do(op)
		}
		runOps(t, s, ops)
	}
	for i := range 30 {
		do(count("a", 1), count(fmt.Sprint(i%7), 3), count(strings.Repeat("long", 300)+fmt.Sprint(i%2), 1))
	}
	do(reset("a"), count("a", 2))
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		do(count("a", 1), count("tail"+fmt.Sprint(i), 1), count(strings.Repeat("long", 300)+fmt.Sprint(i%2), 1))
	}
	if clean {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return dir, model.values
	}
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		// nothing is being written: this is what a kill would leave
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return killed, model.values
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, logName, "*.seg"))
	if err != nil || len(names) < 2 {
		t.Fatalf("segments %v, %v: want two or more", names, err)
	}
	return names
}

// contents reads every file of a directory, but the lock, which a refused start may make.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == dirlock.FileName {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func edit(t testing.TB, path string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// lastRecord finds where the last record begins and ends.
func lastRecord(t testing.TB, dir string) (path string, offset, end int64) {
	t.Helper()
	l, err := wal.Open(filepath.Join(dir, logName), wal.Options{SegmentSize: 8192})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for r, err := range l.Records(l.Last()) {
		if err != nil {
			t.Fatal(err)
		}
		offset = r.Offset
		end = (r.Offset + 40 + int64(len(r.Payload)) + 7) / 8 * 8
	}
	names := segments(t, dir)
	return names[len(names)-1], offset, end
}

// TestRefusals: each row damages a directory in one way; the start must refuse, name the file, and
// change nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 0x10; return b }
	}
	for _, row := range []struct {
		name   string
		damage func(t *testing.T, dir string) (file string)
		is     error // instead of corruption
	}{
		{"snapshot missing", func(t *testing.T, dir string) string {
			return remove(t, filepath.Join(dir, snapshot.FileName))
		}, nil},
		{"snapshot empty", func(t *testing.T, dir string) string {
			return truncate(t, filepath.Join(dir, snapshot.FileName), 0)
		}, nil},
		{"snapshot cut off", func(t *testing.T, dir string) string {
			return truncate(t, filepath.Join(dir, snapshot.FileName), 3*4096)
		}, nil},
		{"snapshot cut off after its first page", func(t *testing.T, dir string) string {
			return truncate(t, filepath.Join(dir, snapshot.FileName), int64(os.Getpagesize()))
		}, nil},
		{"snapshot cut off in its second page", func(t *testing.T, dir string) string {
			return truncate(t, filepath.Join(dir, snapshot.FileName), 2*int64(os.Getpagesize())-1)
		}, nil},
		{"snapshot of nonsense", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, snapshot.FileName)
			edit(t, path, func(b []byte) []byte { return []byte(strings.Repeat("nonsense", len(b)/8)) })
			return path
		}, nil},
		{"snapshot without an entry", func(t *testing.T, dir string) string {
			return editBolt(t, dir, func(tx *bolt.Tx) error { return tx.Bucket(bucketTopics).Delete([]byte("\x01a")) })
		}, nil},
		{"snapshot with an entry more", func(t *testing.T, dir string) string {
			return editBolt(t, dir,
				func(tx *bolt.Tx) error { return tx.Bucket(bucketTopics).Put([]byte("\x01zz"), []byte{0, 1, 1}) })
		}, nil},
		{"snapshot with an older sum", func(t *testing.T, dir string) string {
			return editBolt(t, dir,
				func(tx *bolt.Tx) error { return tx.Bucket(bucketTopics).Put([]byte("\x01a"), []byte{1, 1, 1}) })
		}, nil},
		{"snapshot with a bad key", func(t *testing.T, dir string) string {
			return editBolt(t, dir,
				func(tx *bolt.Tx) error { return tx.Bucket(bucketTopics).Put([]byte("\x07a"), []byte{1, 1, 1}) })
		}, nil},
		{"snapshot with a state of nonsense", func(t *testing.T, dir string) string {
			return editBolt(t, dir, func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyState, []byte{9}) })
		}, nil},
		{"snapshot with a page in use on the list of free ones", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, snapshot.FileName)
			freeRoot(t, path)
			return path
		}, nil},
		{"snapshot of another program", func(t *testing.T, dir string) string {
			return editBolt(t, dir, func(tx *bolt.Tx) error {
				return errors.Join(tx.DeleteBucket(bucketMeta), tx.DeleteBucket(bucketTopics))
			})
		}, wal.ErrNotOurs},
		{"snapshot without a bucket", func(t *testing.T, dir string) string {
			return editBolt(t, dir, func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketMeta) })
		}, nil},
		{"snapshot of a newer version", func(t *testing.T, dir string) string {
			return editBolt(t, dir,
				func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte{2, 0, 0, 0}) })
		}, wal.ErrVersion},
		{"snapshot of another store", func(t *testing.T, dir string) string {
			other, _ := liveDir(t, true)
			b, err := os.ReadFile(filepath.Join(other, snapshot.FileName))
			if err != nil {
				t.Fatal(err)
			}
			edit(t, filepath.Join(dir, snapshot.FileName), func([]byte) []byte { return b })
			return logName
		}, nil},
		{"log missing", func(t *testing.T, dir string) string {
			if err := os.RemoveAll(filepath.Join(dir, logName)); err != nil {
				t.Fatal(err)
			}
			return logName
		}, nil},
		{"first segments missing", func(t *testing.T, dir string) string {
			remove(t, segments(t, dir)[0]) // may be covered by the snapshot to its end
			remove(t, segments(t, dir)[0])
			return logName
		}, nil},
		{"middle segment missing", func(t *testing.T, dir string) string {
			remove(t, segments(t, dir)[1])
			return logName
		}, nil},
		{"last segment missing", func(t *testing.T, dir string) string {
			names := segments(t, dir)
			remove(t, names[len(names)-1])
			return names[len(names)-2]
		}, nil},
		{"segment of zero length", func(t *testing.T, dir string) string {
			return truncate(t, segments(t, dir)[1], 0)
		}, nil},
		{"bit in a sealed segment", func(t *testing.T, dir string) string {
			path := segments(t, dir)[1] // the first may be kept for history only: TestRetainedDamage
			edit(t, path, flip(64+40+2))
			return path
		}, nil},
		{"bit in the last record", func(t *testing.T, dir string) string {
			path, off, _ := lastRecord(t, dir)
			edit(t, path, flip(int(off)+41))
			return path
		}, nil},
		{"last record zeroed", func(t *testing.T, dir string) string {
			path, off, _ := lastRecord(t, dir)
			edit(t, path, func(b []byte) []byte { clear(b[off:]); return b })
			return path
		}, nil},
		{"segment of a newer version", func(t *testing.T, dir string) string {
			path := segments(t, dir)[1]
			edit(t, path, func(b []byte) []byte {
				b[8] = 2
				binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crc32.MakeTable(crc32.Castagnoli)))
				return b
			})
			return path
		}, wal.ErrVersion},
		{"version of a segment", func(t *testing.T, dir string) string {
			path := segments(t, dir)[1]
			edit(t, path, func(b []byte) []byte { b[8] = 2; return b })
			return path
		}, nil},
		{"no segment begins as one, though there is a snapshot", func(t *testing.T, dir string) string {
			paths := segments(t, dir)
			for _, path := range paths {
				edit(t, path, func(b []byte) []byte { clear(b[:64]); return b })
			}
			return paths[0]
		}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir, _ := liveDir(t, true)
			file := row.damage(t, dir)
			before := contents(t, dir)
			s, err := open(t, dir, Options{SegmentSize: 8192})
			if err == nil {
				_ = s.Close()
				t.Fatal("the store started")
			}
			var damage *wal.CorruptionError
			switch {
			case row.is != nil && !errors.Is(err, row.is):
				t.Errorf("%v; want %v", err, row.is)
			case row.is == nil && !errors.As(err, &damage):
				t.Errorf("%v (%T); want a corruption error", err, err)
			}
			if !strings.Contains(err.Error(), filepath.Base(file)) {
				t.Errorf("%v; it does not name %s", err, filepath.Base(file))
			}
			if !maps.Equal(before, contents(t, dir)) {
				t.Error("the refused start changed a file")
			}
			t.Log(err)
		})
	}
}

func remove(t testing.TB, path string) string {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func truncate(t testing.TB, path string, size int64) string {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// editBolt changes the snapshot behind the store's back.
func editBolt(t testing.TB, dir string, do func(tx *bolt.Tx) error) string {
	t.Helper()
	path := filepath.Join(dir, snapshot.FileName)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(do), db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRecovers: what is no damage starts, with every count.
func TestRecovers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		clean  bool
		change func(t *testing.T, dir string)
	}{
		{"closed", true, func(*testing.T, string) {}},
		{"killed", false, func(*testing.T, string) {}},
		{"unknown files", true, func(t *testing.T, dir string) {
			for _, name := range []string{"notes.txt", "wal/README", "wal/00000000000000zz.seg"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"half-made files", true, func(t *testing.T, dir string) {
			for _, name := range []string{"counters.db.new", "wal/spare"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"torn tail", false, func(t *testing.T, dir string) {
			path, _, end := lastRecord(t, dir)
			edit(t, path, func(b []byte) []byte { copy(b[end:], "garbage of a write that was cut off"); return b })
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir, want := liveDir(t, row.clean)
			row.change(t, dir)
			s := openStore(t, dir, Options{SegmentSize: 8192})
			model := modelStore{values: want}
			model.compare(t, s)
			if r := s.Recovery(); r.Clean != row.clean || r.Created || r.Topics != len(want) || r.Entries == 0 ||
				r.Records == 0 {
				t.Errorf("recovery %+v", r)
			}
			for _, name := range []string{"notes.txt", "wal/README", "wal/00000000000000zz.seg"} {
				if row.name == "unknown files" {
					if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != "mine" {
						t.Errorf("a file that is not ours, %s, holds %q, %v, want it untouched", name, b, err)
					}
				}
			}
		})
	}
}

// TestSnapshotMissingButLogWhole: with a log from the first record on, nothing is lost with the
// snapshot.
func TestSnapshotMissingButLogWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := open(t, dir, Options{SegmentSize: 8192})
	if err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("a", 3), reset("a"), count("a", 2)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	remove(t, filepath.Join(dir, snapshot.FileName))
	for range 2 {
		s := openStore(t, dir, Options{SegmentSize: 8192})
		if got := get(s, "a"); got != (core.Value{Sum: 2, Epoch: 1}) {
			t.Errorf("topic a is at %+v, want {2 1}: the log is whole", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openStore(t, dir, Options{SegmentSize: 8192})
	if _, err := open(t, dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("%v, want ErrLocked", err)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "store")
	s := openStore(t, dir, Options{SegmentSize: 8192})
	runOps(t, s, []core.Op{count("a", 1)})
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFlips flips seeded random bits of a closed directory: it is refused, or the state is what it
// was. Never another sum.
func TestFlips(t *testing.T) {
	t.Parallel()
	dir, want := liveDir(t, true)
	files := contents(t, dir)
	var names []string
	for name := range files {
		if filepath.Base(name) != "spare" {
			names = append(names, name)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	refused, same := 0, 0
	for range 300 / thin.Step(5) {
		name := names[r.IntN(len(names))]
		bit := r.IntN(8 * len(files[name]))
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(copied, strings.TrimPrefix(name, dir))
		edit(t, path, func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
		s, err := open(t, copied, Options{SegmentSize: 8192, SnapshotInterval: -1, hooks: snapshot.Hooks{NoSync: true}})
		if err != nil {
			refused++
			continue
		}
		model := modelStore{values: want}
		model.compare(t, s)
		if t.Failed() {
			t.Fatalf("seed %d: bit %d of %s leads to other sums", seed, bit, name)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		same++
	}
	t.Logf("%d refused, %d harmless", refused, same)
}
