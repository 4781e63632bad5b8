package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"syscall"
	"time"

	bbolterrors "go.etcd.io/bbolt/errors"

	"gcd/internal/dirlock"
	"gcd/internal/vfs"
	"gcd/store"
	"gcd/store/snapshot"
	"gcd/tools/internal/tempfile"
	"gcd/wal"
)

// holdTimeout is how long a reader waits for the transaction that a running server has under way.
// On a busy machine that may be long: a snapshot is written at the least priority for a minute
// before it is thought urgent.
const holdTimeout = 2 * time.Minute

// A dirView is the files of a store's directory, opened for reading. Nothing in the directory is
// changed. What the files hold is of one moment, and stays so whatever a server does to the
// directory. The segments are open files: they can be read after they are removed, and what is
// appended later is not shown. The snapshot, which a server changes in place, is copied.
//
// The directory of a stopped server is locked until the copy is made, and a start waits for that.
// Where there is no room for a copy the snapshot is read in place, and the directory stays locked
// to the end. A running server goes on counting, but cannot change its snapshot while that is
// copied, so that snapshot and log fit together. Every record that is shown is on the disk.
type dirView struct {
	dir     string
	running bool // a server has the directory
	pause   pause
	fs      vfs.FS                   // the log's
	open    func() (*os.File, error) // the snapshot; nil: by its name
	// What the snapshot says of itself, where its entries are not wanted; nil: read it when asked.
	meta  *metaRead
	has   bool // the snapshot has the topic that was asked for
	close func() error
}

// metaRead is what came of reading what a snapshot says of itself.
type metaRead struct {
	meta snapshot.Meta
	err  error
}

// dirViewOptions say what is wanted of a directory. The zero value is all of it.
type dirViewOptions struct {
	tempDir   string // where the snapshot's copy is kept, without a name; "": os.TempDir
	rest      func() // nil or as in DumpOptions
	noEntries bool   // the snapshot's entries are not read, so it need not be copied

	topic      []byte // if noEntries: look whether the snapshot has it; nil: none
	noSnapshot bool   // there was none
	pause      pause
}

// wanted is the topic to be looked for.
func (o dirViewOptions) wanted(yield func([]byte) bool) {
	if o.topic != nil {
		yield(o.topic)
	}
}

// isDirectory is nil where there is a directory, and else says what there is.
func isDirectory(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if link := vfs.CheckLink(dir); link != nil { // it may be a volume that is not mounted
			return link
		}
		return err
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	}
	return nil
}

// openDirView opens the files in dir. Those of a running server are as of now.
func openDirView(ctx context.Context, dir string, o dirViewOptions) (dirView, error) {
	o.pause = newPause(ctx, o.rest)
	if err := isDirectory(dir); err != nil {
		return dirView{}, err
	}
	if _, err := store.Holds(dir); err != nil { // the error names what is no file, or no directory
		return dirView{}, err
	}
	lock, err := dirlock.Read(dir)
	switch {
	case err != nil:
		return dirView{}, err
	case lock == nil:
		return openRunning(ctx, dir, o)
	}
	r, err := openStopped(ctx, dir, o)
	if errors.Is(err, ErrTemp) || errors.Is(err, errLongTail) {
		return dirView{dir: dir, pause: o.pause, fs: pausing{readOnly{vfs.OS{}}, o.pause}, close: lock.Release}, nil
	}
	if err := errors.Join(err, lock.Release()); err != nil {
		return dirView{}, err
	}
	return r, nil
}

// openRunning opens the files beside a server.
func openRunning(ctx context.Context, dir string, o dirViewOptions) (dirView, error) {
	r, view, err := pin(ctx, dir, o)
	if err != nil {
		return dirView{}, err
	}
	r.running = true
	if err := view.cutOff(); err != nil {
		return dirView{}, errors.Join(err, r.close())
	}
	return r, nil
}

// openStopped opens the files of a directory that nobody changes just now.
func openStopped(ctx context.Context, dir string, o dirViewOptions) (dirView, error) {
	r, view, err := open(ctx, dir, o)
	if err != nil {
		return dirView{}, err
	}
	if err := view.freeze(); err != nil {
		return dirView{}, errors.Join(err, r.close())
	}
	return r, nil
}

// pin opens the files while the snapshot cannot change. So the log has every record after the
// snapshot: a server removes only what the snapshot in the file covers.
func pin(ctx context.Context, dir string, o dirViewOptions) (dirView, *logView, error) {
	release, err := holdSnapshot(ctx, store.SnapshotPath(dir), holdTimeout)
	var damage *wal.CorruptionError
	switch {
	case err == nil:
		defer release() // its error says nothing: the file was opened for reading
	case errors.Is(err, fs.ErrNotExist):
		o.noSnapshot = true // one that is made now would not be held
	// No server writes such a file. Who reads it gets the error.
	case errors.As(err, &damage), errors.Is(err, wal.ErrVersion):
	default:
		return dirView{}, nil, err
	}
	return open(ctx, dir, o)
}

// open opens the log's files, and keeps what is wanted of the snapshot.
func open(ctx context.Context, dir string, o dirViewOptions) (dirView, *logView, error) {
	view, err := openLogView(vfs.OS{}, store.LogDir(dir), o.pause)
	if err != nil {
		return dirView{}, nil, err
	}
	nothing := func() (*os.File, error) { return nil, fs.ErrNotExist }
	r := dirView{dir: dir, pause: o.pause, fs: view, open: nothing, close: view.close}
	if o.noSnapshot {
		return r, view, nil
	}
	path := store.SnapshotPath(dir)
	if o.noEntries {
		m, err := (&snapshot.File{Path: path, Rest: o.pause}).Find(o.wanted,
			func(snapshot.Entry) error { r.has = true; return nil })
		r.meta = &metaRead{m, err}
		return r, view, o.pause()
	}
	snapshot, err := copySnapshot(path, o.tempDir, o.pause)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrTemp): // a directory for the copy may be missing, too
		return r, view, nil
	case err != nil:
		return dirView{}, nil, errors.Join(err, view.close())
	}
	r.open = snapshot.Reopen
	r.close = func() error { return errors.Join(view.close(), snapshot.Close()) }
	return r, view, nil
}

// holdSnapshot is File.Hold of package snapshot that ends with ctx.
func holdSnapshot(ctx context.Context, path string, timeout time.Duration) (release func() error, err error) {
	for began := time.Now(); ; {
		release, err = (&snapshot.File{Path: path, Wait: min(timeout, 100*time.Millisecond)}).Hold()
		switch {
		case !errors.Is(err, bbolterrors.ErrTimeout):
			return release, err
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case time.Since(began) >= timeout:
			return nil, fmt.Errorf("waited %s for a snapshot to be written: %w", timeout, err)
		}
	}
}

// snapshotMeta is what the snapshot says of itself; fs.ErrNotExist if there is none.
func (r *dirView) snapshotMeta() (snapshot.Meta, error) {
	if r.meta != nil {
		return r.meta.meta, r.meta.err
	}
	return (&snapshot.File{Path: store.SnapshotPath(r.dir), Open: r.open, Rest: r.pause}).Meta()
}

// readEntries reads the snapshot.
func (r *dirView) readEntries(each func(snapshot.Meta, snapshot.Entry) error) (snapshot.Meta, error) {
	return (&snapshot.File{Path: store.SnapshotPath(r.dir), Open: r.open, Rest: r.pause}).Read(each)
}

// openLog opens the log. Records up to the snapshot's replay index are not read yet: their damage
// is found by who reads them.
func (r *dirView) openLog() (*wal.Log, error) {
	o := wal.Options{FS: r.fs}
	m, err := r.snapshotMeta()
	switch {
	case err == nil:
		o.Covered, o.Ours, o.Mark.Note = m.Replay, true, m.Mark
	case !refused(err) && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	log, logErr := wal.Open(store.LogDir(r.dir), o)
	if !errors.Is(logErr, wal.ErrNoLog) {
		return log, logErr
	}
	if fits := r.fits(nil); fits != nil {
		return nil, fits
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", store.ErrNoStore, r.dir)
	}
	return nil, err
}

// fits is store.CheckTogether of the snapshot and a log, nil if there is none. It says nothing of a
// snapshot that is not there or cannot be read.
func (r *dirView) fits(log *wal.Log) error {
	m, err := r.snapshotMeta()
	if refused(err) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return store.CheckTogether(r.dir, &m, log)
}

// ViewOptions say how a directory is opened. The zero value works.
type ViewOptions struct {
	TempDir string // where the copy of the snapshot is kept, without a name; "": os.TempDir
	Rest    func() // nil or as in DumpOptions
	Whole   bool   // check every record of the log at once, also those that the snapshot covers
}

// A View is a store's directory, opened for reading and checked. Beside a running server it shows
// one moment. Nothing is changed.
type View struct {
	dirView
	Snapshot *snapshot.Meta // nil: there is none, and the log has everything
	Log      *wal.Log       // nil: there is none yet, and no record
}

// OpenView opens a store's directory and checks that its files fit together, as a start does: the
// errors are those of store.Open, but store.ErrNoStore if there is no store. Damage to the entries
// of the snapshot is found when they are read. Close it at the end.
func OpenView(ctx context.Context, dir string, o ViewOptions) (*View, error) {
	r, err := openDirView(ctx, dir, dirViewOptions{tempDir: o.TempDir, rest: o.Rest})
	if err != nil {
		return nil, err
	}
	s := &View{dirView: r}
	if err := s.load(o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *View) load(o ViewOptions) error {
	options := wal.Options{FS: s.fs}
	m, err := s.snapshotMeta()
	if err == nil {
		s.Snapshot = &m
		options.Ours, options.Mark.Note = true, m.Mark
		if !o.Whole {
			options.Covered = m.Replay
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.Log, err = wal.Open(store.LogDir(s.dir), options)
	switch {
	case errors.Is(err, wal.ErrNoLog) && s.Snapshot == nil:
		return fmt.Errorf("%w: %s", store.ErrNoStore, s.dir)
	case err != nil && !errors.Is(err, wal.ErrNoLog):
		return err
	}
	return store.CheckTogether(s.dir, s.Snapshot, s.Log)
}

// Running says whether a server has the directory.
func (s *View) Running() bool { return s.running }

// First is the index of the oldest record that is kept; Last+1 if there is none.
func (s *View) First() uint64 {
	if s.Log == nil {
		return 1
	}
	return s.Log.First()
}

// Last is the index of the last record, and of the state that the View shows; 0 if there was never
// one.
func (s *View) Last() uint64 {
	if s.Log == nil {
		return 0
	}
	return s.Log.Last()
}

// Replay is the index up to which the snapshot has every record.
func (s *View) Replay() uint64 {
	if s.Snapshot == nil {
		return 0
	}
	return s.Snapshot.Replay
}

// ID is the store's UUID.
func (s *View) ID() wal.ID {
	if s.Snapshot != nil {
		return s.Snapshot.Store
	}
	return s.Log.ID() // one of them is there
}

// Entries calls each with every entry of the snapshot, as File.Read of package snapshot does.
func (s *View) Entries(each func(snapshot.Entry) error) error {
	if s.Snapshot == nil {
		return nil
	}
	_, err := s.readEntries(func(_ snapshot.Meta, e snapshot.Entry) error { return each(e) })
	return err
}

// Records yields the records from an index on, at least First, up to Last.
func (s *View) Records(from uint64) iter.Seq2[wal.Record, error] {
	if s.Log == nil || from > s.Last() {
		return func(func(wal.Record, error) bool) {}
	}
	return s.Log.Records(from)
}

// damaged is an error about a record.
func (s *View) damaged(r wal.Record, err error) error {
	e := &wal.CorruptionError{File: store.LogDir(s.dir), Offset: r.Offset, Index: r.Index, Err: err}
	for _, seg := range s.Log.Segments() {
		if seg.Number == r.Segment {
			e.File = seg.Path
		}
	}
	return e
}

// Close gives everything back.
func (s *View) Close() error {
	var err error
	if s.Log != nil {
		err = s.Log.Close()
	}
	return errors.Join(err, s.close())
}

// copyPiece is how much is copied between two pauses, in bytes.
const copyPiece = 64 << 10

// copySnapshot copies a snapshot into a temporary file.
func copySnapshot(path, tempDir string, pause pause) (*tempfile.File, error) {
	from, err := vfs.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	file, err := tempfile.Make(tempDir)
	if err != nil {
		return nil, err
	}
	for {
		_, err := io.CopyN(file, from, copyPiece)
		if err == nil {
			err = pause.now()
		}
		if errors.Is(err, io.EOF) {
			return file, nil
		}
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: %w", ErrTemp, err)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("copying %s: %w", path, err), file.Close())
		}
	}
}

// ErrTemp says that a file for what does not fit into memory cannot be made, written or read.
var ErrTemp = tempfile.Err
