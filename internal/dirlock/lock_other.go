//go:build !windows && (!unix || aix || solaris)

package dirlock

import (
	"errors"
	"io/fs"
	"os"
)

type mode int

const (
	exclusive mode = 1
	shared    mode = 2
)

// lock finds no lock here that ends with the process.
func lock(*os.File, mode) (free bool, err error) { return false, errors.ErrUnsupported }

// unlock does nothing: there is no lock.
func unlock(*os.File) error { return nil }

// openDir opens a directory.
func openDir(path string) (held, error) {
	f, err := os.Open(path)
	if err != nil {
		return held{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return held{}, errors.Join(err, f.Close())
	}
	return held{f, info}, nil
}

// notThere says that an error of looking at a name means that the name is gone.
func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
