package tools

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"gcd/store"
)

// tailRun is how many bytes of changes are kept in memory before they are sorted and written to a temporary file.
const tailRun = 32 << 20

// maxTailEntry bounds what a change takes in a run: key, topic, and their lengths with four numbers.
const maxTailEntry = 64 + store.MaxTopicLen + 6*binary.MaxVarintLen64

// tailChange is a change with the index of its record and the key of its topic.
type tailChange struct {
	key   []byte
	index uint64
	store.Change
}

// tail sorts the changes of a part of the log by topic, in a bounded amount of memory: each topic's stay in the order of the log.
// Changes are added, then next yields them. close it.
type tail struct {
	dir   string // of the temporary files, which have no name
	limit int    // bytes in memory
	buf   []byte
	refs  []tailRef
	runs  []*tailReader
	ready tailHeap
}

// tailRef is a change in tail.buf.
type tailRef struct{ start, key, keyEnd, end int }

func newTail(dir string, limit int) *tail { return &tail{dir: dir, limit: limit} }

// add adds a change; it is copied.
func (t *tail) add(index uint64, c store.Change) error {
	var ref tailRef
	ref.start = len(t.buf)
	key := store.AppendTopicKey(nil, c.Topic)
	t.buf = binary.AppendUvarint(t.buf, uint64(len(key)))
	ref.key = len(t.buf)
	t.buf = append(t.buf, key...)
	ref.keyEnd = len(t.buf)
	t.buf = binary.AppendUvarint(t.buf, uint64(len(c.Topic)))
	t.buf = append(t.buf, c.Topic...)
	for _, n := range []uint64{index, c.Epoch, c.Sum, c.N} {
		t.buf = binary.AppendUvarint(t.buf, n)
	}
	ref.end = len(t.buf)
	t.refs = append(t.refs, ref)
	if len(t.buf)+len(t.refs)*32 < t.limit {
		return nil
	}
	return t.spill()
}

// spill writes what is in memory to a file of its own, sorted.
func (t *tail) spill() error {
	slices.SortStableFunc(t.refs, func(a, b tailRef) int {
		return bytes.Compare(t.buf[a.key:a.keyEnd], t.buf[b.key:b.keyEnd])
	})
	file, err := tempFile(t.dir)
	if err != nil {
		return err
	}
	t.runs = append(t.runs, &tailReader{file: file, number: len(t.runs)})
	w := bufio.NewWriterSize(file, 256<<10)
	for _, ref := range t.refs {
		if _, err := w.Write(t.buf[ref.start:ref.end]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	t.buf, t.refs = t.buf[:0], t.refs[:0]
	_, err = file.Seek(0, io.SeekStart)
	return err
}

// sorted ends the adding.
func (t *tail) sorted() error {
	if len(t.refs) > 0 {
		if err := t.spill(); err != nil {
			return err
		}
	}
	t.buf, t.refs = nil, nil
	for _, run := range t.runs {
		run.r = bufio.NewReaderSize(run.file, 64<<10)
		if err := t.advance(run); err != nil {
			return err
		}
	}
	return nil
}

// advance reads the next change of a run and puts the run where it belongs.
func (t *tail) advance(run *tailReader) error {
	err := run.read()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a temporary file: %w", err)
	}
	heap.Push(&t.ready, run)
	return nil
}

// peek is the next change, nil behind the last. It is valid until next.
func (t *tail) peek() *tailChange {
	if len(t.ready) == 0 {
		return nil
	}
	return &t.ready[0].change
}

// next goes on to the change behind peek's.
func (t *tail) next() error { return t.advance(heap.Pop(&t.ready).(*tailReader)) }

func (t *tail) close() error {
	var errs []error
	for _, run := range t.runs {
		errs = append(errs, closeTemp(run.file))
	}
	t.runs, t.ready = nil, nil
	return errors.Join(errs...)
}

// tailReader reads one run.
type tailReader struct {
	file   *os.File
	r      *bufio.Reader
	number int // runs are numbered in the order of the log
	buf    []byte
	change tailChange
}

// read reads the next change. io.EOF behind the last.
func (r *tailReader) read() error {
	size, err := binary.ReadUvarint(r.r)
	if err != nil {
		return err
	}
	r.buf = r.buf[:0]
	part := func(size uint64) error {
		if size > maxTailEntry {
			return errors.New("it was changed")
		}
		start := len(r.buf)
		r.buf = slices.Grow(r.buf, int(size))[:start+int(size)]
		_, err := io.ReadFull(r.r, r.buf[start:])
		return err
	}
	if err := part(size); err != nil {
		return unexpected(err)
	}
	keyEnd := len(r.buf)
	if size, err = binary.ReadUvarint(r.r); err == nil {
		err = part(size)
	}
	if err != nil {
		return unexpected(err)
	}
	c := &r.change
	for _, n := range []*uint64{&c.index, &c.Epoch, &c.Sum, &c.N} {
		if *n, err = binary.ReadUvarint(r.r); err != nil {
			return unexpected(err)
		}
	}
	c.key, c.Topic = r.buf[:keyEnd], r.buf[keyEnd:]
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tailHeap has the run with the lowest change first; of the same topic the one that is earlier in the log.
type tailHeap []*tailReader

func (h tailHeap) Len() int { return len(h) }
func (h tailHeap) Less(i, j int) bool {
	if order := bytes.Compare(h[i].change.key, h[j].change.key); order != 0 {
		return order < 0
	}
	return h[i].number < h[j].number
}
func (h tailHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *tailHeap) Push(x any)   { *h = append(*h, x.(*tailReader)) }
func (h *tailHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
