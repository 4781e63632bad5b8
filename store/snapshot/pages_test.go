package snapshot

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcd/store/core"
	"gcd/wal"
)

// TestRefusedPages: what bbolt takes, and would have it lose or destroy entries when it writes, is
// damage to whoever reads the file, before anything is written.
func TestRefusedPages(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), FileName)
	Build(t, path, wal.ID{1}, BuildEntries(rand.New(rand.NewPCG(1, 1)), 500), 99)
	if err := At(path).Update(func(*Meta) {}); err != nil { // which frees pages
		t.Fatal(err)
	}
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size, ne := os.Getpagesize(), binary.NativeEndian
	pageOf := func(b []byte, kind, atLeast uint16) []byte { // the first one with so many elements
		for at := 0; at < len(b); at += size {
			page := b[at : at+size]
			if ne.Uint64(page) == uint64(at/size) && ne.Uint16(page[8:]) == kind && ne.Uint16(page[10:]) >= atLeast {
				return page
			}
		}
		t.Fatalf("no page of kind %#x with %d elements", kind, atLeast)
		return nil
	}
	key := func(page []byte, i int) []byte {
		e := elementOf(page, i)
		return page[e.at : e.at+e.key]
	}
	for _, row := range []struct {
		name, want string
		damage     func(b []byte)
	}{
		{"keys of a leaf out of order", "does not come after the one before it", func(b []byte) {
			key(pageOf(b, leafPage, 20), 10)[1] = 0
		}},
		{"a key of a leaf twice", "does not come after the one before it", func(b []byte) {
			page := pageOf(b, leafPage, 20)
			copy(page[pageHeaderSize+11*pageElementSize:], page[pageHeaderSize+10*pageElementSize:][:pageElementSize])
			at := page[pageHeaderSize+11*pageElementSize+4:]
			ne.PutUint32(at, ne.Uint32(at)-pageElementSize)
		}},
		{"a branch's key after the first one below it", "does not come after the one before it", func(b []byte) {
			k := key(pageOf(b, branchPage, 3), 1)
			k[len(k)-1]++
		}},
		{"a branch's key that the page before it reaches", "does not come after the one before it", func(b []byte) {
			key(pageOf(b, branchPage, 3), 1)[1] = 0
		}},
		{"a page that is free twice", "free already", func(b []byte) {
			for meta := range 2 { // the list of the last transaction, and that of the one before it
				list := b[int(ne.Uint64(b[meta*size+metaFreeList:]))*size:]
				copy(list[pageHeaderSize+8:], list[pageHeaderSize:pageHeaderSize+8])
			}
		}},
	} {
		damaged := append([]byte(nil), intact...)
		row.damage(damaged)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := At(path).Meta()
		if !errors.As(err, new(*wal.CorruptionError)) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want damage: %q", row.name, err, row.want)
		}
	}
}

// FuzzSnapshotEdit changes eight bytes of a snapshot file: reading it says so, or finds what was
// there before. It never faults, reads memory that is not the file's, or finds something else.
func FuzzSnapshotEdit(f *testing.F) {
	kept, err := os.ReadFile(filepath.Join("..", "testdata", "v1", FileName))
	if err != nil {
		f.Fatal(err)
	}
	for page := range uint32(len(kept) / 4096) {
		f.Add(page*4096+8, uint64(1)<<40)
		f.Add(page*4096+16, uint64(1)<<63)
		f.Add(page*4096+24, uint64(0xff))
	}
	entries := func(path string) (map[string]core.Value, error) {
		seen := map[string]core.Value{}
		file := At(path)
		_, err := file.Read(func(_ Meta, e Entry) error { seen[string(e.Topic)] = e.Value; return nil })
		return seen, err
	}
	want, err := entries(filepath.Join("..", "testdata", "v1", FileName))
	if err != nil || len(want) != 7 {
		f.Fatalf("%d entries, %v", len(want), err)
	}
	f.Fuzz(func(t *testing.T, at uint32, flip uint64) {
		b := append([]byte(nil), kept...)
		at %= uint32(len(b) - 8)
		binary.LittleEndian.PutUint64(b[at:], binary.LittleEndian.Uint64(b[at:])^flip)
		path := filepath.Join(t.TempDir(), FileName)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := entries(path); err == nil && !maps.Equal(got, want) {
			t.Errorf("at %d ^ %#x: %v", at, flip, got)
		}
	})
}
