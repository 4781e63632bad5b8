package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"os"

	bolt "go.etcd.io/bbolt"
)

// A bbolt file's meta pages, beyond what pages.go says of them.
const (
	metaPage      = 0x04
	metaMagic     = 0xed0cdaed
	metaVersion   = 2
	metaSize      = 64
	metaSumOffset = 56
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
// lost or twice; bbolt's own check. It does not look into the entries, which Read does. used, if
// not nil, is told of the bytes that hold something. Errors as Read's.
func (f *File) Check(used func(off, n int64)) (Pages, error) {
	var found Pages
	err := f.view(func(tx *bolt.Tx) error {
		err := f.pages(tx, func(_ *os.File, w *pageWalk) error {
			if err := checkMetaPages(w.file, w.pageSize, uint64(tx.ID())); err != nil {
				return f.damaged(err)
			}
			w.strict = func(off, n int64) {
				if found.Used += n; used != nil {
					used(off, n)
				}
			}
			for id := range int64(2) {
				w.strict(id*int64(w.pageSize), pageHeaderSize+metaSize)
			}
			if err := w.check(uint64(tx.Cursor().Bucket().Root()), uint64(tx.ID())); err != nil {
				return f.damaged(err)
			}
			found.PageSize, found.Pages, found.Free = w.pageSize, int(w.pages), w.freed
			return nil
		})
		if err != nil {
			return err
		}
		return f.checkBolt(tx)
	})
	return found, err
}

// CheckPages looks at every page, ours and bbolt's way, as a store does before it writes into the
// file for the first time.
func (f *File) CheckPages() error {
	return f.view(func(tx *bolt.Tx) error {
		if err := f.checkPages(tx); err != nil {
			return err
		}
		return f.checkBolt(tx)
	})
}

// checkBolt runs bbolt's own consistency check over what a transaction can reach. Nothing ends it
// before it is through, so of a large tree it is one part after the other: that these go together
// was found by the walk over pages, which came before.
func (f *File) checkBolt(tx *bolt.Tx) error {
	parts, err := f.parts(tx)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return f.checkPart(tx)
	}
	for _, id := range parts {
		if f.Rest != nil {
			if err := f.Rest(); err != nil {
				return err
			}
		}
		if err := f.checkPart(tx, bolt.WithPageId(id)); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) checkPart(tx *bolt.Tx, options ...bolt.CheckOption) (first error) {
	for err := range tx.Check(options...) { // it must be read to its end
		if first == nil {
			first = f.damaged(err)
		}
	}
	return first
}

// parts are the pages below the root of the tree of topics; none if that has one page alone.
func (f *File) parts(tx *bolt.Tx) (ids []uint64, err error) {
	topics := tx.Bucket(bucketTopics)
	if topics == nil || topics.Root() == 0 {
		return nil, nil
	}
	err = f.pages(tx, func(_ *os.File, w *pageWalk) error {
		w.inUse = make([]bool, w.pages)
		page, err := w.read(uint64(topics.Root()))
		if err != nil {
			return f.damaged(err)
		}
		ids = below(page)
		return nil
	})
	return ids, err
}

// ErrByteOrder says that a machine of the other byte order made a snapshot file: bbolt writes
// numbers as the machine has them.
var ErrByteOrder = errors.New("a machine of the other byte order made it")

// checkByteOrder looks for bbolt's magic number the other way round, on the first page, which is at
// the same place whatever the size of pages, or on the second.
func checkByteOrder(file io.ReaderAt) error {
	ne := binary.NativeEndian
	for _, off := range []int64{0, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		b := make([]byte, pageHeaderSize+metaSize)
		if _, err := file.ReadAt(b, off); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		magic, size := bits.ReverseBytes32(ne.Uint32(b[pageHeaderSize:])),
			bits.ReverseBytes32(ne.Uint32(b[pageHeaderSize+8:]))
		if magic == metaMagic && (off == 0 || int64(size) == off) {
			return ErrByteOrder
		}
		if ne.Uint32(b[pageHeaderSize:]) == metaMagic {
			return nil
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
