package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/snapshot"
)

// TestNameOfANewStore: before a new store serves, or Init says that it made one, the name of its
// directory is durable, also where that was made by somebody who may not have synced it. Where the
// one above is closed to us, whoever made the name answers for it; every other error ends it.
func TestNameOfANewStore(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name        string
		fails, want error
	}{
		{"synced", nil, nil}, {"closed to us", fs.ErrPermission, nil}, {"fails", syscall.EIO, syscall.EIO},
	} {
		for _, init := range []bool{false, true} {
			dir := filepath.Join(t.TempDir(), "data")
			mkdir(t, dir)
			synced := 0
			o := Options{SegmentSize: 64 << 10, hooks: snapshot.Hooks{NoSync: true}}
			o.files = vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
				if op.Kind == vfstest.KindSyncDir && op.Name == filepath.Dir(dir) {
					synced++
					if row.fails != nil {
						return vfstest.Fail(row.fails)
					}
				}
				return vfstest.Outcome{}
			})
			make := func() error {
				if init {
					_, _, err := Init(t.Context(), dir, o)
					return err
				}
				s, err := open(t, dir, o)
				if err == nil {
					err = s.Close()
				}
				return err
			}
			if err := make(); !errors.Is(err, row.want) || synced != 1 {
				t.Errorf("%s, init %t: %v, synced %d times", row.name, init, err, synced)
			}
			if row.fails != nil {
				continue
			}
			if err := make(); err != nil || synced != 1 {
				t.Errorf("%s, init %t, once it is there: %v, synced %d times", row.name, init, err, synced)
			}
		}
	}
}
