package store

import (
	"fmt"
	"testing"

	"gcd/store/core"
)

// TestProgressOfPages: a start says how far it is also while it looks at the pages of the snapshot,
// which of a large one on a slow disk takes long.
func TestProgressOfPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	ops := make([]core.Op, 0, 30_000)
	for i := range cap(ops) {
		ops = append(ops, core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "a topic with a longer name %08d", i)})
	}
	runOps(t, s, ops)
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var last Progress
	seen := 0
	s = openStore(t, dir, Options{Progress: func(p Progress) {
		if p.Phase == "pages" {
			if p.Done <= last.Done || p.Done > p.Total {
				t.Errorf("%+v after %+v", p, last)
			}
			last, seen = p, seen+1
		}
	}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("nothing is said of the pages")
	}
}
