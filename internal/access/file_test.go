package access

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file of rules, in place of one that is there.
func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o640))
	must(t, os.Chmod(path, 0o640)) // whatever the umask is
}

// replace makes a file of rules under a name by a rename, as who replaces one should.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	must(t, os.Rename(path+".new", path))
}

// reload is a Reload that is said to end so: changed, same, or a part of its error.
func reload(t *testing.T, f *File, want string) {
	t.Helper()
	before := f.Rules()
	changed, err := f.Reload()
	switch want {
	case "changed", "same":
		if err != nil || changed != (want == "changed") {
			t.Errorf("the reload says %t and %v, want %s", changed, err, want)
		}
	default:
		if err == nil || !strings.Contains(err.Error(), want) || changed {
			t.Errorf("the reload says %t and %v, want an error with %q", changed, err, want)
		}
	}
	if (f.Rules() != before) != (want == "changed") {
		t.Errorf("after a reload that should say %q the rules are other ones: %t", want, f.Rules() != before)
	}
}

// TestReload: what operators do to a file. Rules that are wrong never take the place of others.
func TestReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth")
	if _, err := Open(path); err == nil || !os.IsNotExist(err) {
		t.Errorf("a file that is not there is opened: %v", err)
	}
	const first, second = "anonymous - count:a\n", "anonymous - count:b\n"
	write(t, path, "anonymous - write:\n")
	if _, err := Open(path); err == nil || !strings.HasPrefix(err.Error(), path+":1: unknown right") {
		t.Errorf("a wrong file is opened, or not said to be one: %v", err)
	}
	write(t, path, first)
	f, err := Open(path)
	must(t, err)
	reload(t, f, "same")
	write(t, path, second)
	reload(t, f, "changed")
	if p := f.Rules().Anonymous(); p.May(Count, []byte("a")) || !p.May(Count, []byte("b")) {
		t.Error("the rules are still the old ones")
	}
	reload(t, f, "same")

	// As somebody writes it who empties it first.
	for i := range len(first) {
		write(t, path, first[:i])
		if i == 0 {
			reload(t, f, "no principal")
		} else {
			reload(t, f, ":1: ")
		}
	}
	write(t, path, first)
	reload(t, f, "changed")
	replace(t, path, second)
	reload(t, f, "changed")
	replace(t, path, second)
	reload(t, f, "same")

	must(t, os.Remove(path))
	reload(t, f, path)
	must(t, os.Mkdir(path, 0o700))
	reload(t, f, "it is a directory")
	must(t, os.Remove(path))
	write(t, path, second+strings.Repeat("#\n", maxFile/2))
	reload(t, f, "a file of rules has at most")
	write(t, path, second)
	reload(t, f, "same")
	write(t, path, "anonymous - write:\n")
	reload(t, f, "unknown right")
	reload(t, f, "unknown right")
}

// TestKubernetes: the file is a link to a link to a directory, and the second of them is replaced.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	rotate := func(version, text string) {
		must(t, os.Mkdir(in(version), 0o700))
		write(t, filepath.Join(in(version), "auth"), text)
		must(t, os.Symlink(version, in("..data_tmp")))
		must(t, os.Rename(in("..data_tmp"), in("..data")))
	}
	rotate("..1", "anonymous - count:1\n")
	must(t, os.Symlink(filepath.Join("..data", "auth"), in("auth")))
	f, err := Open(in("auth"))
	must(t, err)
	for _, version := range []string{"2", "3", "4"} {
		rotate(".."+version, "anonymous - count:"+version+"\n")
		must(t, os.RemoveAll(in("..1")))
		reload(t, f, "changed")
		if !f.Rules().Anonymous().May(Count, []byte(version)) {
			t.Errorf("after rotation %s the rules are older ones", version)
		}
		reload(t, f, "same")
	}
	must(t, os.Remove(in("..data")))
	reload(t, f, "auth")
}

// TestOpenToEverybody: each bit that others have is one too many, at a start and at a reload.
func TestOpenToEverybody(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // its files have no such bits
	}
	path := filepath.Join(t.TempDir(), "auth")
	write(t, path, "anonymous - count:\n")
	f, err := Open(path)
	must(t, err)
	write(t, path, "anonymous - read:\n")
	for _, mode := range []os.FileMode{0o641, 0o642, 0o644, 0o647, 0o604} {
		must(t, os.Chmod(path, mode))
		reload(t, f, "chmod 640 "+path)
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "chmod 640 "+path) {
			t.Errorf("a file of mode %o is opened: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o640, 0o440, 0o660} {
		must(t, os.Chmod(path, mode))
		if _, err := Open(path); err != nil {
			t.Errorf("a file of mode %o is refused: %v", mode, err)
		}
	}
}

// TestReloadsAtOnce: rules are those of one file or of another one, whoever looks and reloads.
func TestReloadsAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth")
	write(t, path, "anonymous - count:a read:a\n")
	f, err := Open(path)
	must(t, err)
	done := make(chan error, 4)
	for range cap(done) {
		go func() {
			for range 200 {
				if _, err := f.Reload(); err != nil {
					done <- err
					return
				}
				p := f.Rules().Anonymous()
				for _, topic := range []string{"a", "b"} {
					if p.May(Count, []byte(topic)) != p.May(Read, []byte(topic)) {
						t.Errorf("the rules are half of each: %s", p)
					}
				}
			}
			done <- nil
		}()
	}
	for i := range 200 {
		letter := string("ab"[i%2])
		replace(t, path, "anonymous - count:"+letter+" read:"+letter+"\n")
	}
	for range cap(done) {
		must(t, <-done)
	}
}
