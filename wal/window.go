package wal

import (
	"bytes"
	"fmt"
	"io"
)

// windowSize bounds the memory that reading a log takes. The largest record fits, with as much
// again read ahead.
const windowSize = 2 * (maxPayload + recordHeaderSize)

// zeroBlock is what a run of zeros is compared with.
var zeroBlock [512]byte

// A window is a part of a file in memory that moves forward.
type window struct {
	file io.ReaderAt
	path string
	size int64 // of the file
	buf  []byte
	off  int64 // of buf[0] in the file
}

func newWindow(file io.ReaderAt, path string, size int64) *window {
	return &window{file: file, path: path, size: size, buf: make([]byte, 0, min(size, windowSize))}
}

// from returns what the window holds from off on, at least n bytes; off+n is within the file, n at
// most windowSize. The bytes are valid until the next call.
func (w *window) from(off int64, n int) ([]byte, error) {
	if end := w.off + int64(len(w.buf)); off >= w.off && off+int64(n) <= end {
		return w.buf[off-w.off:], nil
	}
	kept := 0
	if off >= w.off && off < w.off+int64(len(w.buf)) {
		kept = copy(w.buf, w.buf[off-w.off:])
	}
	w.off = off
	w.buf = w.buf[:min(int64(cap(w.buf)), w.size-off)]
	read, err := w.file.ReadAt(w.buf[kept:], off+int64(kept))
	if kept+read < len(w.buf) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		w.buf = w.buf[:0]
		return nil, fmt.Errorf("read %s at offset %d: %w", w.path, off, err)
	}
	return w.buf, nil
}

// nonZero returns the offset of the first byte that is not zero in [off, size), rounded down to a
// multiple of 8 bytes, or size if there is none. off is a multiple of 8.
func (w *window) nonZero(off int64) (int64, error) {
	for off < w.size {
		b, err := w.from(off, alignment)
		if err != nil {
			return 0, err
		}
		n := leadingZeros(b)
		off += int64(n)
		if len(b)-n >= alignment {
			return off, nil
		}
	}
	return w.size, nil
}

// leadingZeros counts the zero bytes that b begins with, in whole groups of 8.
func leadingZeros(b []byte) int {
	n := 0
	for len(b)-n >= len(zeroBlock) && bytes.Equal(b[n:n+len(zeroBlock)], zeroBlock[:]) {
		n += len(zeroBlock)
	}
	for len(b)-n >= alignment && le.Uint64(b[n:]) == 0 {
		n += alignment
	}
	return n
}
