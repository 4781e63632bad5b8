package snapshot

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"gcd/store/core"
)

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
