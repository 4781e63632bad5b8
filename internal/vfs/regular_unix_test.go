//go:build unix

package vfs

import (
	"io"
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
		for what, open := range map[string]func(string) (io.Closer, error){
			"Open":       func(name string) (io.Closer, error) { return OS{}.Open(name) },
			"OpenRead":   func(name string) (io.Closer, error) { return OS{}.OpenRead(name) },
			"OpenAppend": func(name string) (io.Closer, error) { return OpenAppend(name, 0o600) },
		} {
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
		if _, err := OpenAppend(in(name), 0o600); err == nil {
			t.Errorf("a file is made at the end of the link %q", name)
		}
	}
}

// TestOpenAppend: a file is made once, with its mode, and written at its end after that, through a
// link too.
func TestOpenAppend(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	must(t, os.Symlink("file", link))
	for i, open := range []string{name, name, link} {
		f, err := OpenAppend(open, 0o666) // of which a umask takes some
		must(t, err)
		_, err = f.WriteString(string("abc"[i]))
		must(t, err)
		must(t, f.Close())
		if i == 0 {
			info, err := os.Stat(name)
			must(t, err)
			if info.Mode() != 0o666 {
				t.Errorf("the file has the mode %o, want 666", info.Mode())
			}
			must(t, os.Chmod(name, 0o600))
		}
	}
	info, err := os.Stat(name)
	must(t, err)
	if text, err := os.ReadFile(name); err != nil || string(text) != "abc" || info.Mode() != 0o600 {
		t.Errorf("there is %q with the mode %o (%v), want abc and 600", text, info.Mode(), err)
	}
	if _, err := OpenAppend(filepath.Join(dir, "nothing", "file"), 0o600); !os.IsNotExist(err) {
		t.Errorf("in a directory that is not there it says %v", err)
	}
}
