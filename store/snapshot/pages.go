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

	metaPage      = 0x04
	metaMagic     = 0xed0cdaed
	metaVersion   = 2
	metaSize      = 64
	metaSumOffset = 56
)

// pageWalk visits the pages of one transaction.
type pageWalk struct {
	file     io.ReaderAt
	rest     func() error // called before each read, if it is not nil; its error ends the walk
	pageSize int
	pages    uint64   // the file has
	inUse    []bool   // by page: reached
	free     [][]byte // buffers of pageSize
	order    keyOrder // of the bucket that the walk is in
	last     []byte   // the buffer of a key of a page that was released

	// each, if it is not nil, is called with every page that makes sense: of a tree after those
	// below it, and then the list of free pages.
	each func(id uint64, page []byte) error
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
	w.inUse, w.order = make([]bool, w.pages), keyOrder{above: true}
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

// freeList checks the list of free pages. One that is on it twice would be written twice.
func (w *pageWalk) freeList(id uint64) error {
	page, err := w.read(id)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	if flags := ne.Uint16(page[8:]); flags != freePage {
		return w.wrong(id, " has the kind %#x, not that of a list of free pages", flags)
	}
	ids, count := listed(page)
	if count > uint64(len(ids)/8) {
		return w.wrong(id, " lists %d free pages in %d bytes", count, len(page))
	}
	for i := range count {
		free := ne.Uint64(ids[8*i:])
		if free < 2 || free >= w.pages || w.inUse[free] {
			return w.wrong(id, " lists page %d as free, which is in use, free already, or not in the file", free)
		}
		w.inUse[free] = true
	}
	return w.visited(id, page)
}

// listed are the ids of a list of free pages, of 8 bytes each, and how many it says there are.
func listed(page []byte) (ids []byte, count uint64) {
	ne := binary.NativeEndian
	ids, count = page[pageHeaderSize:], uint64(ne.Uint16(page[10:]))
	if count == manyFree {
		return ids[8:], ne.Uint64(ids)
	}
	return ids, count
}

// walk checks the tree below a page: that everything that its pages point at lies within them and
// within the file, and that its keys are in order.
func (w *pageWalk) walk(id uint64) error {
	page, err := w.read(id)
	if err != nil {
		return err
	}
	defer w.release(page)
	if err := w.elements(id, page); err != nil {
		return err
	}
	w.last = append(w.last[:0], w.order.before...)
	w.order.before = w.last
	return w.visited(id, page)
}

func (w *pageWalk) visited(id uint64, page []byte) error {
	if w.each == nil {
		return nil
	}
	return w.each(id, page)
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

// element is one of a page's.
type element struct {
	flags      uint32 // of a leaf
	at         uint64 // where in the page its key begins, which its value follows
	key, value uint64 // their lengths, bytes
	page       uint64 // below it, in a branch
}

func (e *element) end() uint64 { return e.at + e.key + e.value }

// elementOf reads an element of a page that has as many; where it points may be anywhere.
func elementOf(page []byte, i int) element {
	ne := binary.NativeEndian
	at := pageHeaderSize + i*pageElementSize
	b := page[at : at+pageElementSize]
	if ne.Uint16(page[8:]) == branchPage {
		return element{at: uint64(at) + uint64(ne.Uint32(b)), key: uint64(ne.Uint32(b[4:])), page: ne.Uint64(b[8:])}
	}
	return element{flags: ne.Uint32(b), at: uint64(at) + uint64(ne.Uint32(b[4:])), key: uint64(ne.Uint32(b[8:])),
		value: uint64(ne.Uint32(b[12:]))}
}

// elements checks a page that is read, or one that is inside of a value.
func (w *pageWalk) elements(id uint64, page []byte) error {
	ne := binary.NativeEndian
	if len(page) < pageHeaderSize {
		return w.wrong(id, ": a page inside of it is cut off")
	}
	flags, count := ne.Uint16(page[8:]), int(ne.Uint16(page[10:]))
	if flags != branchPage && flags != leafPage {
		return w.wrong(id, " has the kind %#x", flags)
	}
	begin := pageHeaderSize + count*pageElementSize
	if begin > len(page) || flags == branchPage && count == 0 {
		return w.wrong(id, " has %d elements", count)
	}
	for i := range count {
		e := elementOf(page, i)
		if e.at < uint64(begin) || e.end() > uint64(len(page)) {
			return w.wrong(id, ": element %d lies outside of it", i)
		}
		if !w.order.next(page[e.at:e.at+e.key], flags == branchPage) {
			return w.wrong(id, ": the key of element %d does not come after the one before it", i)
		}
		var err error
		switch {
		case flags == branchPage:
			err = w.walk(e.page)
		case e.flags&bucketLeaf != 0:
			err = w.bucket(id, page[e.at+e.key:e.end()])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keyOrder is how far the keys of a bucket are in order. A key in a branch comes after all that are
// before its page, and is at most the first one in that.
type keyOrder struct {
	before []byte
	above  bool // before is in a branch
}

// next takes the next key, and says whether it is in order.
func (o *keyOrder) next(key []byte, above bool) bool {
	c := bytes.Compare(o.before, key)
	inOrder := c < 0 || c == 0 && o.above
	o.before, o.above = key, above
	return inOrder
}

// bucket checks the tree of a bucket by its value.
func (w *pageWalk) bucket(id uint64, value []byte) error {
	if len(value) < bucketHeaderSize {
		return w.wrong(id, ": a bucket of %d bytes", len(value))
	}
	outside := w.order
	defer func() { w.order = outside }()
	w.order = keyOrder{above: true}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.walk(root)
	}
	return w.elements(id, value[bucketHeaderSize:])
}
