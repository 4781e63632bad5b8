package snapshot

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"gcd/internal/dirlock"
)

// database is a snapshot's file as bbolt has it open. bbolt panics on pages that make no sense, and
// a page of its memory map that the system cannot read faults. Either is an error here, and the
// file can be closed after it.
type database struct {
	file   *File
	bolt   *bolt.DB
	opened *os.File // by bbolt, and locked
	// stuck says that bbolt panicked while it began or ended a transaction: it keeps locks of its
	// own then, which its Close waits for.
	stuck bool
}

// database opens the file by bbolt, which panics where guard is not around it.
func (f *File) database(o bolt.Options) (*database, error) {
	d := &database{file: f}
	open := o.OpenFile
	o.OpenFile = func(path string, flag int, mode os.FileMode) (file *os.File, err error) {
		d.opened, err = open(path, flag, mode)
		return d.opened, err
	}
	defer func() {
		if d.bolt == nil && d.opened != nil { // bbolt does so where it returns an error
			_ = dirlock.Close(d.opened)
		}
	}()
	var err error
	d.bolt, err = bolt.Open(f.Path, 0o600, &o)
	return d, err
}

// create opens a file that need not be there.
func (f *File) create(o bolt.Options) (d *database, err error) {
	o.OpenFile = os.OpenFile
	err = f.guard(nil, func() (err error) { d, err = f.database(o); return err })
	return d, err
}

// with runs do with the file open, and closes it.
func (f *File) with(readOnly bool, do func(*database) error) (err error) {
	var d *database
	if err := f.guard(nil, func() (err error) { d, err = f.open(readOnly); return err }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return do(d)
}

// transact runs do in a transaction, and commits one that writes if do returns nil.
//
// bbolt's own View and Update would not do: when they end with a panic they read the file again.
func (d *database) transact(writes bool, do func(*bolt.Tx) error) error {
	return d.file.guard(d.bolt, func() error {
		d.stuck = true
		tx, err := d.bolt.Begin(writes)
		if err != nil {
			d.stuck = false
			return err
		}
		defer func() {
			_ = tx.Rollback() // of one that was committed it does nothing
			d.stuck = false
		}()
		if err := do(tx); err != nil || !writes {
			return err
		}
		return tx.Commit()
	})
}

// close closes the file; a second time it does nothing. Of one that is stuck the memory map stays,
// and would keep the file's lock.
func (d *database) close() error {
	if d.stuck {
		_ = dirlock.Close(d.opened) // what is wrong with the file was said
		return nil
	}
	return d.bolt.Close()
}

// guard runs do with faults of the memory map and panics turned into errors: what bbolt panics on
// is damage, and a page that the system cannot read is none. db is the file if it is open.
func (f *File) guard(db *bolt.DB, do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		fault, ok := r.(interface{ Addr() uintptr }) // of runtime.Error, if it is about an address
		if ok && f.within(db, fault.Addr()) {
			err = fmt.Errorf("reading %s: the system cannot read a page of it: %v", f.Path, r)
			return
		}
		err = f.damaged(fmt.Errorf("unreadable page: %v", r))
	}()
	return do()
}

// within says whether an address is one of the file's bytes, as long as it was when it was opened.
// Where that cannot be told, it is.
func (f *File) within(db *bolt.DB, addr uintptr) (within bool) {
	if db == nil {
		return true
	}
	defer func() {
		if recover() != nil { // bbolt reads the first page to say where it is
			within = true
		}
	}()
	begin := db.Info().Data
	return addr >= begin && addr-begin < uintptr(f.size)
}
