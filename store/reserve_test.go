package store

import (
	"fmt"
	"os"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// TestReserveIsEnough: a snapshot never needs more than is held for it, whatever is new or changed,
// and however long the topics are: the first one, one with all of them changed, and one with new
// topics among the others.
func TestReserveIsEnough(t *testing.T) {
	t.Parallel()
	lengths := []int{4, 62, 300, 1000, 1024, 1400, 3000, 20_000}
	for i := 0; i < len(lengths); i += thin.Step(3) {
		length := lengths[i]
		t.Run(fmt.Sprint(length, " bytes"), func(t *testing.T) {
			t.Parallel()
			n := min(2<<20/(length+entryBytes), 11_000) // more than a transaction has
			s := openStore(t, t.TempDir(),
				Options{SnapshotInterval: -1, SnapshotBytes: -1, SegmentSize: 16 << 20,
					hooks: snapshot.Hooks{NoSync: true}})
			before := int64(0)
			for round, names := range []func(i int) int{
				func(i int) int { return 3 * i },
				func(i int) int { return 3 * i },
				func(i int) int { return 3*i + 1 },
			} {
				ops := make([]core.Op, 0, n)
				for i := range n {
					ops = append(ops, count(fmt.Sprintf("%0*x", length, names(i)), 1))
				}
				for _, op := range runOps(t, s, ops) {
					if op.Err != nil {
						t.Fatal(op.Err)
					}
				}
				takeSnapshot(t, s)
				pages, err := s.file.Check(nil)
				if err != nil {
					t.Fatal(err)
				}
				size := int64(pages.Pages) * int64(pages.PageSize)
				if held := reserveSize(s.snapshotRoom()); size-before > held {
					t.Errorf("round %d: the snapshot grew by %d bytes to %d, and %d were held for it", round+1,
						size-before, size, held)
				}
				before = size
			}
		})
	}
}

// TestCloseDoesNotWaitForTheReserve: what there is of it is enough for the next start to go on
// with.
func TestCloseDoesNotWaitForTheReserve(t *testing.T) {
	t.Parallel()
	dir, topics := t.TempDir(), make([]core.Op, 4000) // a reserve of several pieces
	for i := range topics {
		topics[i] = count(fmt.Sprintf("%0500d", i), 1)
	}
	s, err := open(t, dir, Options{SnapshotInterval: -1, hooks: snapshot.Hooks{NoSync: true}})
	if err != nil {
		t.Fatal(err)
	}
	runOps(t, s, topics)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begun, writes := make(chan struct{}), 0
	o := Options{Reserve: true, SnapshotInterval: -1, hooks: snapshot.Hooks{NoSync: true}}
	o.files = vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindWrite {
			if writes++; writes == 1 {
				close(begun)
				<-s.ctx.Done() // Close has begun
			}
		}
		return vfstest.Outcome{}
	})
	opened := make(chan struct{})
	inner := o.files
	o.files = waiting{inner, opened}
	if s, err = open(t, dir, o); err != nil {
		t.Fatal(err)
	}
	close(opened)
	within(t, "the first piece of a reserve", begun)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(ReservePath(dir)); err != nil || writes != 1 || info.Size() == 0 ||
		info.Size() >= reserveSize(s.snapshotRoom()) {
		t.Errorf("%d pieces were written: %v, %v", writes, info, err)
	}
}

// waiting makes files when it may.
type waiting struct {
	vfs.FS
	may chan struct{}
}

func (w waiting) Create(name string) (vfs.File, error) {
	<-w.may
	return w.FS.Create(name)
}
