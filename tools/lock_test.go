package tools

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"gcd/store"
)

// TestLockIsHeld: while something changes a directory no server starts in it, also where there was no file to lock.
func TestLockIsHeld(t *testing.T) {
	t.Parallel()
	whole := closedStore(t, seeded(t), 60, 20)
	damaged, _ := damagedStore(t)
	dump := writeDump(t, "ndjson", testHeader(), nil)
	for name, work := range map[string]struct {
		from string
		do   func(dir string, step func(string) error) error
	}{
		"compact": {whole, func(dir string, step func(string) error) error {
			_, err := Compact(t.Context(), dir, CompactOptions{step: step})
			return err
		}},
		"restore": {whole, func(dir string, step func(string) error) error {
			_, err := Restore(t.Context(), dump, dir, RestoreOptions{Force: true, SegmentSize: smallSegment, seams: seams{step: step}})
			return err
		}},
		"repair": {damaged, func(dir string, step func(string) error) error {
			_, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment, seams: seams{step: step}})
			return err
		}},
	} {
		for _, lockFile := range []bool{true, false} {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(work.from)); err != nil {
				t.Fatal(err)
			}
			if !lockFile {
				if err := os.Remove(store.LockPath(dir)); err != nil {
					t.Fatal(err)
				}
			}
			tried := false
			err := work.do(dir, func(step string) error {
				if step != "begun" || tried {
					return nil
				}
				tried = true
				if s, err := store.Open(dir, store.Options{SegmentSize: smallSegment, LockWait: -1}); !errors.Is(err, store.ErrBusy) {
					t.Errorf("%s, lock file %t: a server starts meanwhile: %v", name, lockFile, err)
					if err == nil {
						return s.Close()
					}
				}
				return nil
			})
			if err != nil || !tried {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
