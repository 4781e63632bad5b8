package wal

import (
	"bytes"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

var update = flag.Bool("update", false, "write the golden directory anew")

const goldenDir = "testdata/v1"

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// writeGolden makes the log whose bytes are in testdata/v1.
func writeGolden(t *testing.T, disk vfs.FS) {
	ticks := testNow()
	o := testOptions(disk)
	o.Now = func() time.Time { ticks = ticks.Add(time.Millisecond); return ticks }
	if err := Create(testDir, testID, 100, o); err != nil {
		t.Fatal(err)
	}
	l := start(t, o)
	for i := range 12 {
		if _, err := l.Append(typeBatch, []byte(strings.Repeat(string(rune('a'+i)), 1+i*150))); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
}

// TestGolden: format version 1 is what testdata/v1 holds, byte for byte, and it reads as what was
// written.
func TestGolden(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	writeGolden(t, disk)
	made := freeze(disk)
	if *update {
		if err := os.MkdirAll(goldenDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, b := range made {
			if err := os.WriteFile(filepath.Join(goldenDir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := frozen{}
	entries, err := os.ReadDir(goldenDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if kept[e.Name()], err = os.ReadFile(filepath.Join(goldenDir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if len(made) != 2 || len(kept) != 2 {
		t.Fatalf("%d segments written, %d in %s, want 2", len(made), len(kept), goldenDir)
	}
	for name, b := range made {
		if !bytes.Equal(kept[name], b) {
			t.Errorf("%s differs from what is written now: that is a new format version", name)
		}
	}
	l, err := Open(testDir, testOptions(kept))
	if err != nil {
		t.Fatal(err)
	}
	recs, err := read(l, 100)
	if err != nil {
		t.Fatal(err)
	}
	if l.ID().String() != "12345678-9abc-4def-8123-456789abcdef" || l.First() != 100 || l.Last() != 111 ||
		len(recs) != 12 {
		t.Fatalf("store %s, records %d to %d, %d of them", l.ID(), l.First(), l.Last(), len(recs))
	}
	durable := uint64(99)
	for i, rec := range recs {
		if rec.Segment > 1 && recs[i-1].Segment == 1 {
			durable = rec.Index - 1 // a rotation syncs
		}
		got := fmt.Sprintf("%d %d %d %d %.1s×%d", rec.Index, rec.Durable, rec.Type, rec.Time.UnixNano(), rec.Payload,
			len(rec.Payload))
		want := fmt.Sprintf("%d %d 1 %d %c×%d", 100+i, durable,
			testNow().Add(time.Duration(i+1)*time.Millisecond).UnixNano(), 'a'+i, 1+i*150)
		if got != want {
			t.Errorf("record %s, want %s", got, want)
		}
		if i%3 == 0 {
			durable = rec.Index
		}
	}
}

// TestFormatByHand compares with bytes that were worked out from docs/storage.md and not by this
// package's encoder.
func TestFormatByHand(t *testing.T) {
	t.Parallel()
	u32 := func(v uint32) []byte { return le.AppendUint32(nil, v) }
	u64 := func(v uint64) []byte { return le.AppendUint64(nil, v) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	for _, p := range []string{"first payload", "x"} {
		if _, err := l.Append(typeBatch, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	head := join([]byte("\x67\x63\x64\x77\x61\x6c\x0d\x0a"), u32(1), u32(0), testID[:],
		u64(1), u64(1), u64(8192), u32(0))
	want := join(head, u32(crcOf(head)))
	seed := join(testID[:], u64(1))
	link := u32(0)
	for i, p := range []string{"first payload\x00\x00\x00", "x\x00\x00\x00\x00\x00\x00\x00"} {
		length := len(strings.TrimRight(p, "\x00"))
		head := join(u32(uint32(length)), []byte{1, 0, 0, 0}, u64(uint64(i+1)), u64(0),
			u64(uint64(testNow().UnixNano())),
			u32(crcOf(join(seed, link, []byte(p)))))
		link = u32(crcOf(join(seed, head)))
		want = join(want, head, link, []byte(p))
	}
	got, _ := disk.ReadFile(segment1)
	if !bytes.Equal(got[:len(want)], want) || leadingZeros(got[len(want):]) != len(got)-len(want) {
		t.Errorf("the segment begins with\n%x, want\n%x and zeros", got[:len(want)], want)
	}
}
