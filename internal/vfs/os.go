package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700
)

// OS is the real disk. The zero value is ready; names are paths as package os takes them.
type OS struct{}

// Create implements FS. The file has mode 0600 whatever the umask takes away.
func (OS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := forceMode(f, fileMode); err != nil {
		_ = f.Close()
		_ = os.Remove(name) // made a moment ago by this call, and empty
		return nil, err
	}
	return newOSFile(f)
}

// Open implements FS. What is no regular file is ErrNotRegular.
func (OS) Open(name string) (File, error) {
	return openOS(name, os.O_RDWR)
}

// OpenRead implements FS. What is no regular file is ErrNotRegular.
func (OS) OpenRead(name string) (File, error) {
	return openOS(name, os.O_RDONLY)
}

func openOS(name string, flag int) (File, error) {
	f, err := OpenRegular(name, flag)
	if err != nil {
		return nil, err
	}
	return newOSFile(f)
}

// ErrNotRegular says that a file's name leads to a directory, a named pipe, a socket or a device,
// or that it is a link to something that is not there.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegular is os.OpenFile of an existing regular file, or of a link to one. It never waits: to
// open a named pipe would wait for its other end, and to open a device may do something.
func OpenRegular(name string, flag int) (*os.File, error) {
	info, err := os.Stat(name)
	if err == nil {
		err = regular("open", name, info)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, flag|nonblock, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = regular("open", name, info) // it may have been replaced
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenAppend opens a regular file, or a link to one, for writing at its end. If nothing has the
// name, it makes a file with this mode, whatever the umask takes away. It never waits.
func OpenAppend(name string, mode fs.FileMode) (*os.File, error) {
	f, err := OpenRegular(name, os.O_WRONLY|os.O_APPEND)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := CheckLink(name); err != nil {
		return nil, err
	}
	f, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) { // somebody made it a moment ago
		return OpenRegular(name, os.O_WRONLY|os.O_APPEND)
	}
	if err != nil {
		return nil, err
	}
	if err := forceMode(f, mode); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// CheckRegular says whether a name leads to a regular file: nil if it does, or if there is nothing,
// else ErrNotRegular.
func CheckRegular(name string) error {
	info, err := os.Stat(name)
	if leadsNowhere(err) {
		if err := CheckLink(name); err != nil {
			return err
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return regular("stat", name, info)
}

// leadsNowhere says whether an error of following a link means that there is nothing at its end:
// the name is missing, the links form a circle, or the way goes through something that is no
// directory.
func leadsNowhere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR)
}

// CheckLink returns ErrNotRegular if a name is a link to something that is not there, for example
// because its volume is not mounted; else nil. For the system nothing has such a name. So without
// this check something new would be made in the place of what is elsewhere.
func CheckLink(name string) error {
	to, err := os.Readlink(name)
	if err != nil {
		return nil // it is none, or is gone
	}
	if _, err := os.Stat(name); !leadsNowhere(err) {
		return nil // there by now, or for who uses it to find out
	}
	return &DanglingError{Name: name, To: to}
}

// A DanglingError says that there is a link in the place of a file or a directory, and that what it
// leads to is not there. It is an ErrNotRegular.
type DanglingError struct{ Name, To string }

// Error names both.
func (e *DanglingError) Error() string {
	return fmt.Sprintf("%s is a link to %s, which is not there", e.Name, e.To)
}

// Unwrap says what it is, with the path.
func (e *DanglingError) Unwrap() error {
	return &fs.PathError{Op: "stat", Path: e.Name, Err: ErrNotRegular}
}

func regular(op, name string, info fs.FileInfo) error {
	kind := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	default:
		kind = mode.Type().String()
	}
	return &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("%w: it is %s", ErrNotRegular, kind)}
}

// Rename implements FS.
func (OS) Rename(oldname, newname string) error {
	return os.Rename(oldname, newname)
}

// Remove implements FS.
func (OS) Remove(name string) error {
	return os.Remove(name)
}

// ReadDir implements FS.
func (OS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// MkdirAll implements FS. A directory that is there already is left as it is: its mode is not
// changed and its parent is not synced.
func (o OS) MkdirAll(dir string) error {
	return mkdirAll(dir, o.SyncDir)
}

func mkdirAll(dir string, syncDir func(string) error) error {
	info, err := os.Stat(dir)
	if err == nil {
		if info.IsDir() {
			return nil
		}
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := mkdirAll(parent, syncDir); err != nil {
			return err
		}
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	return syncDir(parent)
}

// makeDir makes one directory. Somebody else making it at the same moment is no error.
func makeDir(dir string) error {
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrExist) {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil
		}
	}
	if err != nil {
		return err
	}
	// By name and not through a handle: a umask that takes the owner's read bit makes a directory
	// that cannot be opened.
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" || info.Mode().Perm() == dirMode {
		return nil
	}
	return os.Chmod(dir, dirMode)
}

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = syncOpenDir(d)
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

func syncOpenDir(d *os.File) error {
	info, err := d.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "syncdir", Path: d.Name(), Err: syscall.ENOTDIR}
	}
	if runtime.GOOS == "windows" {
		// Windows flushes no handle that was opened for reading, and os opens directories only so;
		// NTFS journals names.
		return nil
	}
	return d.Sync()
}

// forceMode gives an open file the bits of its mode that the umask took. Windows has no such bits.
func forceMode(f *os.File, mode fs.FileMode) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" || info.Mode().Perm() == mode {
		return nil
	}
	return f.Chmod(mode)
}

// osFile is an open file on the real disk. It holds the *os.File and never a descriptor alone: when
// an os.File is collected its descriptor is closed, and another file may get its number.
type osFile struct {
	file *os.File
	conn syscall.RawConn // of file; keeps the descriptor open while it is used
}

func newOSFile(f *os.File) (File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &osFile{file: f, conn: conn}, nil
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	return transfer(f.file.ReadAt, p, off)
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	return transfer(f.file.WriteAt, p, off)
}

func (f *osFile) Size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Named says whether a name leads to this file: false if there is nothing, or something else.
func (f *osFile) Named(name string) (bool, error) {
	info, err := f.file.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(info, now), err
}

func (f *osFile) Close() error {
	return f.file.Close()
}

// maxAgain is how many times in a row a transfer that made no progress is tried again, a
// millisecond apart.
const maxAgain = 100

// transfer does one ReadAt or WriteAt of package os. That goes on by itself after a short count and
// after EINTR. transfer also goes on after EAGAIN, which some network and user-space file systems
// return for regular files.
func transfer(at func([]byte, int64) (int, error), p []byte, off int64) (int, error) {
	done := 0
	for again := 0; ; again++ {
		n, err := at(p[done:], off+int64(done))
		done += n
		if n > 0 {
			again = 0
		}
		if again == maxAgain || !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			return done, err
		}
		time.Sleep(time.Millisecond)
	}
}
