package store

import (
	"errors"
	"strings"
	"testing"

	"gcd/store/core"
	"gcd/wal"
)

// TestDiskBelowTheUsualSegments: where not even the second segment of the usual size ever has room,
// a few topics are counted for good: the log goes on in small segments, and snapshots let go of
// them.
func TestDiskBelowTheUsualSegments(t *testing.T) {
	t.Parallel()
	const capacity = 1 << 20
	d, log := newFullDisk(t, capacity), &lines{}
	o := d.options(log)
	o.SegmentSize = wal.DefaultSegmentSize
	s := openStore(t, t.TempDir(), o)
	topic := strings.Repeat("t", 900)
	for sum := uint64(0); sum < 4*capacity/900; { // the log has four times the bytes of the disk
		op := runOps(t, s, []core.Op{count(topic, 1)})[0]
		switch {
		case op.Err == nil:
			sum = op.Sum
		case !errors.Is(op.Err, core.ErrLogFull):
			t.Fatal(op.Err)
		default: // a count takes no time here, so room may be made too late
			log.wait(t, lineGoesOn, log.count(lineStopped))
		}
	}
}
