//go:build unix

package vfs

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What has a file's name and is none is refused at once, and by its name; a link to a file is a
// file.
func TestOpenRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, syscall.Mkfifo(in("pipe"), 0o600))
	must(t, os.Mkdir(in("dir"), 0o700))
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: in("socket")})
	must(t, err)
	defer socket.Close()
	must(t, os.WriteFile(in("file"), []byte("x"), 0o600))
	must(t, os.Symlink("file", in("link")))
	must(t, os.Symlink("pipe", in("to a pipe")))
	for _, name := range []string{in("pipe"), in("to a pipe"), in("dir"), in("socket"), os.DevNull} {
		for what, open := range map[string]func(string) (File, error){"Open": OS{}.Open, "OpenRead": OS{}.OpenRead} {
			done := make(chan error, 1)
			go func() {
				f, err := open(name)
				if err == nil {
					f.Close()
				}
				done <- err
			}()
			select {
			case err := <-done:
				wantErr(t, err, ErrNotRegular)
			case <-time.After(30 * time.Second):
				t.Fatalf("%s of %s waits", what, name)
			}
		}
		wantErr(t, CheckRegular(name), ErrNotRegular)
	}
	for _, name := range []string{"file", "link"} {
		f, err := OS{}.Open(in(name))
		must(t, err)
		must(t, f.Close())
		must(t, CheckRegular(in(name)))
	}
	must(t, CheckRegular(in("nothing")))
	must(t, CheckLink(in("nothing")))
	must(t, CheckLink(in("link")))
	for name, to := range map[string]string{
		"to nothing": "nothing", "to itself": "to itself", "through a file": "file/below",
		"to a circle": "to itself", "to what is nowhere": "to nothing", "through nothing": "nothing/below",
	} {
		must(t, os.Symlink(to, in(name)))
		wantErr(t, CheckRegular(in(name)), ErrNotRegular)
		wantErr(t, CheckLink(in(name)), ErrNotRegular)
	}
}
