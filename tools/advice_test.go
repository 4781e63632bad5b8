package tools

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/vfs"
	"gcd/wal"
)

// TestHintDamage: the commands that a hint names have the directory that the damage is in, as one
// word of a shell.
func TestHintDamage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err error
		dir string
	}{
		{&wal.CorruptionError{File: "data/wal/0000000000000001.seg"}, "data"},
		{fmt.Errorf("verifying: %w", &wal.CorruptionError{File: "/var/lib/gcd/wal/0000000000000001.seg"}),
			"/var/lib/gcd"},
		{&wal.CorruptionError{File: "/wal/wal"}, "/wal"},
		{&wal.CorruptionError{File: "/wal/counters.db"}, "/wal"},
		{&wal.CorruptionError{File: "counters.db"}, "."},
		{&wal.CorruptionError{File: "/var/a b/counters.db"}, "'/var/a b'"},
		{&wal.CorruptionError{File: "/var/a'b$(rm)/counters.db"}, "DIR"},
		{errors.New("of something else"), "DIR"},
	} {
		hint := HintDamage(test.err)
		if want := fmt.Sprintf(`"gcd-tool verify %s" says what is damaged, "gcd-tool repair %s" what can be saved; `,
			test.dir, test.dir); !strings.HasPrefix(hint, want) {
			t.Errorf("%v: %s, want %s", test.err, hint, want)
		}
	}
}

// TestImmovable: what keeps a directory from being put aside is said, whatever the system calls it,
// and everything is as before.
func TestImmovable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ system, want error }{{syscall.EXDEV, ErrLayer}, {syscall.EBUSY, ErrMountPoint}} {
		dir := closedStore(t, seeded(t), 5, 5)
		file := writeDump(t, FormatNDJSON, testHeader(), nil)
		before := contents(t, dir)
		disk := noExchange{vfs.OS{}, test.system}
		_, err := Restore(t.Context(), file, dir, RestoreOptions{Force: true, seams: seams{fs: disk}})
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("restore, %v: %v, want %v", test.system, err, test.want)
		}
		onlyNames(t, dir, "LOCK", "counters.db", "wal")
		if after := contents(t, dir); len(after) != len(before) {
			t.Errorf("%v became %v", before, after)
		}
		broken, _ := damagedStore(t)
		_, err = Repair(t.Context(), broken, RepairOptions{AcceptLoss: true, seams: seams{fs: disk}})
		if !errors.Is(err, test.want) {
			t.Errorf("repair, %v: %v, want %v", test.system, err, test.want)
		}
	}
}
