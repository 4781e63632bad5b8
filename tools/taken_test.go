package tools

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"gcd/store/core"
	"gcd/store/snapshot"
)

// TestWhoTookTheNameKeepsIt: what has the directory's name by the time is not touched, whatever the
// step at which the directory that the tool had locked was moved away.
func TestWhoTookTheNameKeepsIt(t *testing.T) {
	t.Parallel()
	dump := writeDump(t, "ndjson", testHeader(), []snapshot.Entry{{Topic: []byte("new"),
		Value: core.Value{Sum: 41}, Last: 1}})
	whole := closedStore(t, seeded(t), 60, 20)
	damaged, _ := damagedStore(t)
	other := closedStore(t, seeded(t), 60, 20)
	for _, row := range []struct {
		name string
		from string
		work func(dir string, s seams) error
	}{
		{"restore", whole, func(dir string, s seams) error {
			_, err := Restore(t.Context(), dump, dir, RestoreOptions{Force: true, SegmentSize: smallSegment, seams: s})
			return err
		}},
		{"repair", damaged, func(dir string, s seams) error {
			_, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true, SegmentSize: smallSegment, seams: s})
			return err
		}},
		{"compact", whole, func(dir string, s seams) error {
			_, err := Compact(t.Context(), dir, CompactOptions{step: s.step})
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			tries := 0
			for at := 0; ; at++ {
				place := t.TempDir()
				dir, away := filepath.Join(place, "data"), filepath.Join(place, "away")
				if err := os.CopyFS(dir, os.DirFS(row.from)); err != nil {
					t.Fatal(err)
				}
				var before map[string]string
				steps, step := 0, ""
				err := row.work(dir, seams{step: func(done string) error {
					if steps++; steps != at+1 || done == "aside" || done == "placed" || done == "done" {
						return nil // from then on the name is the new one's
					}
					step = done
					if err := os.Rename(dir, away); err != nil {
						return err
					}
					if err := os.CopyFS(dir, os.DirFS(other)); err != nil {
						return err
					}
					before = contents(t, dir)
					return nil
				}})
				if at >= steps {
					break
				}
				if before == nil {
					if err != nil {
						t.Errorf("undisturbed: %v", err)
					}
					continue
				}
				tries++
				if !maps.Equal(before, contents(t, dir)) {
					t.Errorf("taken after %q: the other directory was changed (%v)", step, err)
				}
				if own := row.name == "compact" && (step == "renamed" || step == "durable"); err == nil && !own {
					t.Errorf("taken after %q: no error", step)
				}
			}
			if tries < 2 {
				t.Errorf("%d steps were tried", tries)
			}
		})
	}
}
