package tools

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/vfs"
)

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
