package credential

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, open := range map[os.FileMode]bool{
		0o600: false, 0o640: false, 0o440: false, 0o660: false, 0o644: true, 0o601: true, 0o602: true,
	} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		content, err := ReadSecret(name)
		if errors.Is(err, ErrOpen) != open || (string(content) == "content") == open {
			t.Errorf("a secret of mode %o is %q, %v", mode, content, err)
		}
		if open && !strings.Contains(err.Error(), "chmod 640 "+name) {
			t.Errorf("it does not say what to do: %v", err)
		}
		if content, err := Read(name); string(content) != "content" || err != nil {
			t.Errorf("a certificate of mode %o is %q, %v", mode, content, err)
		}
	}
	if _, err := ReadSecret(filepath.Dir(name)); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a directory is %v", err)
	}
	if err := os.Truncate(name, maxSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(name); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("too much is %v", err)
	}
}
