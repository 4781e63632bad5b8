package store

import (
	"encoding/binary"
	"fmt"
	"io"
)

// bbolt follows the lengths and offsets in its pages without comparing them with anything, so that a flipped bit may have it
// read memory that is not the file's at all. pageWalk looks at them first. The format is bbolt's (internal/common/page.go):
//
//	page     id (8 bytes), flags (2), count (2), overflow (4), then count elements of 16 bytes
//	branch   offset of the key from the element (4), its length (4), page (8)
//	leaf     flags (4), offset of the key from the element (4), its length (4), length of the value behind it (4)
//	bucket   root page (8; 0 = the page is in the value, behind this), sequence (8); the value of a leaf element with flag 1
//	free     ids of free pages (8 each); with a count of 65535 the first is the real count
//	meta     on page 0 or 1: magic, version, page size and flags (4 each), root bucket (16), free list's page, number of pages,
//	         transaction, checksum (8 each)
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
	pageSize int
	pages    uint64   // the file has
	inUse    []bool   // by page: reached
	free     [][]byte // buffers of pageSize
}

// check checks the tree below the root page, and that no page of it is on the list of free pages of the transaction: the
// next one would overwrite it.
func (w *pageWalk) check(root, transaction uint64) error {
	w.inUse = make([]bool, w.pages)
	if err := w.walk(root); err != nil {
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
	return nil
}

// freeList checks the list of free pages.
func (w *pageWalk) freeList(id uint64) error {
	page, err := w.read(id)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	if flags := ne.Uint16(page[8:]); flags != freePage {
		return fmt.Errorf("page %d has the kind %#x, not that of a list of free pages", id, flags)
	}
	ids, count := page[pageHeaderSize:], uint64(ne.Uint16(page[10:]))
	if count == manyFree {
		count, ids = ne.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return fmt.Errorf("page %d lists %d free pages in %d bytes", id, count, len(page))
	}
	for i := range count {
		if free := ne.Uint64(ids[8*i:]); free < 2 || free >= w.pages || w.inUse[free] {
			return fmt.Errorf("page %d lists page %d as free, which is in use or not in the file", id, free)
		}
	}
	return nil
}

// walk checks the tree below a page: that everything that its pages point at lies within them and within the file.
func (w *pageWalk) walk(id uint64) error {
	page, err := w.read(id)
	if err != nil {
		return err
	}
	defer w.release(page)
	return w.elements(id, page)
}

// read returns a page, overflow included, and marks it as in use. A tree has each page once, so a second time is an error:
// every walk ends.
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
		return nil, fmt.Errorf("page %d says that it is page %d with %d more", id, got, overflow)
	}
	for i := id; i <= id+overflow; i++ {
		if w.inUse[i] {
			return nil, fmt.Errorf("page %d is in use twice", i)
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

// elements checks a page that is read, or one that is inside of a value.
func (w *pageWalk) elements(id uint64, page []byte) error {
	ne := binary.NativeEndian
	if len(page) < pageHeaderSize {
		return fmt.Errorf("page %d: a page inside of it is cut off", id)
	}
	flags, count := ne.Uint16(page[8:]), int(ne.Uint16(page[10:]))
	if flags != branchPage && flags != leafPage {
		return fmt.Errorf("page %d has the kind %#x", id, flags)
	}
	if pageHeaderSize+count*pageElementSize > len(page) || flags == branchPage && count == 0 {
		return fmt.Errorf("page %d has %d elements", id, count)
	}
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
			return fmt.Errorf("page %d: element %d lies outside of it", id, i)
		}
		var err error
		switch {
		case flags == branchPage:
			err = w.walk(ne.Uint64(e[8:]))
		case ne.Uint32(e)&bucketLeaf != 0:
			err = w.bucket(id, page[begin+key:begin+key+value])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket checks the tree of a bucket.
func (w *pageWalk) bucket(id uint64, value []byte) error {
	if len(value) < bucketHeaderSize {
		return fmt.Errorf("page %d: a bucket of %d bytes", id, len(value))
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.walk(root)
	}
	return w.elements(id, value[bucketHeaderSize:])
}
