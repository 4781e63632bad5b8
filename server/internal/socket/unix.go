package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Unix is a listening unix socket, whose file is there until Close.
type Unix struct {
	*net.UnixListener
	path  string
	file  fs.FileInfo // of the socket's file when it was made
	close func() error
}

// answerTime is how long whoever may listen at a unix socket has to let a caller in.
const answerTime = time.Second

// ListenUnix makes the socket's file, with that mode from when somebody could connect. It takes the
// place of a socket at which nobody listens.
func ListenUnix(path string, mode fs.FileMode) (*Unix, error) {
	if err := CheckUnixPath(path); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := listenUnix(path, mode)
	if err != nil {
		return nil, err
	}
	file, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, err
	}
	u := &Unix{UnixListener: l, path: path, file: file}
	u.close = sync.OnceValue(u.removeAndClose)
	return u, nil
}

// CheckUnixPath tells what is wrong with the path of a unix socket.
func CheckUnixPath(path string) error {
	switch {
	case path == "":
		return errors.New("the path of a unix socket is empty")
	case path[0] == '@', strings.ContainsRune(path, 0):
		return fmt.Errorf("%q names an abstract socket, which has no file whose mode says who may connect: "+
			"use the path of a file", path)
	case len(path) > maxUnixPath:
		return fmt.Errorf("%s has %d bytes, and the path of a unix socket may have %d: use a shorter one", path,
			len(path), maxUnixPath)
	}
	return nil
}

// removeStale removes a socket at which nobody listens. Whatever else is there is an error.
func removeStale(path string) error {
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if before.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket: move it away, or use another path", path)
	}
	c, err := net.DialTimeout("unix", path, answerTime)
	if err == nil {
		c.Close()
		return fmt.Errorf("somebody listens at %s already: stop it, or use another path: %w", path, syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("there is a socket at %s, and nobody knows whether somebody listens: remove it if not: %w",
			path, err)
	}
	return removeSame(path, before)
}

// Close removes the socket's file, unless it is somebody else's by now, and ends the listening.
func (u *Unix) Close() error { return u.close() }

// removeAndClose removes first: as long as the socket is open, no other file has its inode.
func (u *Unix) removeAndClose() error {
	return errors.Join(removeSame(u.path, u.file), u.UnixListener.Close())
}

// removeSame removes a file if it is the same that it was.
func removeSame(path string, was fs.FileInfo) error {
	is, err := os.Lstat(path)
	if err == nil && os.SameFile(is, was) {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
