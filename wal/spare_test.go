package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"gcd/internal/vfs/vfstest"
)

// TestNoSpareIsMadeWhileOneBecomesASegment: making one begins with removing what has the name.
func TestNoSpareIsMadeWhileOneBecomesASegment(t *testing.T) {
	t.Parallel()
	var l *Log
	rotating, seen := false, 0
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
		if rotating && path.Base(op.Name) == spareName {
			seen++
			if l.making.TryLock() {
				l.making.Unlock()
				t.Errorf("a spare could be made during %s %s", op.Kind, op.Name)
			}
		}
		return vfstest.Outcome{}
	})
	l = create(t, testOptions(fault))
	appendSizes(t, l, 4000, 4000)
	if err := l.PrepareSpare(); err != nil {
		t.Fatal(err)
	}
	rotating = true
	appendSizes(t, l, 4000)
	if seen != 3 { // header, sync, rename
		t.Errorf("%d operations on the spare", seen)
	}
}

func TestNeedSpare(t *testing.T) {
	t.Parallel()
	l := create(t, testOptions(vfstest.NewMem()))
	needed := func() bool {
		select {
		case <-l.NeedSpare():
			return true
		default:
			return false
		}
	}
	if !needed() || needed() {
		t.Error("after Start: want one signal")
	}
	if err := l.PrepareSpare(); err != nil {
		t.Fatal(err)
	}
	appendSizes(t, l, 4000, 4000)
	if needed() {
		t.Error("a signal without a rotation")
	}
	appendSizes(t, l, 4000)
	if !needed() || needed() {
		t.Error("after a rotation: want one signal")
	}
}

// TestHousekeepingBesideAppend is for the race detector.
func TestHousekeepingBesideAppend(t *testing.T) {
	t.Parallel()
	const records = 1500
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.SegmentSize = 16 << 10
	l := create(t, o)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-l.NeedSpare():
				if err := l.PrepareSpare(); err != nil {
					t.Error(err)
				}
			case <-done:
				return
			}
		}
	})
	wg.Go(func() {
		for released := uint64(0); released < records-100; {
			select {
			case <-done:
				return
			default:
			}
			if released = l.Durable() / 2; released > 0 {
				if err := l.Release(released); err != nil {
					t.Error(err)
				}
			}
			for rec, err := range l.Records(l.First()) {
				if errors.Is(err, fs.ErrNotExist) {
					break
				}
				if err != nil || !bytes.Equal(rec.Payload, payload(rec.Index, int(rec.Index%200)+1)) {
					t.Errorf("record %d: %v", rec.Index, err)
					return
				}
			}
			_, _, _ = l.Stats(), l.Segments(), l.Err()
		}
	})
	for i := uint64(1); i <= records; i++ {
		if _, err := l.Append(typeBatch, payload(i, int(i%200)+1)); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
	s := l.Stats()
	if s.Records != records || s.Syncs < records || s.Rotations < 5 || s.Segments != int64(len(l.Segments())) {
		t.Errorf("stats %+v", s)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestSpareInTheMaking: an append that fits does not wait for it, one that needs it does, and Close
// breaks it off.
func TestSpareInTheMaking(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	begun, let := make(chan struct{}), make(chan struct{})
	var armed atomic.Bool
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if armed.Load() && op.Kind == vfstest.KindCreate {
			begun <- struct{}{}
			<-let
		}
		return vfstest.Outcome{}
	})
	l := create(t, testOptions(fault))
	armed.Store(true)
	result := make(chan error)
	prepare := func() {
		go func() { result <- l.PrepareSpare() }()
		within(t, "the making of a spare", begun)
	}
	prepare()
	appendSizes(t, l, 4000, 4000) // does not hang
	go func() { let <- struct{}{} }()
	appendSizes(t, l, 4000)
	if err := within(t, "a spare", result); err != nil {
		t.Fatal(err)
	}
	if n := fault.Count(vfstest.KindCreate); n != 2 {
		t.Errorf("%d files made, want 2: the rotation did not take the spare in the making", n)
	}
	prepare()
	closed := make(chan error)
	go func() { closed <- l.Close() }()
	for !l.closed.Load() {
		runtime.Gosched() // Close says so before it waits
	}
	let <- struct{}{}
	if err := within(t, "the end of a spare in the making", result); !errors.Is(err, ErrClosed) {
		t.Errorf("PrepareSpare during Close: %v", err)
	}
	if err := within(t, "the end of Close", closed); err != nil {
		t.Error(err)
	}
	if _, err := disk.ReadFile(testDir + "/" + spareName); !errors.Is(err, os.ErrNotExist) {
		t.Error("half a spare was left")
	}
}
