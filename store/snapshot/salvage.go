package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"gcd/internal/vfs"
)

// Salvage reads what can be read of a damaged file, which it opens by its Path: it looks at each
// page on its own, those of older transactions included, and calls each with every entry that makes
// sense, in no order. The same topic may come several times: what is furthest (the highest epoch,
// then the highest sum) is newest. Nothing says that an entry is right, and none that all are
// there. An entry's topic is valid during the call. Errors are each's and those of reading.
func (f *File) Salvage(each func(Entry) error) error {
	file, err := vfs.OpenRegular(f.Path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size, err := salvagePageSize(file, info.Size())
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.Path, err)
	}
	ne := binary.NativeEndian
	head := make([]byte, size)
	pages := info.Size() / int64(size)
	for id := range pages {
		if f.Rest != nil {
			if err := f.Rest(); err != nil {
				return err
			}
		}
		if _, err := file.ReadAt(head, id*int64(size)); err != nil {
			return fmt.Errorf("reading %s: %w", f.Path, err)
		}
		if ne.Uint64(head) != uint64(id) {
			continue
		}
		page := head
		overflow := int64(ne.Uint32(head[12:]))
		if overflow > 0 && overflow < pages-id && overflow*int64(size) <= 1<<20 {
			// the longest entry takes a sixteenth of that
			page = make([]byte, (1+overflow)*int64(size))
			if _, err := file.ReadAt(page, id*int64(size)); err != nil {
				return fmt.Errorf("reading %s: %w", f.Path, err)
			}
		}
		if err := salvagePage(page, size, true, each); err != nil {
			return err
		}
	}
	return nil
}

// salvagePage reads what makes sense of a page that holds entries; its elements are within the
// first head bytes. A bucket that is so small that it has no page of its own is in the page of the
// one above it.
func salvagePage(page []byte, head int, above bool, each func(Entry) error) error {
	ne := binary.NativeEndian
	if len(page) < pageHeaderSize || ne.Uint16(page[8:]) != leafPage {
		return nil
	}
	count := int(ne.Uint16(page[10:]))
	if pageHeaderSize+count*pageElementSize > min(head, len(page)) {
		return nil
	}
	for i := range count {
		e := elementOf(page, i)
		if e.end() > uint64(len(page)) {
			continue
		}
		value := page[e.at+e.key : e.end()]
		if e.flags == bucketLeaf {
			if above && len(value) > bucketHeaderSize && ne.Uint64(value) == 0 {
				if err := salvagePage(value[bucketHeaderSize:], len(value), false, each); err != nil {
					return err
				}
			}
			continue
		}
		found, err := decodeEntry(page[e.at:e.at+e.key], value)
		if e.flags != 0 || err != nil {
			continue // the pages have other things, too: the bucket meta, and what is damaged
		}
		if err := each(found); err != nil {
			return err
		}
	}
	return nil
}

// salvagePageSize finds the size of pages: that of bbolt's first two that say so, or the system's.
func salvagePageSize(file io.ReaderAt, size int64) (int, error) {
	ne := binary.NativeEndian
	for candidate := int64(1024); candidate <= 64<<10; candidate *= 2 {
		for id := range int64(2) {
			b := make([]byte, pageHeaderSize+metaSize)
			off := id * candidate
			if off+int64(len(b)) > size {
				continue
			}
			if _, err := file.ReadAt(b, off); err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
			if ne.Uint32(b[pageHeaderSize:]) == metaMagic && int64(ne.Uint32(b[pageHeaderSize+8:])) == candidate {
				return int(candidate), nil
			}
		}
	}
	return os.Getpagesize(), nil
}
