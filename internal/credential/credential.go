// Package credential reads the files that say who somebody is: certificates, which all may read,
// and secrets, such as keys and tokens, which nobody but their owner and its group may.
package credential

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// maxSize bounds what is read, in bytes.
const maxSize = 1 << 20

// ErrOpen means that others than the owner and the group have rights to a secret.
var ErrOpen = errors.New("a secret that others may read is none")

// Read returns what a file holds.
func Read(name string) ([]byte, error) { return read(name, func(fs.FileMode) error { return nil }) }

// ReadSecret returns what a file holds, unless others than its owner and its group have rights to
// it. The group may, since a service whose user is made for one run, and a volume of a container,
// have no other way. The error wraps ErrOpen then.
func ReadSecret(name string) ([]byte, error) {
	return read(name, func(mode fs.FileMode) error {
		if mode.Perm()&7 == 0 || runtime.GOOS == "windows" { // which has no such modes
			return nil
		}
		return fmt.Errorf("%s has mode %04o, so others may read or change it: %w; chmod 640 %[1]s", name, mode.Perm(),
			ErrOpen)
	})
}

func read(name string, check func(fs.FileMode) error) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name) // and opening it may wait for ever
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err = file.Stat(); err == nil {
		err = check(info.Mode())
	}
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err == nil && len(content) > maxSize {
		err = fmt.Errorf("%s has more than %d bytes", name, maxSize)
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}
