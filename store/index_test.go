package store

import (
	"errors"
	"strings"
	"testing"

	"gcd/store/core"
)

// TestIndexOfAGroup: a group says which record has its changes, the last one if there are several,
// and none if it changed nothing, or if nobody knows whether it did.
func TestIndexOfAGroup(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir(), Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	index := func(ops ...core.Op) uint64 {
		t.Helper()
		g := &core.Group{Ops: ops, Index: 99}
		enqueueAll(t, s, g)
		return g.Index
	}
	refused := core.Op{Kind: core.Count, Topic: []byte("a"), N: 5, Max: 2}
	del := core.Op{Kind: core.Delete, Topic: []byte("none")}
	for _, row := range []struct {
		name string
		ops  []core.Op
		want uint64
	}{
		{"a count", []core.Op{count("a", 1)}, 1},
		{"a count and a read", []core.Op{read("a"), count("a", 1), read("a")}, 2},
		{"a read", []core.Op{read("a")}, 0},
		{"a reset", []core.Op{reset("b")}, 3},
		{"a count that is refused", []core.Op{refused}, 0},
		{"a deletion of what is not there", []core.Op{del}, 0},
		{"a deletion", []core.Op{{Kind: core.Delete, Topic: []byte("a")}}, 4},
		{"no op", nil, 0},
	} {
		if got := index(row.ops...); got != row.want {
			t.Errorf("%s: the group's index is %d, want %d", row.name, got, row.want)
		}
	}

	// Groups of one batch have one record, and those of them that change nothing have none.
	groups := []*core.Group{
		{Ops: []core.Op{count("a", 1)}}, {Ops: []core.Op{read("a"), refused, del}}, {Ops: []core.Op{count("a", 1)}}}
	enqueueAll(t, s, groups...)
	for i, want := range []uint64{5, 0, 5} {
		if groups[i].Index != want {
			t.Errorf("group %d of a batch has index %d, want %d", i, groups[i].Index, want)
		}
	}

	// A group that is longer than a record says where its last change is.
	var ops []core.Op
	for i := range 8 {
		ops = append(ops, count(strings.Repeat(string(rune('a'+i)), 9000), 1))
	}
	before := s.Stats().Index
	if got, last := index(ops...), s.Stats().Index; got != last || last < before+2 {
		t.Errorf("the index of a group in several records is %d; they are %d to %d", got, before+1, last)
	}
}

// TestIndexOfAGroupWithoutAPartInTheLastRecord: the index is that of its own last change, though it
// waited for a read that is sequenced with another group's count.
func TestIndexOfAGroupWithoutAPartInTheLastRecord(t *testing.T) {
	t.Parallel()
	s := openMemory(t, Options{})
	s.own.seq.Limits.MaxBatch = 300
	long := strings.Repeat("x", 250)
	g, other := &core.Group{Ops: []core.Op{count(long, 1), read(long)}}, &core.Group{Ops: []core.Op{count("a", 1)}}
	enqueueAll(t, s, g, other)
	if g.Index != 1 || other.Index != 2 {
		t.Errorf("the groups have index %d and %d, want 1 and 2", g.Index, other.Index)
	}
}

// TestIndexOfWhatIsNotKnown: a group that surely or perhaps changed nothing says no index.
func TestIndexOfWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	s := openMemory(t, Options{})
	s.log = failingLog{}
	g := &core.Group{Ops: []core.Op{count("a", 1)}}
	enqueueAll(t, s, g)
	if g.Ops[0].Err == nil || g.Index != 0 {
		t.Errorf("a count whose commit failed ended with %v, index %d", g.Ops[0].Err, g.Index)
	}
}

// failingLog knows the outcome of nothing.
type failingLog struct{}

func (failingLog) propose(uint8, []byte) error { return errors.New("the disk is gone") }
