package tools

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"gcd/internal/vfs"
	"gcd/store/snapshot"
	"gcd/wal"
)

// RestoreOptions say how a dump becomes a directory. The zero value works.
type RestoreOptions struct {
	Force       bool          // take the place of a directory that is not empty; the old one is kept aside
	Advance     uint64        // is added to every sum
	Without     []string      // topics that begin with one of these are left out
	SegmentSize int64         // of the new log's files, in bytes, as store.Options has it; 0: the default
	LockWait    time.Duration // as store.Options has it
	Progress    ProgressFunc

	seams
}

// Restored is what Restore did.
type Restored struct {
	From    DumpHeader
	Entries uint64   // of the new directory
	LeftOut []uint64 // topics left out for each of Without: all that begin with it
	Store   wal.ID   // the new directory's
	Aside   string   // path of the directory whose place was taken; empty if there was none
}

// Restore makes a store's directory from a dump file, NDJSON or CSV: all of it or nothing. It is
// built beside dir, checked, made durable and renamed. Interrupted at any moment it leaves what was
// there before, and perhaps a directory dir.restore-… beside it. The new directory is a store of
// its own, with a new UUID, and its log goes on after the dump's index.
//
// A dir that is not empty is fs.ErrExist without Force. With Force it is store.ErrNoStore or
// wal.ErrNotOurs if it holds something else than a store, store.ErrLocked while a server runs in
// it, and store.ErrBusy while another tool keeps it. Damage to the file is a *DumpError, and a
// newer version is wal.ErrVersion. The directory above dir has to be there and writable, and dir
// must not be a mount point.
func Restore(ctx context.Context, file, dir string, o RestoreOptions) (Restored, error) {
	r := &restore{ctx: ctx, RestoreOptions: o}
	r.result.LeftOut = make([]uint64, len(o.Without))
	if err := r.open(file); err != nil {
		return Restored{}, err
	}
	defer r.file.Close()
	m := &maker{
		seams: o.seams.withDefaults(), ctx: ctx,
		force: o.Force, segmentSize: o.SegmentSize, lockWait: o.LockWait, progress: o.Progress,
		entries: r.again,
	}
	if err := r.read(); err != nil {
		return Restored{}, err
	}
	m.index, m.count, m.sum = r.result.From.Index, r.result.Entries, r.sum
	if err := m.target(dir); err != nil {
		return Restored{}, err
	}
	err := errors.Join(m.replace(), m.release())
	r.result.Store, r.result.Aside = m.store, m.aside
	return r.result, err
}

// restore is the dump of one Restore.
type restore struct {
	RestoreOptions
	ctx  context.Context
	file *os.File
	size int64

	// Of the first reading.
	footer DumpFooter
	sum    [sha256.Size]byte // of the entries as they are to be
	result Restored
}

func (r *restore) open(name string) error {
	if name == "-" {
		return errors.New("a dump is read twice, so it must be a file, not the standard input")
	}
	var err error
	if r.file, err = vfs.OpenRegular(name, os.O_RDONLY); errors.Is(err, vfs.ErrNotRegular) {
		err = fmt.Errorf("a dump is read twice, so it must be a file: %w", err)
	}
	if err != nil {
		return err
	}
	info, err := r.file.Stat()
	if err != nil {
		return errors.Join(err, r.file.Close())
	}
	r.size = info.Size()
	return nil
}

// read is the first reading: the file is whole, its digest is right, and no sum would be too large.
func (r *restore) read() error {
	sum := newEntrySum()
	header, footer, err := r.dump("checking the dump", 0, r.result.LeftOut, func(e snapshot.Entry) error {
		r.result.Entries++
		sum.add(e)
		return nil
	})
	if err != nil {
		return err
	}
	if header.Index > math.MaxInt64 {
		return fmt.Errorf("%s: the index %d leaves no room for a log after it", r.file.Name(), header.Index)
	}
	r.footer, r.sum, r.result.From = footer, sum.sum(), header
	return nil
}

// again is the second reading.
func (r *restore) again(each func(snapshot.Entry) error) error {
	header, footer, err := r.dump("building", r.footer.Entries, make([]uint64, len(r.Without)), each)
	if err == nil && (header != r.result.From || footer != r.footer) {
		err = fmt.Errorf("%s was changed while it was read", r.file.Name())
	}
	return err
}

// dump reads the file from its beginning and calls each with the entries that are wanted, advanced.
// Those that are not are counted in left.
func (r *restore) dump(
	phase string, total uint64, left []uint64, each func(snapshot.Entry) error,
) (DumpHeader, DumpFooter, error) {
	var (
		done   uint64
		failed error // an error of each, and not of the dump
	)
	whole := pausingReader{io.NewSectionReader(r.file, 0, r.size), newPause(r.ctx, nil)}
	header, footer, err := ReadDump(whole, func(_ DumpHeader, e snapshot.Entry) error {
		done++
		r.Progress.report(phase, "topics", done, total)
		if err := r.ctx.Err(); err != nil {
			return err
		}
		unwanted := false
		for i, prefix := range r.Without {
			if len(e.Topic) >= len(prefix) && string(e.Topic[:len(prefix)]) == prefix {
				left[i]++
				unwanted = true
			}
		}
		if unwanted {
			return nil
		}
		if e.Sum > math.MaxUint64-r.Advance {
			return fmt.Errorf("the sum %d of topic %.64q cannot be advanced by %d: the highest sum is %d",
				e.Sum, e.Topic, r.Advance, uint64(math.MaxUint64))
		}
		e.Sum += r.Advance
		failed = each(e)
		return failed
	})
	if failed != nil {
		return header, footer, failed
	}
	if err != nil {
		return header, footer, fmt.Errorf("%s: %w", r.file.Name(), err)
	}
	return header, footer, r.ctx.Err()
}
