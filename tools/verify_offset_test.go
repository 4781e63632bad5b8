package tools

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// TestVerifySaysWhere: damage of the snapshot is named with the offset of the entry or the page,
// where it is about one.
func TestVerifySaysWhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openDir(t, dir, testSegment)
	counted(t, s, core.Op{Kind: core.Count, Topic: []byte("orders")})
	for i := range 100 { // with a few, bbolt has the entries inside of another page
		counted(t, s, core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "topic %d", i)})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Compact(t.Context(), dir, CompactOptions{KeepLog: true}); err != nil { // so that there are entries
		t.Fatal(err)
	}
	path := store.SnapshotPath(dir)
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var orders int64
	if _, err := snapshot.At(path).Check(func(off, n int64) { // the rest of the file is free
		if i := bytes.Index(intact[off:off+n], []byte("orders")); i >= 0 {
			orders = off + int64(i)
		}
	}); err != nil || orders == 0 {
		t.Fatalf("the topic was found at %d, %v, want a place in the snapshot", orders, err)
	}
	page := orders / int64(os.Getpagesize()) * int64(os.Getpagesize())
	for _, row := range []struct {
		what  string
		flip  int64
		at    int64
		whole bool // it is missing, too
	}{
		{"the topic", orders, orders - 1, true}, // the key begins with its kind
		{"the sum", orders + int64(len("orders")) + 1, orders - 1, false},
		{"the kind of the page", page + 8, page, false},
	} {
		if err := os.WriteFile(path, intact, 0o600); err != nil {
			t.Fatal(err)
		}
		flip(t, path, row.flip)
		damage := verified(t, dir, VerifyOptions{}).Files[0].Damage
		there := slices.ContainsFunc(damage, func(d Damage) bool { return d.Offset == row.at && !d.Whole })
		if whole := slices.ContainsFunc(damage, func(d Damage) bool { return d.Whole && d.Offset == 0 }); !there ||
			whole != row.whole {
			t.Errorf("%s: %+v, want one at %d", row.what, damage, row.at)
		}
	}
}
