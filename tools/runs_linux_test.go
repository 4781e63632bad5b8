package tools

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcd/store"
)

// TestRunsShareOneFile: however little memory there is, the runs that it takes are in one file, and none of them is lost or comes in another order.
func TestRunsShareOneFile(t *testing.T) {
	t.Parallel()
	const topics, rounds = 50, 60
	dir := t.TempDir()
	c, tail := newChains(dir, 1, nil), newTail(dir, 1, nil)
	defer c.close()
	defer tail.close()
	index := uint64(0)
	for sum := range uint64(rounds) {
		for n := range topics {
			index++
			change := store.Change{Topic: fmt.Appendf(nil, "topic %02d", n*7%topics), Sum: sum, N: 1}
			if _, _, err := c.add(index, time.Unix(-1, int64(index)), &change, true); err != nil {
				t.Fatal(err)
			}
			if err := tail.add(index, change); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := openFiles(t, dir); got != 2 || len(c.runs.ends) != topics*rounds-1 || len(tail.runs.ends) != topics*rounds {
		t.Errorf("%d files for %d and %d runs", got, len(c.runs.ends), len(tail.runs.ends))
	}
	if err := c.sort(); err != nil {
		t.Fatal(err)
	}
	if err := tail.sort(); err != nil {
		t.Fatal(err)
	}
	broken := func(topic []byte, index uint64, from, at store.Value) error {
		return fmt.Errorf("%q does not follow at %d: %v, %v", topic, index, from, at)
	}
	for n := range topics {
		topic := fmt.Appendf(nil, "topic %02d", n)
		ch, err := c.next(broken)
		if err != nil {
			t.Fatal(err)
		}
		if ch == nil || !bytes.Equal(ch.topic, topic) || ch.first > topics || ch.at.Sum != rounds || ch.time != time.Unix(-1, int64(ch.last)).UnixNano() {
			t.Fatalf("%q: %+v", topic, ch)
		}
		for sum := range uint64(rounds) {
			if next, ok := tail.sorted.peek(); !ok || !bytes.Equal(next.Topic, topic) || next.Sum != sum {
				t.Fatalf("%q at %d: %+v, %t", topic, sum, next, ok)
			}
			if err := tail.sorted.step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if ch, err := c.next(broken); ch != nil || err != nil {
		t.Errorf("behind the last: %+v, %v", ch, err)
	}
	if _, ok := tail.sorted.peek(); ok {
		t.Error("there is more behind the last")
	}
	c.close()
	tail.close()
	if got := openFiles(t, dir); got != 0 {
		t.Errorf("%d files are open still", got)
	}
}

// flipBit flips a bit of a file.
func flipBit(f *os.File, bit int64) error {
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, bit/8); err != nil {
		return err
	}
	b[0] ^= 1 << (bit % 8)
	_, err := f.WriteAt(b, bit/8)
	return err
}

// TestRunsThatChanged: a run that ends early, one that says that more is there than is, and one with another bit are errors, and neither shorter runs nor other ones.
func TestRunsThatChanged(t *testing.T) {
	t.Parallel()
	fill := func() (*chains, *tail, *witnesses, func()) {
		c, tail, w := newChains("", 2*(chainSize+10), nil), newTail("", 2*tailChangeSize, nil), newWitnesses("",
			2*(witnessedSize+10), nil)
		for n := range 3 { // two of them in a run
			change := store.Change{Topic: fmt.Appendf(nil, "topic %d", n), N: 1}
			_, _, err := c.add(1, time.Time{}, &change, true)
			if err := errors.Join(err, tail.add(1, change), w.add(change.Topic, change.After(), 1)); err != nil {
				t.Fatal(err)
			}
		}
		return c, tail, w, func() { c.close(); _, _ = tail.close(), w.close() }
	}
	read := map[string]func(change func(*runs) error) error{
		"chains": func(change func(*runs) error) error {
			c, _, _, closeAll := fill()
			defer closeAll()
			if err := errors.Join(change(&c.runs), c.sort()); err != nil {
				return err
			}
			for {
				if ch, err := c.next(nil); ch == nil || err != nil {
					return err
				}
			}
		},
		"tail": func(change func(*runs) error) error {
			_, tail, _, closeAll := fill()
			defer closeAll()
			if err := change(&tail.runs); err != nil {
				return err
			}
			return tail.fold(func(func(store.Entry) error) error { return nil }, func(store.Entry) error { return nil }, nil)
		},
		"witnesses": func(change func(*runs) error) error {
			_, _, w, closeAll := fill()
			defer closeAll()
			if err := change(&w.runs); err != nil {
				return err
			}
			return w.each(func(*witnessed) error { return nil })
		},
	}
	for name, read := range read {
		var end int64
		if err := read(func(r *runs) error { end = r.end(0); return nil }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range end {
			if err := read(func(r *runs) error { return r.file.Truncate(n) }); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut to %d bytes: %v", name, n, err)
			}
		}
		for _, length := range []uint64{99, store.MaxTopicLen + 1} { // of the first topic
			if err := read(func(r *runs) error { _, err := r.file.WriteAt(binary.AppendUvarint(nil, length), 0); return err }); !errors.Is(err, errChanged) {
				t.Errorf("%s with a topic of %d bytes: %v", name, length, err)
			}
		}
		for n := range 8 * end {
			if err := read(func(r *runs) error { return flipBit(r.file, n) }); !errors.Is(err, errChanged) {
				t.Errorf("%s with bit %d flipped: %v", name, n, err)
			}
		}
	}
}

// TestRunsOnAFullDisk: what cannot be written is said when it is added.
func TestRunsOnAFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	c, tail, w := newChains("", 1, nil), newTail("", 1, nil), newWitnesses("", 1, nil)
	c.runs.file, tail.runs.file, w.runs.file = full, full, full
	var errs [3]error
	for n := range 2 { // the first stays in memory in two of them
		change := store.Change{Topic: fmt.Appendf(nil, "topic %d", n), N: 1}
		_, _, errs[0] = c.add(1, time.Time{}, &change, true)
		errs[1], errs[2] = tail.add(1, change), w.add(change.Topic, change.After(), 1)
	}
	for i, err := range errs {
		if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, ErrTemp) || strings.Count(err.Error(), "no space") != 1 {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestCollectedTopicsAreCopied: a reader of the log gives the next record's topics in the same bytes.
func TestCollectedTopicsAreCopied(t *testing.T) {
	t.Parallel()
	c, tail, w := newChains("", 1<<20, nil), newTail("", 1<<20, nil), newWitnesses("", 1<<20, nil)
	topic := make([]byte, 1)
	for n := range byte(3) {
		topic[0] = 'a' + n
		change := store.Change{Topic: topic, N: 1}
		_, _, err := c.add(1, time.Time{}, &change, true)
		if err := errors.Join(err, tail.add(1, change), w.add(topic, change.After(), 1)); err != nil {
			t.Fatal(err)
		}
	}
	topic[0] = 'x'
	if err := errors.Join(c.sort(), tail.sort()); err != nil {
		t.Fatal(err)
	}
	n := byte(0)
	err := w.each(func(seen *witnessed) error {
		want := []byte{'a' + n}
		ch, err := c.next(nil)
		change, _ := tail.sorted.peek()
		if err != nil || !bytes.Equal(seen.topic, want) || !bytes.Equal(ch.topic, want) || !bytes.Equal(change.Topic, want) {
			t.Errorf("%q, %q and %q, want %q; %v", seen.topic, ch.topic, change.Topic, want, err)
		}
		n++
		return tail.sorted.step()
	})
	if err != nil || n != 3 {
		t.Errorf("%d topics, %v", n, err)
	}
}

// openFiles is how many files in dir the process has open, those without a name, too.
func openFiles(t *testing.T, dir string) (n int) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())) // may be closed meanwhile
		if strings.HasPrefix(target, dir+"/") {
			n++
		}
	}
	return n
}

// TestReadingCloses: the copy of a running server's snapshot goes with the reading.
func TestReadingCloses(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	s := openDir(t, dir, smallSegment)
	defer s.Close()
	src, err := OpenSource(t.Context(), dir, SourceOptions{TempDir: temp})
	if err != nil {
		t.Fatal(err)
	}
	if openFiles(t, temp) == 0 {
		t.Error("there is no copy")
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	if got := openFiles(t, temp); got != 0 {
		t.Errorf("%d files are open still", got)
	}
}
