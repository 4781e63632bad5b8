package tools

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcd/store"
	"gcd/store/snapshot"
	"gcd/wal"
)

// killedStore is a directory as kill -9 leaves it, with ten records of 48 bytes: record i is at
// 64+48*(i-1).
func killedStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := s.Count(inTime(t), "a"); err != nil {
			t.Fatal(err)
		}
	}
	killed := copyTree(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return killed
}

func markOf(dir string) string { return wal.MarkPath(store.LogDir(dir)) }

// readMarkOf is what the mark of a directory is good for, judged with its snapshot.
func readMarkOf(t *testing.T, dir string) wal.Mark {
	t.Helper()
	m, err := snapshot.At(store.SnapshotPath(dir)).Meta()
	if err != nil {
		t.Fatal(err)
	}
	mark, err := wal.FindMark(store.LogDir(dir), m.Store, wal.Options{Mark: wal.MarkOptions{Note: m.Mark}})
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

// TestVerifyAndTheMark: verify finds that the end of the log is gone where the mark proves it, and
// says where there is no evidence, or what of it is missing.
func TestVerifyAndTheMark(t *testing.T) {
	t.Parallel()
	killed, other := killedStore(t), killedStore(t)
	zeros := func(t *testing.T, dir string) { overwriteAt(t, lastSegment(t, dir), 304, make([]byte, 240)) }
	for _, row := range []struct {
		name   string
		change func(t *testing.T, dir string)
		says   string
	}{
		{"sound", func(*testing.T, string) {}, "up to a second of records after 10 may be gone"},
		{"missing", func(t *testing.T, dir string) { must(t, os.Remove(markOf(dir))) },
			"is missing: it is no evidence"},
		{"damaged", func(t *testing.T, dir string) {
			must(t, os.WriteFile(markOf(dir), []byte("nonsense"),
				0o600))
		}, "is damaged: it is no evidence"},
		{"of another store", func(t *testing.T, dir string) {
			b, err := os.ReadFile(markOf(other))
			must(t, err)
			must(t, os.WriteFile(markOf(dir), b, 0o600))
		}, "is of another store: it is no evidence"},
		{"unreadable", func(t *testing.T, dir string) {
			must(t, os.Remove(markOf(dir)))
			must(t, os.Mkdir(markOf(dir), 0o700))
		}, "cannot be read"},
		{"older than the last run", func(t *testing.T, dir string) { setMeta(t, dir, "mark", make([]byte, 8)) },
			"is older than the last run"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := copyTree(t, killed)
			row.change(t, dir)
			v := verified(t, dir, VerifyOptions{})
			if said := strings.Join(v.Unproven, "\n"); v.Err() != nil || !v.Starts || v.Mark != row.name ||
				!strings.Contains(said,
					row.says) {
				t.Errorf("%v, not proved: %s", v.Err(), said)
			}
			if in, err := Inspect(t.Context(), dir, InspectOptions{}); err != nil || in.Mark != row.name ||
				in.Problem != "" {
				t.Errorf("inspect says that the mark is %s, %s, %v", in.Mark, in.Problem, err)
			}
			zeros(t, dir)
			v = verified(t, dir, VerifyOptions{})
			var damage *wal.CorruptionError
			proves := row.name == "sound" || row.name == "older than the last run"
			if errors.As(v.Err(), &damage) != proves || proves && (damage.File != lastSegment(t, dir) ||
				damage.Offset != 304 || v.Starts) {
				t.Errorf("without records 6 to 10: %v, starts %t", v.Err(), v.Starts)
			}
			if said := strings.Join(v.Unproven, "\n"); !proves && !strings.Contains(said,
				"records after 5 would look like a log that ended there") {
				t.Errorf("without records 6 to 10, not proved: %s", said)
			}
			r, err := Repair(t.Context(), dir, RepairOptions{})
			if err != nil || r.Needless == proves || proves && (len(r.Lost) != 1 || r.Lost[0] != Range{6, 10} ||
				r.Index != 10 || r.Sure != 0) {
				t.Errorf("repair without records 6 to 10: %+v, %v", r, err)
			}
		})
	}
	dir := copyTree(t, killed)
	must(t, os.Remove(lastSegment(t, dir)))
	if v := verified(t, dir, VerifyOptions{}); !isDamage(v.Err()) || v.Starts {
		t.Errorf("without segments: %v", v.Err())
	}
	must(t, os.Remove(store.SnapshotPath(dir)))
	if v := verified(t, dir, VerifyOptions{}); !isDamage(v.Err()) || v.Starts {
		t.Errorf("with nothing but the mark: %v", v.Err())
	}
}

// TestVerifyAndAPartOfTheMark: where the newest slot may be gone verify does not say that the log
// is proved to its end.
func TestVerifyAndAPartOfTheMark(t *testing.T) {
	t.Parallel()
	killed := killedStore(t)
	for name, change := range map[string]func(b []byte) []byte{
		"cut off": func(b []byte) []byte { return b[:64] },
		"a bit of each slot but the oldest": func(b []byte) []byte {
			b[4096+40] ^= 1
			b[8192+40] ^= 1
			return b
		},
	} {
		dir := copyTree(t, killed)
		b, err := os.ReadFile(markOf(dir))
		must(t, err)
		must(t, os.WriteFile(markOf(dir), change(b), 0o600))
		overwriteAt(t, lastSegment(t, dir), 496, make([]byte, 48))
		v := verified(t, dir, VerifyOptions{})
		said := strings.Join(v.Unproven, "\n")
		if v.Err() != nil || strings.Contains(said, "if the process was killed none is") ||
			!strings.Contains(said, "a part of the mark") ||
			!strings.Contains(said, "records after 9 would look like") {
			t.Errorf("%s: %v, not proved: %s", name, v.Err(), said)
		}
	}
}

// TestVerifyAndAnOlderMark: nor does it where an older copy of the mark was put back.
func TestVerifyAndAnOlderMark(t *testing.T) {
	t.Parallel()
	killed := killedStore(t) // its records are 1 to 10
	dir := copyTree(t, killed)
	b, err := os.ReadFile(markOf(dir))
	must(t, err)
	for at := 0; at < len(b); at += 4096 {
		if slot := b[at : at+64]; slot[0] != 0 {
			binary.LittleEndian.PutUint64(slot[40:], 3)
			binary.LittleEndian.PutUint32(slot[60:], crc32.Checksum(slot[:60], crc32.MakeTable(crc32.Castagnoli)))
		}
	}
	must(t, os.WriteFile(markOf(dir), b, 0o600))
	v := verified(t, dir, VerifyOptions{})
	said := strings.Join(v.Unproven, "\n")
	if v.Err() != nil || strings.Contains(said, "if the process was killed none is") ||
		!strings.Contains(said, "says record 3, but the log goes on to record 10") {
		t.Errorf("%v, not proved: %s", v.Err(), said)
	}
}

// TestMarkOfWhatIsBuilt: restore and repair make a mark that is sound, of the store that they make.
func TestMarkOfWhatIsBuilt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	restored, err := Restore(t.Context(), writeDump(t, "ndjson", testHeader(), nil), dir,
		RestoreOptions{SegmentSize: smallSegment})
	must(t, err)
	if mark := readMarkOf(t, dir); mark.State != wal.MarkSound || mark.Store != restored.Store ||
		mark.Index != testHeader().Index {
		t.Errorf("restored: %+v", mark)
	}
	dir = filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(dir, os.DirFS(killedStore(t))))
	overwriteAt(t, lastSegment(t, dir), 304, make([]byte, 240))
	repaired, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment})
	must(t, err)
	if mark := readMarkOf(t, dir); mark.State != wal.MarkSound || mark.Store != repaired.Store || mark.Index != 10 {
		t.Errorf("repaired: %+v", mark)
	}
	if got := servedSums(t, dir); got["a"].Sum != 5 {
		t.Errorf("the repaired store serves %v, want the sum 5 of topic a", got)
	}
}

// TestCompactLeavesTheMark: compact changes no byte of the mark, and what the snapshot says of it
// stays.
func TestCompactLeavesTheMark(t *testing.T) {
	t.Parallel()
	killed := killedStore(t)
	for name, change := range map[string]func(t *testing.T, dir string){
		"current": func(*testing.T, string) {},
		"old":     func(t *testing.T, dir string) { setMeta(t, dir, "mark", make([]byte, 8)) },
		"torn":    func(t *testing.T, dir string) { overwriteAt(t, lastSegment(t, dir), 64+480+10, []byte("torn")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := copyTree(t, killed)
			change(t, dir)
			before, err := os.ReadFile(markOf(dir))
			must(t, err)
			was := readMarkOf(t, dir)
			if _, err := Compact(t.Context(), dir, CompactOptions{}); err != nil {
				t.Fatal(err)
			}
			after, err := os.ReadFile(markOf(dir))
			must(t, err)
			if !bytes.Equal(before, after) || readMarkOf(t, dir) != was {
				t.Errorf("the mark was %+v and is %+v", was, readMarkOf(t, dir))
			}
			if got := servedSums(t, dir); got["a"].Sum != 10 {
				t.Errorf("the compacted store serves %v, want the sum 10 of topic a", got)
			}
		})
	}
}

// TestCopyOfARunningDirectory: a copy whose mark was made after its log lacks what was counted
// between, and is refused.
func TestCopyOfARunningDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 64 << 10})
	must(t, err)
	defer s.Close()
	count := func() {
		_, err := s.Count(inTime(t), "a")
		must(t, err)
	}
	count()
	copied := copyTree(t, dir)
	count()
	b, err := os.ReadFile(markOf(dir))
	must(t, err)
	must(t, os.WriteFile(markOf(copied), b, 0o600))
	var damage *wal.CorruptionError
	if _, err := store.Open(copied, store.Options{}); !errors.As(err, &damage) || damage.Index != 2 {
		t.Errorf("the older copy with the newer mark was opened with %v, want that record 2 is missing", err)
	}
}

// TestReadingKeepsTheMark: who reads beside a running server has the mark as it was before the log,
// whatever the server counts meanwhile.
func TestReadingKeepsTheMark(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 64 << 10})
	must(t, err)
	defer s.Close()
	for range 3 {
		_, err := s.Count(inTime(t), "a")
		must(t, err)
	}
	r, err := openDirView(t.Context(), dir, dirViewOptions{tempDir: t.TempDir()})
	must(t, err)
	defer r.close()
	for range 3 {
		_, err := s.Count(inTime(t), "a")
		must(t, err)
	}
	log, err := r.openLog()
	if err != nil {
		t.Fatal(err)
	}
	if mark := log.Mark(); !r.running || log.Last() != 3 || mark.State != wal.MarkSound || mark.Index != 3 {
		t.Errorf("running %t, record %d, %+v", r.running, log.Last(), mark)
	}
	must(t, log.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overwriteAt writes bytes into a file.
func overwriteAt(t *testing.T, name string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(b, off)
	must(t, errors.Join(err, f.Close()))
}
