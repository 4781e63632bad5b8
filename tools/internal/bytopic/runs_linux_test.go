package bytopic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/tools/internal/tempfile"
)

// TestRunsShareOneFile: however little memory there is, the runs that it takes are in one file, and
// none of them is lost or comes in another order.
func TestRunsShareOneFile(t *testing.T) {
	t.Parallel()
	const topics, rounds = 50, 60
	dir := t.TempDir()
	c := New(number, Options{Dir: dir, Memory: 1})
	for round := range uint64(rounds) {
		for n := range topics {
			if err := c.Append(fmt.Appendf(nil, "topic %02d", n*7%topics), round); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := vfstest.OpenFiles(t, dir); got != 1 || len(c.runs.ends) != topics*rounds-1 {
		t.Errorf("%d files for %d runs, want 1 for %d", got, len(c.runs.ends), topics*rounds-1)
	}
	n := 0
	for topic, err := range c.All() {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("topic %02d", n); string(topic.Name) != want {
			t.Fatalf("topic %d is %q, want %q", n, topic.Name, want)
		}
		round := uint64(0)
		for ; topic.Next(); round++ {
			if topic.Value != round {
				t.Fatalf("%q: value %d is %d", topic.Name, round, topic.Value)
			}
		}
		if n++; round != rounds {
			t.Fatalf("%q has %d values, want %d", topic.Name, round, rounds)
		}
	}
	if n != topics {
		t.Errorf("%d topics, want %d", n, topics)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if got := vfstest.OpenFiles(t, dir); got != 0 {
		t.Errorf("%d files are open still", got)
	}
}

// flipBit flips a bit of a file.
func flipBit(f *tempfile.File, bit int64) error {
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, bit/8); err != nil {
		return err
	}
	b[0] ^= 1 << (bit % 8)
	_, err := f.WriteAt(b, bit/8)
	return err
}

// TestRunsThatChanged: a run that ends early, one that says that more is there than is, and one
// with another bit are errors, and neither shorter runs nor other ones.
func TestRunsThatChanged(t *testing.T) {
	t.Parallel()
	read := func(change func(*runs) error) error {
		c := New(number, Options{Memory: 2 * (topicSize + 8 + 7)})
		defer c.Close()
		for n := range 3 { // two of them in a run
			if err := c.Append(fmt.Appendf(nil, "topic %d", n), 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := change(&c.runs); err != nil {
			return err
		}
		for _, err := range c.All() {
			if err != nil {
				return err
			}
		}
		return nil
	}
	var end int64
	if err := read(func(r *runs) error { end = r.end(0); return nil }); err != nil || end == 0 {
		t.Fatalf("a run of %d bytes: %v", end, err)
	}
	for n := range end {
		if err := read(func(r *runs) error { return r.file.Truncate(n) }); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	for _, length := range []uint64{99, core.MaxTopicLen + 1} { // of the first topic
		err := read(func(r *runs) error { _, err := r.file.WriteAt(binary.AppendUvarint(nil, length), 0); return err })
		if !errors.Is(err, errChanged) {
			t.Errorf("with a topic of %d bytes: %v", length, err)
		}
	}
	for n := range 8 * end {
		if err := read(func(r *runs) error { return flipBit(r.file, n) }); !errors.Is(err, errChanged) {
			t.Errorf("with bit %d flipped: %v", n, err)
		}
	}
}

// TestRunsThatChangeWhileTheyAreRead: a run that is not what was checked ends the loop with an
// error, wherever it differs.
func TestRunsThatChangeWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	for left := range int64(40) {
		const topics = runBufferMax / 10 // more than is read ahead
		c := New(number, Options{Memory: topics * 200})
		for n := range topics {
			if err := c.Append(fmt.Appendf(nil, "topic %05d", n), 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.spill(); err != nil {
			t.Fatal(err)
		}
		end := c.runs.ends[0]
		var last error
		for _, err := range c.All() {
			if last = err; err != nil {
				break
			}
			if err := c.runs.file.Truncate(end - left - 1); err != nil {
				t.Fatal(err)
			}
		}
		if !errors.Is(last, io.ErrUnexpectedEOF) || !errors.Is(last, tempfile.Err) {
			t.Errorf("cut %d bytes before the end: %v", left+1, last)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
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
	for name, add := range map[string]func(c *Collector[uint64], topic []byte) error{
		"At":     func(c *Collector[uint64], topic []byte) error { _, _, err := c.At(topic); return err },
		"Append": func(c *Collector[uint64], topic []byte) error { return c.Append(topic, 1) },
	} {
		c := New(number, Options{Memory: 1})
		c.runs.file = &tempfile.File{File: full}
		err := errors.Join(add(c, []byte("stays in memory")), add(c, []byte("sends it into the file")))
		if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, tempfile.Err) ||
			strings.Count(err.Error(), "no space") != 1 {
			t.Errorf("%s: reading what nobody changed: %v", name, err)
		}
	}
}
