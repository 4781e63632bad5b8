package store

import (
	"os"
	"path"
	"sync/atomic"
	"testing"

	"gcd/internal/vfs/vfstest"
)

// TestNewStoreCost: a new store is ready after a handful of syncs of its log, and with at most 64
// KiB written, the snapshot file included. The spare is made beside the counting, so here it waits
// until the store is open.
func TestNewStoreCost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opened := make(chan struct{})
	var written, spares atomic.Int64
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
		switch op.Kind {
		case vfstest.KindWrite:
			written.Add(int64(op.Len))
		case vfstest.KindCreate:
			if path.Base(op.Name) == "spare" && spares.Add(1) > 1 { // the first becomes the first segment
				<-opened
			}
		}
		return vfstest.Outcome{}
	})
	s, err := open(t, dir, Options{fs: fault, logDir: "log"})
	if err != nil {
		t.Fatal(err)
	}
	syncs, bytes := fault.Count(vfstest.KindSync)+fault.Count(vfstest.KindSyncDir), written.Load()
	info, err := os.Stat(SnapshotPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	close(opened)
	if syncs > 8 || bytes+info.Size() > 64<<10 {
		t.Errorf("%d syncs of the log, %d bytes written to it, and %d to the snapshot", syncs, bytes, info.Size())
	}
	t.Logf("%d syncs of the log, %d bytes written to it, and %d to the snapshot", syncs, bytes, info.Size())
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
