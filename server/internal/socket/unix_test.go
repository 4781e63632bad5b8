//go:build unix

package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// shortDir is a directory whose path leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// The file has its mode, whatever the umask is, and is gone when it is removed.
func TestUnixMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o600, 0o660, 0o666} {
		path := filepath.Join(shortDir(t), "s")
		u, err := ListenUnix(path, mode)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|mode {
			t.Errorf("the file is %v, %v, want mode %v", info, err, mode)
		}
		if c, err := net.Dial("unix", path); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("the file is there still: %v", err)
		}
	}
}

// A socket at which nobody listens makes place; one at which somebody does, and whatever is no
// socket, stays.
func TestUnixTakesThePlaceOfAStaleOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "s")
	first, err := ListenUnix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path, 0o600); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("beside one who listens: %v", err)
	}
	first.UnixListener.Close() // as a crash does
	second, err := ListenUnix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	third, err := ListenUnix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if err := second.Close(); err != nil { // its name is another one's by now
		t.Error(err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the second has removed the file of the third: %v", err)
	} else {
		c.Close()
	}

	link := filepath.Join(filepath.Dir(path), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(filepath.Dir(path), "plain")
	if err := os.WriteFile(plain, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{link, plain, filepath.Dir(path)} {
		if _, err := ListenUnix(other, 0o600); err == nil || !strings.Contains(err.Error(), "is no socket") {
			t.Errorf("at %s it says %v", other, err)
		}
	}
	if b, err := os.ReadFile(plain); string(b) != "mine" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

func TestUnixPaths(t *testing.T) {
	t.Parallel()
	for path, says := range map[string]string{
		"":                                 "is empty",
		"@gcd":                             "abstract",
		"\x00gcd":                          "abstract",
		"/tmp/" + strings.Repeat("x", 200): "may have",
	} {
		if _, err := ListenUnix(path, 0o600); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("the path %q gives %v, want %q", path, err, says)
		}
	}
	dir := shortDir(t)
	longest := filepath.Join(dir, strings.Repeat("x", maxUnixPath-len(dir)-1))
	u, err := ListenUnix(longest, 0o600)
	if err != nil {
		t.Fatalf("a path of %d bytes: %v", len(longest), err)
	}
	u.Close()
}
