package bytopic

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"gcd/tools/internal/tempfile"
)

// Sizes of the buffers through which runs are read, in bytes. All together take runMemory, or
// runBufferMin for each run if there are too many for that. A run was megabytes of memory that were
// full, so even then it is next to nothing.
const (
	runMemory    = 4 << 20
	runBufferMin = 4 << 10
	runBufferMax = 64 << 10
)

// errChanged says that a run holds what nobody wrote.
var errChanged = errors.New("it was changed")

// runs are sorted runs in one temporary file, however many they are: one is written after the
// other, and then all are read side by side.
type runs struct {
	dir   string         // of the file
	pause func() error   // before each piece that is read; may be nil
	file  *tempfile.File // nil: there is no run yet
	ends  []int64        // of each run, in the file
	sums  []uint64       // XXH64 of each run
}

// write adds a run, which is what each writes.
func (r *runs) write(each func(w *bufio.Writer) error) (err error) {
	if r.file == nil {
		if r.file, err = tempfile.Make(r.dir); err != nil {
			return err
		}
	}
	begin := r.end(len(r.ends) - 1)
	to, sum := io.NewOffsetWriter(r.file, begin), xxhash.New()
	w := bufio.NewWriterSize(io.MultiWriter(to, sum), 256<<10)
	if err = each(w); err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", tempfile.Err, err)
	}
	size, err := to.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("%w: %w", tempfile.Err, err)
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

// readers checks that all runs are what was written, and returns a reader of each, in the order in
// which they were written.
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
			return nil, fmt.Errorf("%w: %w", tempfile.Err, err)
		}
		readers[i] = bufio.NewReaderSize(r.reader(i), size)
	}
	return readers, nil
}

func (r *runs) reader(i int) io.Reader {
	begin := r.end(i - 1)
	length := r.ends[i] - begin
	return &runReader{io.NewSectionReader(r.file, begin, length), r.pause, length}
}

// runReader pauses before each read, and takes the end of the file for that of the run only where
// the run ends.
type runReader struct {
	from  io.Reader
	pause func() error
	left  int64 // bytes of the run
}

func (r *runReader) Read(b []byte) (int, error) {
	if r.pause != nil {
		if err := r.pause(); err != nil {
			return 0, err
		}
	}
	n, err := r.from.Read(b)
	if r.left -= int64(n); r.left > 0 {
		err = unexpected(err)
	}
	return n, err
}

// unexpected makes the end of a run within an entry an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *runs) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
