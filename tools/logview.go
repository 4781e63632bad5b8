package tools

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"runtime"
	"strings"

	"gcd/internal/vfs"
	"gcd/wal"
)

// readOnly is a file system that refuses to write. Who tries has a bug, which must not reach the
// disk.
type readOnly struct{ vfs.FS }

func refuse(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission} }

func (readOnly) Create(name string) (vfs.File, error) { return nil, refuse("create", name) }
func (readOnly) Open(name string) (vfs.File, error)   { return nil, refuse("open for writing", name) }
func (readOnly) Rename(name, _ string) error          { return refuse("rename", name) }
func (readOnly) Exchange(a, _ string) error           { return refuse("exchange", a) }
func (readOnly) Remove(name string) error             { return refuse("remove", name) }
func (readOnly) MkdirAll(dir string) error            { return refuse("mkdir", dir) }
func (readOnly) SyncDir(dir string) error             { return refuse("syncdir", dir) }

// logView is a log's directory as it was when its files were opened. Those that are removed
// afterwards stay readable.
type logView struct {
	readOnly
	dir   string
	names []string // sorted
	files map[string]vfs.File
	pause pause // before each read of a segment

	mark    []byte // of the log, as it was before the segments were listed
	markErr error  // why it could not be read

	last string // path of the last segment, if it ends
	end  int64  // its offset there: what was written after it is not shown
	tail []byte // what is shown after that offset, before zeros
}

// openLogView opens the segments in dir. A server removes the oldest first, and only what a
// snapshot covers. So when one is gone between the listing and the opening, those before it are not
// needed either.
func openLogView(fsys vfs.FS, dir string, pause pause) (*logView, error) {
	p := &logView{readOnly: readOnly{fsys}, dir: dir, files: make(map[string]vfs.File), pause: pause}
	// The server writes the mark after the log, and here the mark is read before the log. So the
	// log has all that the mark says.
	p.mark, p.markErr = readFile(fsys, wal.MarkPath(dir), mostMark)
	names, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		file, err := fsys.OpenRead(path.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			err = p.close()
			p.names = nil
			clear(p.files)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.names = append(p.names, name)
		p.files[path.Join(dir, name)] = file
	}
	return p, nil
}

// ReadDir lists what was there.
func (p *logView) ReadDir(dir string) ([]string, error) {
	if dir != p.dir {
		return nil, refuse("readdir", dir)
	}
	return p.names, nil
}

// OpenRead gives the file that was opened at the beginning.
func (p *logView) OpenRead(name string) (vfs.File, error) {
	if name == wal.MarkPath(p.dir) {
		return readFileBack{Reader: bytes.NewReader(p.mark), name: name}, p.markErr
	}
	file, ok := p.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if name == p.last {
		return logViewFile{file, p.end, p.tail, p.pause}, nil
	}
	return logViewFile{file, math.MaxInt64, nil, p.pause}, nil
}

// logViewFile is a file that stays open, and from an offset on reads as it was: some bytes, and
// then zeros.
type logViewFile struct {
	vfs.File
	end   int64
	tail  []byte
	pause pause
}

func (f logViewFile) Close() error { return nil }

func (f logViewFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.pause.now(); err != nil {
		return 0, err
	}
	n, err := f.File.ReadAt(b, off)
	if off+int64(n) > f.end {
		rest := b[max(0, f.end-off):n]
		clear(rest)
		if skip := max(0, off-f.end); skip < int64(len(f.tail)) {
			copy(rest, f.tail[skip:])
		}
	}
	return n, err
}

// mostMark is more than the mark of a log has, in bytes.
const mostMark = 16 << 10

// readFile reads a file, at most so much of it.
func readFile(fsys vfs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, most))
	return b, errors.Join(err, f.Close())
}

// readFileBack is a file that was read.
type readFileBack struct {
	*bytes.Reader
	name string
}

func (f readFileBack) WriteAt([]byte, int64) (int, error) { return 0, refuse("write", f.name) }
func (f readFileBack) Sync() error                        { return refuse("sync", f.name) }
func (f readFileBack) Size() (int64, error)               { return f.Reader.Size(), nil }
func (f readFileBack) Close() error                       { return nil }

// cutOff ends the log where it ends now: what is appended later is not shown, and what is shown is
// on the disk. It syncs the last segment, since the server may have written a record there that it
// has not acknowledged, and that a power loss would take back. The segments before it were durable
// when it began. A damaged log stays as it is, and who reads it gets the error.
func (p *logView) cutOff() error {
	log, err := wal.Open(p.dir, wal.Options{FS: p, Live: true, Covered: math.MaxUint64})
	if refused(err) {
		return nil // the next to open it gets the same error
	}
	if err != nil {
		return err
	}
	tail := log.Tail()
	if err := log.Close(); err != nil {
		return err
	}
	err = p.files[tail.File].Sync()
	if runtime.GOOS == "windows" && errors.Is(err, fs.ErrPermission) {
		err = nil // Windows flushes no file that is open for reading
	}
	if err != nil {
		return fmt.Errorf("making %s durable: %w", tail.File, err)
	}
	p.last, p.end = tail.File, tail.Offset
	return nil
}

// refused says whether an error of opening a log or a snapshot is about what the files hold. Other
// errors are the system's, and may not come again.
func refused(err error) bool {
	return errors.As(err, new(*wal.CorruptionError)) || errors.Is(err, wal.ErrNotOurs) ||
		errors.Is(err, wal.ErrVersion) || errors.Is(err, wal.ErrNoLog)
}

// mostTail is how many bytes after the last record are kept, which a crash may have left: more than
// a record has.
const mostTail = 4 << 20

// errLongTail says that a crash left more than that.
var errLongTail = errors.New("more than a record is after the log's end")

// freeze keeps the end of a stopped server's log as it is now. A server that starts overwrites what
// comes after the last record with zeros, and goes on there. It does not start on a damaged log.
func (p *logView) freeze() error {
	log, err := wal.Open(p.dir, wal.Options{FS: p, Covered: math.MaxUint64})
	if refused(err) {
		return nil // the next to open it gets the same error
	}
	if err != nil {
		return err
	}
	tail := log.Tail()
	if err := log.Close(); err != nil {
		return err
	}
	if tail.Length > mostTail {
		return errLongTail
	}
	left := make([]byte, tail.Length)
	if n, err := p.files[tail.File].ReadAt(left, tail.Offset); n < len(left) {
		return err
	}
	p.last, p.end, p.tail = tail.File, tail.Offset, left
	return nil
}

func (p *logView) close() error {
	var errs []error
	for _, file := range p.files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}
