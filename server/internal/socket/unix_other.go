//go:build !unix

package socket

import (
	"errors"
	"io/fs"
	"net"
)

const maxUnixPath = 107

func listenUnix(string, fs.FileMode) (*net.UnixListener, error) {
	return nil, errors.New("a unix socket whose file has a mode needs a Unix system")
}
