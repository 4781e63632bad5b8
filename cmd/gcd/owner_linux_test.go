package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/scripttest"
	"gcd/store"
)

// stranger is a user whom nobody is, by number.
const stranger = 54321

// TestOwner: root keeps out of another user's directory, init leaves it to that user, and what may
// not be opened says whose it is. Only root can try that.
func TestOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can be two users")
	}
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755); err != nil { // so that the stranger comes to it
		t.Fatal(err)
	}
	bin := scripttest.Build(t, filepath.Dir(dir), ".")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, stranger, stranger); err != nil {
		t.Skipf("there is no other user here: %v", err)
	}
	as := func(uid uint32, args ...string) *exec.Cmd {
		c := exec.CommandContext(t.Context(), bin, args...)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		return c
	}
	refused := func(code int, uid uint32, want string, flags ...string) {
		t.Helper()
		args := append([]string{"serve", "--data", dir, "--tcp", "127.0.0.1:0", "--udp", ""}, flags...)
		before := treeOf(t, dir)
		c := as(uid, args...)
		out, err := c.CombinedOutput()
		if c.ProcessState == nil || c.ProcessState.ExitCode() != code || !strings.Contains(string(out), want) {
			t.Errorf("%q as %d ended with %v, want %d and %q:\n%s", args, uid, err, code, want, out)
		}
		if now := treeOf(t, dir); now != before {
			t.Errorf("%s\nbecame\n%s", before, now)
		}
	}
	serves := func(uid uint32, flags ...string) {
		t.Helper()
		v := runVictim(t, as(uid, append(victimArgs(dir, "goroutine"), flags...)...))
		v.waitServing(t)
		v.stop(t)
	}
	owners := func(want uint32) {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Sys().(*syscall.Stat_t).Uid != want {
				t.Errorf("%s belongs to %d, want %d", path, info.Sys().(*syscall.Stat_t).Uid, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	ends(t, 0, bin, "init", dir) // as root
	owners(stranger)
	refused(9, 0, "belongs to uid 54321, and this process runs as root")
	serves(stranger, "--no-create")
	owners(stranger)
	for _, file := range []string{store.SnapshotPath(dir), store.LockPath(dir),
		filepath.Join(store.LogDir(dir), "0000000000000001.seg"), store.LogDir(dir), dir} {
		if err := os.Chown(file, 0, 0); err != nil {
			t.Fatal(err)
		}
		refused(1, stranger, "hint: "+file+" belongs to root (uid 0), and this process runs as uid 54321")
		if err := os.Chown(file, stranger, stranger); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(store.SnapshotPath(dir), 0); err != nil {
		t.Fatal(err)
	}
	refused(1, stranger, "counters.db belongs to this user, uid 54321")
	if err := os.Chmod(store.SnapshotPath(dir), 0o600); err != nil {
		t.Fatal(err)
	}
	// A volume that root has made, and a user's store in it.
	for _, foreign := range []string{store.SnapshotPath(dir), store.LogDir(dir)} {
		for _, path := range []string{dir, store.SnapshotPath(dir), store.LogDir(dir)} {
			uid := 0
			if path == foreign {
				uid = stranger
			}
			if err := os.Chown(path, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
		refused(9, 0, foreign+" belongs to uid 54321, and this process runs as root")
	}
	serves(0, "--allow-root")

	// What is above a new directory is not to be given away for that.
	above := filepath.Dir(dir)
	out, _ := as(stranger, "init", filepath.Join(above, "new")).CombinedOutput()
	want := "hint: " + above + " belongs to root (uid 0), and this process runs as uid 54321: run it as that user, " +
		"or name another place"
	if !strings.Contains(string(out), want) || strings.Contains(string(out), "chown") {
		t.Errorf("it says %s, want %q", out, want)
	}
}
