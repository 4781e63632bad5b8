package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// bbolt follows the lengths and offsets in its pages without comparing them with anything, so that
// a flipped bit may have it read memory that is not the file's at all. pageWalk looks at them
// first. The format is bbolt's (internal/common/page.go):
//
//	page     id (8 bytes), flags (2), count (2), overflow (4), then count elements of 16 bytes
//	branch   offset of the key from the element (4), its length (4), page (8)
//	leaf     flags (4), offset of the key from the element (4), its length (4), length of the value
//	         after it (4)
//	bucket   root page (8; 0 = the page is in the value, after this), sequence (8); the value of a
//	         leaf element with flag 1
//	free     ids of free pages (8 each); with a count of 65535 the first is the real count
//	meta     on page 0 or 1: magic, version, page size and flags (4 each), root bucket (16), free
//	         list's page, number of pages, transaction, checksum (8 each)
const (
	pageHeaderSize   = 16
	pageElementSize  = 16
	bucketHeaderSize = 16
	branchPage       = 0x01
	leafPage         = 0x02
	bucketLeaf       = 0x01
	freePage         = 0x10
	metaFreeList     = pageHeaderSize + 32
	metaTransaction  = pageHeaderSize + 48
	manyFree         = 0xffff
)

// pageWalk visits the pages of one transaction.
type pageWalk struct {
	file     io.ReaderAt
	rest     func() error // called before each read, if it is not nil; its error ends the walk
	pageSize int
	pages    uint64   // the file has
	inUse    []bool   // by page: reached
	free     [][]byte // buffers of pageSize
	freed    int      // pages on the list of free ones, if it is strict

	// strict, if set, has the walk refuse also what bbolt takes and never writes, and is told of
	// the bytes that hold something. What it is not told of nobody reads.
	strict func(off, n int64)
}

// misplaced is an error about what is at one place of the file.
type misplaced struct {
	offset int64 // bytes
	err    error
}

func (e *misplaced) Error() string { return e.err.Error() }

// stopped is the error of rest, which says nothing about the file.
type stopped struct{ err error }

func (e *stopped) Error() string { return e.err.Error() }

func (w *pageWalk) wrong(id uint64, format string, args ...any) error {
	return &misplaced{int64(id) * int64(w.pageSize), fmt.Errorf("page %d"+format, append([]any{id}, args...)...)}
}

// check checks the tree below the root page, and that no page of it is on the list of free pages of
// the transaction: the next one would overwrite it.
func (w *pageWalk) check(root, transaction uint64) error {
	w.inUse = make([]bool, w.pages)
	if _, err := w.walk(root); err != nil {
		return err
	}
	ne := binary.NativeEndian
	for id := range uint64(2) {
		meta, err := w.bytes(id, 1)
		if err != nil {
			return err
		}
		w.inUse[id] = true
		if list := ne.Uint64(meta[metaFreeList:]); ne.Uint64(meta[metaTransaction:]) == transaction && list != 1<<64-1 {
			if err := w.freeList(list); err != nil {
				return err
			}
		}
	}
	if w.strict == nil {
		return nil
	}
	return w.lost()
}

// freeList checks the list of free pages.
func (w *pageWalk) freeList(id uint64) error {
	page, err := w.read(id)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	if flags := ne.Uint16(page[8:]); flags != freePage {
		return w.wrong(id, " has the kind %#x, not that of a list of free pages", flags)
	}
	ids, count := page[pageHeaderSize:], uint64(ne.Uint16(page[10:]))
	if count == manyFree {
		count, ids = ne.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return w.wrong(id, " lists %d free pages in %d bytes", count, len(page))
	}
	for i := range count {
		if free := ne.Uint64(ids[8*i:]); free < 2 || free >= w.pages || w.inUse[free] {
			return w.wrong(id, " lists page %d as free, which is in use or not in the file", free)
		}
	}
	if w.strict == nil {
		return nil
	}
	w.strict(int64(id)*int64(w.pageSize), int64(len(page)-len(ids))+int64(8*count))
	for i := range count { // after the other check: two pages of the list may be the same
		free := ne.Uint64(ids[8*i:])
		if w.inUse[free] {
			return w.wrong(id, " lists page %d as free twice", free)
		}
		w.inUse[free] = true
	}
	w.freed = int(count)
	return nil
}

// walk checks the tree below a page: that everything that its pages point at lies within them and
// within the file. It returns the tree's first key, if it is strict.
func (w *pageWalk) walk(id uint64) ([]byte, error) {
	page, err := w.read(id)
	if err != nil {
		return nil, err
	}
	defer w.release(page)
	end, err := w.elements(id, page, int64(id)*int64(w.pageSize))
	if err != nil || w.strict == nil {
		return nil, err
	}
	w.strict(int64(id)*int64(w.pageSize), int64(end))
	return bytes.Clone(firstKey(page)), nil
}

// read returns a page, overflow included, and marks it as in use. A tree has each page once, so a
// second time is an error: every walk ends.
func (w *pageWalk) read(id uint64) ([]byte, error) {
	if id >= w.pages {
		return nil, fmt.Errorf("page %d is not one of the file's %d", id, w.pages)
	}
	page, err := w.bytes(id, 1)
	if err != nil {
		return nil, err
	}
	ne := binary.NativeEndian
	overflow := uint64(ne.Uint32(page[12:]))
	if got := ne.Uint64(page); got != id || overflow >= w.pages-id {
		return nil, w.wrong(id, " says that it is page %d with %d more", got, overflow)
	}
	for i := id; i <= id+overflow; i++ {
		if w.inUse[i] {
			return nil, w.wrong(i, " is in use twice")
		}
		w.inUse[i] = true
	}
	if overflow == 0 {
		return page, nil
	}
	w.release(page)
	return w.bytes(id, 1+int(overflow))
}

// bytes reads n pages from one on.
func (w *pageWalk) bytes(id uint64, n int) ([]byte, error) {
	if w.rest != nil {
		if err := w.rest(); err != nil {
			return nil, &stopped{err}
		}
	}
	var page []byte
	if last := len(w.free) - 1; n == 1 && last >= 0 {
		page, w.free = w.free[last], w.free[:last]
	} else {
		page = make([]byte, n*w.pageSize)
	}
	if _, err := w.file.ReadAt(page, int64(id)*int64(w.pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return page, nil
}

func (w *pageWalk) release(page []byte) {
	if len(page) == w.pageSize {
		w.free = append(w.free, page)
	}
}

// elements checks a page that is read, or one that is inside of a value; off is where it is in the
// file. It returns where in the page what it holds ends.
func (w *pageWalk) elements(id uint64, page []byte, off int64) (end int, err error) {
	ne := binary.NativeEndian
	if len(page) < pageHeaderSize {
		return 0, w.wrong(id, ": a page inside of it is cut off")
	}
	flags, count := ne.Uint16(page[8:]), int(ne.Uint16(page[10:]))
	if flags != branchPage && flags != leafPage {
		return 0, w.wrong(id, " has the kind %#x", flags)
	}
	if pageHeaderSize+count*pageElementSize > len(page) || flags == branchPage && count == 0 {
		return 0, w.wrong(id, " has %d elements", count)
	}
	end = pageHeaderSize + count*pageElementSize
	for i := range count {
		at := pageHeaderSize + i*pageElementSize
		e := page[at : at+pageElementSize]
		var begin, key, value uint64
		if flags == branchPage {
			begin, key = uint64(at)+uint64(ne.Uint32(e)), uint64(ne.Uint32(e[4:]))
		} else {
			begin, key, value = uint64(at)+uint64(ne.Uint32(e[4:])), uint64(ne.Uint32(e[8:])), uint64(ne.Uint32(e[12:]))
		}
		if begin < uint64(pageHeaderSize+count*pageElementSize) || begin+key+value > uint64(len(page)) {
			return 0, w.wrong(id, ": element %d lies outside of it", i)
		}
		if w.strict != nil && (begin != uint64(end) || flags == leafPage && ne.Uint32(e) > bucketLeaf) {
			return 0, w.wrong(id, ": element %d is not where it belongs, or of no known kind", i)
		}
		end = int(begin + key + value)
		switch {
		case flags == branchPage:
			var first []byte
			first, err = w.walk(ne.Uint64(e[8:]))
			if err == nil && w.strict != nil && !bytes.Equal(first, page[begin:end]) {
				err = w.wrong(id, ": element %d has the key %.64x, the page below it begins with %.64x", i,
					page[begin:end], first)
			}
		case ne.Uint32(e)&bucketLeaf != 0:
			err = w.bucket(id, page[begin+key:end], off+int64(begin+key))
		}
		if err != nil {
			return 0, err
		}
	}
	return end, nil
}

// bucket checks the tree of a bucket, whose value is at off in the file.
func (w *pageWalk) bucket(id uint64, value []byte, off int64) error {
	if len(value) < bucketHeaderSize {
		return w.wrong(id, ": a bucket of %d bytes", len(value))
	}
	ne := binary.NativeEndian
	if w.strict != nil && ne.Uint64(value[8:]) != 0 {
		return w.wrong(id, ": a bucket has a sequence, which is never used")
	}
	if root := ne.Uint64(value); root != 0 {
		if w.strict != nil && len(value) != bucketHeaderSize {
			return w.wrong(id, ": a bucket of %d bytes with pages of its own", len(value))
		}
		_, err := w.walk(root)
		return err
	}
	page := value[bucketHeaderSize:]
	end, err := w.elements(id, page, off+bucketHeaderSize)
	if err == nil && w.strict != nil && (end != len(page) || ne.Uint64(page) != 0 || ne.Uint32(page[12:]) != 0) {
		err = w.wrong(id, ": the page of a bucket inside of it makes no sense")
	}
	return err
}

// firstKey is the key of a page's first element, of a page that was checked.
func firstKey(page []byte) []byte {
	ne := binary.NativeEndian
	e := page[pageHeaderSize:]
	switch {
	case ne.Uint16(page[10:]) == 0:
		return nil
	case ne.Uint16(page[8:]) == branchPage:
		return e[ne.Uint32(e):][:ne.Uint32(e[4:])]
	}
	return e[ne.Uint32(e[4:]):][:ne.Uint32(e[8:])]
}

// below are the pages that a page with branches names, one that was checked; of another page there
// are none.
func below(page []byte) (ids []uint64) {
	ne := binary.NativeEndian
	if ne.Uint16(page[8:]) != branchPage {
		return nil
	}
	for i := range int(ne.Uint16(page[10:])) {
		ids = append(ids, ne.Uint64(page[pageHeaderSize+i*pageElementSize+8:]))
	}
	return ids
}

// lost checks that each page was reached or is on the list of free pages.
func (w *pageWalk) lost() error {
	for id, reached := range w.inUse {
		if !reached {
			return w.wrong(uint64(id), " is neither in use nor free")
		}
	}
	return nil
}
