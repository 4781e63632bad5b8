package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

// TestUnreadable: what the system does not let be read just now is no damage, nor the file of
// another program, and no record is lost by it, at whatever call and beside whatever damage it
// comes: Open and Survey name the system's error, or find what they find without it.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	intact, _ := damagedLog(t)
	foreign := []byte(strings.Repeat("hello\n", 2000))
	for name, damage := range map[string]func(f frozen){
		"nothing":                   func(frozen) {},
		"a payload":                 func(f frozen) { f[segmentName(2)][second+100] ^= 1 },
		"a header":                  func(f frozen) { f[segmentName(2)][41] ^= 4 },
		"a magic":                   func(f frozen) { f[segmentName(2)][3] ^= 1 },
		"the first header":          func(f frozen) { f[segmentName(1)][41] ^= 4 },
		"a file of another program": func(f frozen) { f[segmentName(1)] = slices.Clone(foreign) },
		"all but one of another program": func(f frozen) {
			f[segmentName(1)], f[segmentName(2)], f[segmentName(3)] = foreign, foreign, foreign
		},
		"the end":                    func(f frozen) { f[segmentName(4)][segmentHeaderSize+1040+100] ^= 1 },
		"first of two at the end":    func(f frozen) { f[segmentName(4)][segmentHeaderSize+50] ^= 1 },
		"a segment of another store": func(f frozen) { f[segmentName(2)] = otherLife(t, ID{1})[segmentName(2)] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := intact.clone()
			damage(f)
			for work, do := range map[string]func(disk vfs.FS) (string, error){
				"open": func(disk vfs.FS) (string, error) {
					l, err := Open(testDir, testOptions(disk))
					if err != nil {
						return "", err
					}
					return fmt.Sprint(l.First(), l.Last(), l.Tail()), nil
				},
				"survey": func(disk vfs.FS) (string, error) {
					records := 0
					found, err := Survey(testDir, ID{}, testOptions(disk),
						func(Record, bool) error { records++; return nil })
					for _, s := range found {
						if i := slices.IndexFunc(s.Damage, unreadable); i >= 0 {
							err = errors.Join(err, s.Damage[i])
						}
					}
					return fmt.Sprintf("%d %+v", records, found), err
				},
			} {
				want, wantErr := do(f)
				for n := 1; ; n++ {
					seen := 0
					got, err := do(vfstest.NewFault(f, func(op vfstest.Op) vfstest.Outcome {
						if op.Kind == vfstest.KindClose || strings.HasSuffix(op.Name, markName) {
							return vfstest.Outcome{}
						}
						if seen++; seen == n {
							return vfstest.Fail(nil)
						}
						return vfstest.Outcome{}
					}))
					if seen < n {
						if n < 5 {
							t.Errorf("%s: only %d calls", work, seen)
						}
						break
					}
					if same := fmt.Sprint(err) == fmt.Sprint(wantErr) && got == want; !same &&
						(!errors.Is(err, syscall.EIO) || !unreadable(err)) {
						t.Errorf("%s, call %d fails: %v\n%s\nwant its error, or %v\n%s", work, n, err, got, wantErr,
							want)
					}
				}
			}
		})
	}
}
