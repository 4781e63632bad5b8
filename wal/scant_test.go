package wal

import (
	"errors"
	"path"
	"syscall"
	"testing"

	"gcd/internal/vfs/vfstest"
)

// TestScantSpare: where nothing can be freed a log goes on in segments of what room there is; a
// record that has no room in them is refused, and shorter ones go on after it.
func TestScantSpare(t *testing.T) {
	t.Parallel()
	disk, free := vfstest.NewMem(), int64(1<<20)
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindWrite && path.Base(op.Name) == spareName && op.Off+int64(op.Len) > free {
			return vfstest.Fail(syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	o := testOptions(fault)
	o.SegmentSize = DefaultSegmentSize
	l := create(t, o)
	h := &history{}
	for _, want := range []int64{256 << 10, scantSize, secondSize} {
		free = want + want/2
		if want < secondSize {
			if err := l.PrepareSpare(); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("a spare of the usual size where %d bytes are free: %v", free, err)
			}
		}
		if err := l.PrepareScantSpare(); err != nil {
			t.Fatalf("a spare where %d bytes are free: %v", free, err)
		}
		for n := len(l.Segments()); len(l.Segments()) == n; {
			h.payloads = append(h.payloads, appendSizes(t, l, 7000)...)
		}
		if got := l.current.size; got != want {
			t.Errorf("a segment of %d bytes where %d are free, want %d", got, free, want)
		}
	}

	for n := len(l.Segments()); len(l.Segments()) == n; { // a spare is ready, and a record does not fit into it
		free = scantSize
		if err := l.PrepareScantSpare(); err != nil {
			t.Fatal(err)
		}
		_, err := l.Append(typeBatch, payload(l.Last()+1, l.MaxRecord()))
		if err == nil {
			h.payloads = append(h.payloads, payload(l.Last(), l.MaxRecord()))
			continue
		}
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		if err := errors.Join(l.PrepareScantSpare(), l.Resume()); err != nil {
			t.Fatalf("shorter records do not go on: %v", err)
		}
		h.payloads = append(h.payloads, appendSizes(t, l, 7000)...)
	}
	free = 2 * secondSize
	h.payloads = append(h.payloads, appendSizes(t, l, l.MaxRecord())...)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	h.synced = l.Last()
	if err := h.check(reopenAs(t, disk.Crash(vfstest.Crash{}), o)); err != nil {
		t.Error(err)
	}
}
