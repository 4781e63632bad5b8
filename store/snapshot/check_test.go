package snapshot

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/wal"
)

// TestCheckSnapshotTakesWhatIsWritten: a stricter check is worth nothing if it ever refuses a file
// that is whole. So files of all kinds: grown in random order over many transactions, with short
// and long topics and values that change their length; built at once; new.
func TestCheckSnapshotTakesWhatIsWritten(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for round := 0; round < 6; round += thin.Step(2) {
		path := filepath.Join(t.TempDir(), FileName)
		file := File{Path: path, Hooks: Hooks{NoSync: true}}
		if err := file.Create(vfs.OS{}, wal.ID{1}, false); err != nil {
			t.Fatal(err)
		}
		check := func() {
			t.Helper()
			found, err := At(path).Check(nil)
			if err != nil {
				t.Fatal(err)
			}
			if found.Used <= 0 || found.Used > int64(found.Pages*found.PageSize) || found.Free > found.Pages {
				t.Fatalf("the sizes do not fit together: %+v", found)
			}
		}
		check()
		names := 50 << (2 * round)
		for range 12 {
			var entries []Entry
			seen := map[string]bool{}
			for range 1 + r.IntN(min(names, 4000)) {
				topic := fmt.Sprintf("topic %d", r.IntN(names))
				switch r.IntN(40) {
				case 0:
					topic += strings.Repeat("l", r.IntN(9000))
				case 1:
					topic = topic[:r.IntN(len(topic))]
				}
				if !seen[topic] {
					seen[topic] = true
					entries = append(entries,
						Entry{Topic: []byte(topic),
							Value: core.Value{Sum: r.Uint64() >> r.IntN(64),
								Epoch: uint64(r.IntN(3))}, Last: r.Uint64() >> r.IntN(64)})
				}
			}
			if err := file.Write(entries, 5, nil); err != nil {
				t.Fatal(err)
			}
			check()
		}
	}
	path := filepath.Join(t.TempDir(), "built")
	b, err := NewBuilder(vfs.OS{}, path, wal.ID{1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30_000 {
		if err := b.Add(Entry{Topic: fmt.Appendf(nil, "%08d", i), Value: core.Value{Sum: uint64(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(7); err != nil {
		t.Fatal(err)
	}
	if _, err := At(path).Check(nil); err != nil {
		t.Fatal(err)
	}
}

// TestCheckSnapshotSeesEveryBit flips the bits of a file with branches, free pages and pages of
// several: a bit that nothing notices is one that CheckSnapshot says holds nothing, but for the few
// values in meta that a log is needed to judge.
func TestCheckSnapshotSeesEveryBit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), FileName)
	file := File{Path: path, Hooks: Hooks{NoSync: true}, Marked: func() bool { return true }}
	if err := file.Create(vfs.OS{}, wal.ID{1}, true); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		var entries []Entry
		for i := range 60 {
			entries = append(entries,
				Entry{Topic: fmt.Appendf(nil, "topic %03d %d", i, round), Value: core.Value{Sum: uint64(i)}, Last: 1})
			entries = append(entries,
				Entry{Topic: []byte(strings.Repeat(string(rune('a'+i%26)), 300+5*i)), Value: core.Value{Sum: uint64(i)},
					Last: 1})
		}
		if err := file.Write(entries, 5, nil); err != nil {
			t.Fatal(err)
		}
	}
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := make([]bool, len(intact))
	if _, err := At(path).Check(func(off, n int64) {
		for i := off; i < off+n; i++ {
			used[i] = true
		}
	}); err != nil {
		t.Fatal(err)
	}
	sound := func() (Meta, error) {
		if _, err := At(path).Check(nil); err != nil {
			return Meta{}, err
		}
		return At(path).Read(func(Meta, Entry) error { return nil })
	}
	want, err := sound()
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d, %d bytes", seed, len(intact))
	r := rand.New(rand.NewPCG(seed, 1))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var offsets []int
	for i := range pageHeaderSize + metaSize { // of bbolt's two meta pages each byte
		offsets = append(offsets, i, os.Getpagesize()+i)
	}
	each := 9 * thin.Step(11)
	for i := r.IntN(each); i < len(intact); i += 1 + r.IntN(each) {
		offsets = append(offsets, i)
	}
	noticed := 0
	for _, i := range offsets {
		bit := byte(1) << r.IntN(8)
		if _, err := f.WriteAt([]byte{intact[i] ^ bit}, int64(i)); err != nil {
			t.Fatal(err)
		}
		if m, err := sound(); err == nil && used[i] && m == want {
			t.Errorf("offset %d, bit %#x: not noticed", i, bit)
		} else if err != nil {
			noticed++
		}
		if _, err := f.WriteAt(intact[i:i+1], int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if noticed == 0 {
		t.Error("nothing was noticed")
	}
}
