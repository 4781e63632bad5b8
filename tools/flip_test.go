package tools

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"gcd/internal/thin"
	"gcd/store"
	"gcd/store/snapshot"
	"gcd/wal"
)

// smallStore is as small as a cleanly closed directory of several segments and a snapshot gets:
// bbolt's pages are made 1 KiB, which every reader takes from the file, and what its file is longer
// than its pages is cut off.
func smallStore(t testing.TB) string {
	t.Helper()
	dir := closedStoreOf(t, seeded(t), 140, 12, false)
	path := store.SnapshotPath(dir)
	from, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := snapshot.At(path).Meta()
	if err != nil || m.Mark != wal.MarkCurrent {
		t.Fatalf("the small store has %+v, %v, want a mark that is current", m, err)
	}
	small := path + ".small"
	to, err := bolt.Open(small, 0o600, &bolt.Options{PageSize: 1024})
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	err = to.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{"topics", "meta"} {
			bucket, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			err = from.View(func(old *bolt.Tx) error { return old.Bucket([]byte(name)).ForEach(bucket.Put) })
			if err != nil {
				return err
			}
		}
		return tx.Bucket([]byte("meta")).Put([]byte("mark"), binary.LittleEndian.AppendUint64(nil, uint64(tx.ID())))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := to.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, db := range []*bolt.DB{from, to} {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(small, path); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return dir
}

// isDamage says whether an error is damage of one of a store's files.
func isDamage(err error) bool {
	return errors.As(err, new(*wal.CorruptionError))
}

// TestSnapshotCutOff cuts a snapshot off as it is written, with pages of the system's size, at each
// length beside a page's end, some between, and with nonsense in its place: that is damage, and as
// the log goes back to the first record a repair makes all of it again.
func TestSnapshotCutOff(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(closedStore(t, r, 300, 40))); err != nil {
		t.Fatal(err)
	}
	path := store.SnapshotPath(dir)
	want := servedSums(t, dir)
	pages, err := snapshot.At(path).Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for at := 0; at <= pages.Pages*pages.PageSize; at += pages.PageSize {
		for near := at - 2; near <= at+2; near++ {
			sizes = append(sizes, near)
		}
		sizes = append(sizes, at+r.IntN(pages.PageSize), at+r.IntN(pages.PageSize))
	}
	for i := 0; i < len(sizes); i += thin.Step(3) {
		size := sizes[i]
		if size < 0 || size >= pages.Pages*pages.PageSize {
			continue // after that is nothing
		}
		content := intact[:size]
		if i%5 == 0 && size > 0 {
			content = make([]byte, size)
			for at := range content {
				content[at] = byte(r.Uint32())
			}
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := Verify(t.Context(), dir, VerifyOptions{})
		if err != nil || !isDamage(v.Err()) || v.Starts || v.Files[0].Damages != 1 {
			t.Fatalf("%d bytes: %+v, %v", size, v, err)
		}
		if in, err := Inspect(t.Context(), dir, InspectOptions{}); err != nil || in.Problem == "" {
			t.Errorf("%d bytes: %+v, %v", size, in, err)
		}
		o := RepairOptions{AcceptLoss: i%4 == 0, SegmentSize: smallSegment}
		done, err := Repair(t.Context(), dir, o)
		if err != nil || !done.Whole() || done.Done != o.AcceptLoss {
			t.Fatalf("%d bytes: %+v, %v", size, done, err)
		}
		if !done.Done {
			continue
		}
		if got := servedSums(t, dir); !maps.Equal(got, want) {
			t.Errorf("%d bytes: %v is served, want %v", size, got, want)
		}
		if err := errors.Join(os.RemoveAll(dir), os.Rename(done.Aside, dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFlip flips bits of a cleanly closed directory, and cuts its files off: whatever is done to
// it, Verify reports damage, or says that the directory was not closed cleanly or that its snapshot
// was interrupted, or the bit is in a part of bbolt's file that holds nothing. In the two last
// cases a start serves the same sums. With GCD_FLIP set each bit and each length is tried.
func TestFlip(t *testing.T) {
	t.Parallel()
	exhaustive := os.Getenv("GCD_FLIP") != ""
	r := seeded(t)
	dir := smallStore(t)
	whole := verified(t, dir, VerifyOptions{})
	if whole.Err() != nil || len(whole.Files) < 3 {
		t.Fatalf("the store that is to be damaged is not whole: %+v", whole)
	}
	want := servedSums(t, dir)
	path := store.SnapshotPath(dir)
	used := map[int]bool{}
	if _, err := snapshot.At(path).Check(func(off, n int64) {
		for i := off; i < off+n; i++ {
			used[int(i)] = true
		}
	}); err != nil {
		t.Fatal(err)
	}
	// What a start takes for a crash, or for a snapshot that was interrupted, is no damage that a
	// file can prove; but it is said.
	doubtful := func(v *Verified) bool { return v.State != whole.State || len(v.Unproven) > len(whole.Unproven) }
	var total, found, empty, unclean int
	starts := 32 // one in so many of what is found is started: that takes its time
	if exhaustive {
		starts = 512
	}
	judge := func(file string, offset int, what string) {
		t.Helper()
		total++
		v, err := Verify(t.Context(), dir, VerifyOptions{})
		if err != nil {
			t.Fatalf("%s, offset %d: %s: verify fails: %v", file, offset, what, err)
		}
		switch {
		case v.Err() != nil:
			if found++; found%starts == 0 && v.Starts != (servedSums(t, dir) != nil) {
				t.Errorf("%s, offset %d: %s: verify says that a server starts here: %t", file, offset, what, v.Starts)
			}
			// the number of the snapshot's format has no checksum
			if !isDamage(v.Err()) && !(file == path && errors.Is(v.Err(), wal.ErrVersion)) {
				t.Errorf("%s, offset %d: %s: verify takes it for no damage: %v", file, offset, what, v.Err())
			}
			return
		case doubtful(v):
			unclean++
		case file == path && !used[offset]:
			empty++
		default:
			t.Errorf("%s, offset %d: %s: verify says that it is fine", file, offset, what)
		}
		if total%32 == 0 || doubtful(v) { // what a start makes of it takes its time
			if got := servedSums(t, dir); !maps.Equal(got, want) {
				t.Errorf("%s, offset %d: %s: verify says that it is fine, and other sums are served", file, offset,
					what)
			}
		}
	}
	var bytes int64
	for _, f := range whole.Files {
		name := filepath.Join(dir, f.Name)
		intact, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bytes += int64(len(intact))
		next := func() int {
			if exhaustive {
				return 1
			}
			return 1 + r.IntN(400*thin.Step(5))
		}
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		write := func(b []byte, at int) {
			if _, err := file.WriteAt(b, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		for i := next() - 1; i < 8*len(intact); i += next() {
			write([]byte{intact[i/8] ^ 1<<(i%8)}, i/8)
			judge(name, i/8, "a flipped bit")
			write(intact[i/8:i/8+1], i/8)
		}
		for n := next() - 1; n < len(intact); n += next() {
			if err := file.Truncate(int64(n)); err != nil {
				t.Fatal(err)
			}
			judge(name, n, "cut off")
			write(intact[n:], n)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d bytes in %d files; %d changes: %d found, %d where nothing is held, %d look like a crash", bytes,
		len(whole.Files), total, found, empty, unclean)
	if verified(t, dir, VerifyOptions{}).Err() != nil {
		t.Error("the directory was not put back")
	}
	// of the key mark, and of its value, each bit makes the mark an older one
	if bytes > 24<<10 || unclean > 16+8*(4+8) {
		t.Errorf("%d bytes, %d look like a crash", bytes, unclean)
	}
}
