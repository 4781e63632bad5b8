package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// Pages is what Check found of a file's pages.
type Pages struct {
	PageSize int   // bytes
	Pages    int   // in the file, as far as bbolt uses it
	Free     int   // of them, on bbolt's list
	Used     int64 // bytes that hold something; the others nobody reads
}

// Check looks at each byte of the file that holds something, more strictly than a start does: both
// of bbolt's meta pages, where a start is content with one; every element in its place and no page
// lost; nothing that bbolt takes and never writes. It does not look into the entries, which Read
// does. used, if not nil, is told of the bytes that hold something. Errors as Read's.
func (f *File) Check(used func(off, n int64)) (Pages, error) {
	var found Pages
	err := f.view(func(tx *bolt.Tx) error {
		return f.pages(tx, func(_ *os.File, w *pageWalk) error {
			if err := checkMetaPages(w.file, w.pageSize, uint64(tx.ID())); err != nil {
				return f.damaged(err)
			}
			c := exactness{walk: w, found: &found, used: used, firsts: map[uint64][]byte{}}
			for id := range uint64(2) {
				c.holds(id, pageHeaderSize+metaSize)
			}
			w.each = c.page
			if err := w.check(uint64(tx.Cursor().Bucket().Root()), uint64(tx.ID())); err != nil {
				return f.damaged(err)
			}
			if err := c.lost(); err != nil {
				return f.damaged(err)
			}
			found.PageSize, found.Pages = w.pageSize, int(w.pages)
			return nil
		})
	})
	return found, err
}

// exactness checks pages that a walk has found to make sense: that nothing is otherwise than bbolt
// writes it.
type exactness struct {
	walk   *pageWalk
	found  *Pages
	used   func(off, n int64)
	firsts map[uint64][]byte // the first keys of pages, until the page above comes
}

// holds notes that the first n bytes of a page hold something.
func (c *exactness) holds(id, n uint64) {
	c.found.Used += int64(n)
	if c.used != nil {
		c.used(int64(id)*int64(c.walk.pageSize), int64(n))
	}
}

func (c *exactness) page(id uint64, page []byte) error {
	if binary.NativeEndian.Uint16(page[8:]) == freePage {
		ids, count := listed(page)
		c.holds(id, uint64(len(page)-len(ids))+8*count)
		c.found.Free = int(count)
		return nil
	}
	end, err := c.elements(id, page)
	if err != nil {
		return err
	}
	c.holds(id, end)
	var first []byte
	if binary.NativeEndian.Uint16(page[10:]) > 0 {
		e := elementOf(page, 0)
		first = bytes.Clone(page[e.at : e.at+e.key])
	}
	c.firsts[id] = first
	return nil
}

// elements checks that keys and values follow each other without gaps, and returns where they end.
func (c *exactness) elements(id uint64, page []byte) (end uint64, err error) {
	count := int(binary.NativeEndian.Uint16(page[10:]))
	end = uint64(pageHeaderSize + count*pageElementSize)
	for i := range count {
		e := elementOf(page, i)
		if e.at != end || e.flags > bucketLeaf {
			return 0, c.walk.wrong(id, ": element %d is not where it belongs, or of no known kind", i)
		}
		end = e.end()
		if e.page != 0 {
			first, key := c.firsts[e.page], page[e.at:end]
			if delete(c.firsts, e.page); !bytes.Equal(first, key) {
				return 0, c.walk.wrong(id, ": element %d has the key %.64x, the page below it begins with %.64x",
					i, key, first)
			}
		}
		if e.flags == bucketLeaf {
			if err := c.bucket(id, page[e.at+e.key:end]); err != nil {
				return 0, err
			}
		}
	}
	return end, nil
}

// bucket checks a bucket by its value.
func (c *exactness) bucket(id uint64, value []byte) error {
	ne := binary.NativeEndian
	page := value[bucketHeaderSize:]
	switch {
	case ne.Uint64(value[8:]) != 0:
		return c.walk.wrong(id, ": a bucket has a sequence, which is never used")
	case ne.Uint64(value) != 0 && len(page) > 0:
		return c.walk.wrong(id, ": a bucket of %d bytes with pages of its own", len(value))
	case ne.Uint64(value) != 0:
		return nil
	}
	end, err := c.elements(id, page)
	if err == nil && (end != uint64(len(page)) || ne.Uint64(page) != 0 || ne.Uint32(page[12:]) != 0) {
		err = c.walk.wrong(id, ": the page of a bucket inside of it makes no sense")
	}
	return err
}

// lost checks that each page was reached or is on the list of free pages.
func (c *exactness) lost() error {
	for id, reached := range c.walk.inUse {
		if !reached {
			return c.walk.wrong(uint64(id), " is neither in use nor free")
		}
	}
	return nil
}

// checkMetaPages checks the first two pages: of the last transaction and of the one before it, each
// with a checksum of its own. bbolt takes the older one without a word if the newer one is damaged.
func checkMetaPages(file io.ReaderAt, pageSize int, transaction uint64) error {
	ne := binary.NativeEndian
	for id := range 2 {
		page := make([]byte, pageHeaderSize+metaSize)
		if _, err := file.ReadAt(page, int64(id)*int64(pageSize)); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		meta := page[pageHeaderSize:]
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:metaSumOffset])
		switch {
		case ne.Uint64(page) != uint64(id) || ne.Uint16(page[8:]) != metaPage || ne.Uint16(page[10:]) != 0 ||
			ne.Uint32(page[12:]) != 0:
			return fmt.Errorf("page %d at offset %d is not bbolt's page %d", id, id*pageSize, id)
		case ne.Uint32(meta) != metaMagic || ne.Uint32(meta[4:]) != metaVersion ||
			sum.Sum64() != ne.Uint64(meta[metaSumOffset:]):
			return fmt.Errorf("page %d at offset %d: the checksum of one of bbolt's two meta pages does not match; "+
				"bbolt would go on from the other one", id, id*pageSize)
		case int(ne.Uint32(meta[8:])) != pageSize:
			return fmt.Errorf("page %d at offset %d: a page size of %d", id, id*pageSize, ne.Uint32(meta[8:]))
		}
		if tx := ne.Uint64(page[metaTransaction:]); tx != transaction && tx+1 != transaction || tx%2 != uint64(id) {
			return fmt.Errorf("page %d at offset %d is of transaction %d, the last one is %d", id, id*pageSize, tx,
				transaction)
		}
	}
	return nil
}

// memory is where bbolt has the file in memory.
type memory struct{ begin, size uint64 }

func memoryOf(tx *bolt.Tx) memory {
	return memory{uint64(tx.DB().Info().Data), uint64(tx.Size())}
}

// offset is where in the file a key is that bbolt returned, bytes; 0: not known.
func (m memory) offset(key []byte) int64 {
	if at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(key)))) - m.begin; at < m.size {
		return int64(at)
	}
	return 0 // all of the file is in memory; but of a few entries bbolt may have a copy
}
