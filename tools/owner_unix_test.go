//go:build unix

package tools

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gcd/store"
)

// TestOwnerIsKept: what root makes belongs to the user of what it takes the place of. Who is not
// root can only make what is their own.
func TestOwnerIsKept(t *testing.T) {
	t.Parallel()
	owner := os.Getuid()
	if owner == 0 && os.Chown(t.TempDir(), 4321, 4321) == nil { // a container may have no other user
		owner = 4321
	}
	each := func(dir string, do func(path string, owner int)) {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil {
				do(path, int(info.Sys().(*syscall.Stat_t).Uid))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	dump := writeDump(t, "ndjson", testHeader(), nil)
	whole := closedStore(t, seeded(t), 100, 40)
	damaged, _ := damagedStore(t)
	for name, work := range map[string]func(dir string) error{
		"compact": func(dir string) error { _, err := Compact(t.Context(), dir, CompactOptions{}); return err },
		"compact without a snapshot": func(dir string) error {
			if err := os.Remove(store.SnapshotPath(dir)); err != nil {
				return err
			}
			_, err := Compact(t.Context(), dir, CompactOptions{})
			return err
		},
		"restore": func(dir string) error {
			_, err := Restore(t.Context(), dump, dir, RestoreOptions{Force: true, SegmentSize: smallSegment})
			return err
		},
		"repair": func(dir string) error {
			_, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment})
			return err
		},
	} {
		from := whole
		if name == "repair" {
			from = damaged
		}
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		each(dir, func(path string, _ int) {
			if err := os.Lchown(path, owner, -1); err != nil {
				t.Fatal(err)
			}
		})
		if err := work(dir); err != nil {
			t.Fatalf("%s does not work for another owner: %v", name, err)
		}
		each(dir, func(path string, got int) {
			if got != owner {
				t.Errorf("%s: %s is owned by %d, want %d", name, path, got, owner)
			}
		})
	}
}
