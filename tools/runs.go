package tools

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/cespare/xxhash/v2"

	"gcd/store"
)

// Sizes of the buffers through which runs are read, in bytes. All together take runMemory, or runBufferMin for each run if these are too many for that:
// a run stands for megabytes of memory that were full, so even then it is next to nothing.
const (
	runMemory    = 4 << 20
	runBufferMin = 4 << 10
	runBufferMax = 64 << 10
)

// errChanged says that a run holds what nobody wrote.
var errChanged = errors.New("it was changed")

// runs are sorted runs of entries in one temporary file, however many they are: one is written after the other, and then all are read side by side.
type runs struct {
	dir   string   // of the file
	pause pause    // before each piece that is read; may be nil
	file  *os.File // nil: there is no run yet
	ends  []int64  // of each run, in the file
	sums  []uint64 // XXH64 of each run
}

// write adds a run, which is what each writes.
func (r *runs) write(each func(w *bufio.Writer) error) error {
	if r.file == nil {
		file, err := tempFile(r.dir)
		if err != nil {
			return err
		}
		r.file = file
	}
	begin := r.end(len(r.ends) - 1)
	to, sum := io.NewOffsetWriter(r.file, begin), xxhash.New()
	w := bufio.NewWriterSize(io.MultiWriter(to, sum), 256<<10)
	err := each(w)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTemp, err)
	}
	size, err := to.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTemp, err)
	}
	r.ends, r.sums = append(r.ends, begin+size), append(r.sums, sum.Sum64())
	return nil
}

// end is where a run ends; that of run -1 is where the first begins.
func (r *runs) end(i int) int64 {
	if i < 0 {
		return 0
	}
	return r.ends[i]
}

// readers checks that all runs are what was written, and returns a reader of each, in the order in which they were written. No run is written afterwards.
func (r *runs) readers() ([]*bufio.Reader, error) {
	size := min(max(runMemory/max(len(r.ends), 1), runBufferMin), runBufferMax)
	readers := make([]*bufio.Reader, len(r.ends))
	for i := range r.ends {
		sum := xxhash.New()
		_, err := io.Copy(sum, r.reader(i))
		if err == nil && sum.Sum64() != r.sums[i] {
			err = errChanged
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTemp, err)
		}
		readers[i] = bufio.NewReaderSize(r.reader(i), size)
	}
	return readers, nil
}

func (r *runs) reader(i int) io.Reader {
	begin := r.end(i - 1)
	return &runReader{pausingReader{io.NewSectionReader(r.file, begin, r.ends[i]-begin), r.pause}, r.ends[i] - begin}
}

// runReader takes the end of the file for that of the run only where the run ends.
type runReader struct {
	from io.Reader
	left int64 // bytes of the run
}

func (r *runReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if r.left -= int64(n); r.left > 0 {
		err = unexpected(err)
	}
	return n, err
}

func (r *runs) close() error {
	if r.file == nil {
		return nil
	}
	return closeTemp(r.file)
}

// What the entries of runs are made of.

func appendTopic(b, topic []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(topic))), topic...)
}

// readTopic reads the topic that an entry begins with, into the memory of into; io.EOF where the run ends.
func readTopic(r *bufio.Reader, into []byte) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > store.MaxTopicLen {
		return nil, errChanged
	}
	topic := slices.Grow(into[:0], int(n))[:n]
	_, err = io.ReadFull(r, topic)
	return topic, unexpected(err)
}

// readNumbers reads as many numbers as there is room for, runBufferMin/binary.MaxVarintLen64 at most.
func readNumbers(r *bufio.Reader, into []uint64) error {
	b, err := r.Peek(len(into) * binary.MaxVarintLen64)
	if err != nil && err != io.EOF {
		return err
	}
	size := 0
	for i := range into {
		var n int
		into[i], n = binary.Uvarint(b[size:])
		switch {
		case n == 0:
			return io.ErrUnexpectedEOF
		case n < 0:
			return errChanged
		}
		size += n
	}
	_, err = r.Discard(size)
	return err
}

// unexpected makes the end of a run within an entry an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// merged is what sorted sources have as one sorted sequence. Of what is equal, that of a source that was added earlier comes first.
type merged[T any] struct {
	compare func(a, b T) int
	added   int
	left    []*source[T] // a heap: those that are not at their end
}

type source[T any] struct {
	order int
	next  func() (T, error) // io.EOF at the end
	head  T
}

// add adds a source, before the first step. next returns its entries one by one, and io.EOF behind the last.
func (m *merged[T]) add(next func() (T, error)) error {
	s := &source[T]{order: m.added, next: next}
	m.added++
	ok, err := s.advance()
	if ok {
		heap.Push(m, s)
	}
	return err
}

// addList adds a source that is in memory.
func (m *merged[T]) addList(list []T) error {
	return m.add(func() (head T, err error) {
		if len(list) == 0 {
			return head, io.EOF
		}
		head, list = list[0], list[1:]
		return head, nil
	})
}

// advance reads the next entry. It is not ok at the end.
func (s *source[T]) advance() (ok bool, err error) {
	s.head, err = s.next()
	if err == io.EOF {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrTemp, err)
	}
	return true, nil
}

// peek returns the least entry, without stepping over it. It is not ok behind the last.
func (m *merged[T]) peek() (entry T, ok bool) {
	if len(m.left) == 0 {
		return entry, false
	}
	return m.left[0].head, true
}

// step steps over the least entry.
func (m *merged[T]) step() error {
	ok, err := m.left[0].advance()
	if ok {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
	return err
}

// The rest is container/heap's.

func (m *merged[T]) Len() int      { return len(m.left) }
func (m *merged[T]) Swap(i, j int) { m.left[i], m.left[j] = m.left[j], m.left[i] }
func (m *merged[T]) Push(s any)    { m.left = append(m.left, s.(*source[T])) }

func (m *merged[T]) Less(i, j int) bool {
	a, b := m.left[i], m.left[j]
	order := m.compare(a.head, b.head)
	return order < 0 || order == 0 && a.order < b.order
}

func (m *merged[T]) Pop() any {
	last := len(m.left) - 1
	s := m.left[last]
	m.left[last] = nil
	m.left = m.left[:last]
	return s
}
