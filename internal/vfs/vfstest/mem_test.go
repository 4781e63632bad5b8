package vfstest

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Disks that were cloned go their own ways: bytes, lengths, names, and what of them is durable.
func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	m := newMemWith(t, "d")
	f := create(t, m, "d/f", strings.Repeat("a", 2000))
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	for i := range 5 { // leaves room after the lists that the clones share: versions of a sector, and lengths
		write(t, f, "b", int64(i))
		write(t, f, "b", int64(2000+i))
	}

	first, second := m.Clone(), m.Clone()
	before := contents(t, m)
	g, h := open(t, first, "d/f"), open(t, second, "d/f")
	write(t, f, "F", 600) // in place
	wantDisk(t, first, before)
	write(t, f, strings.Repeat("F", 3000), 0)
	write(t, g, strings.Repeat("G", 4000), 0)
	wantDisk(t, second, before)
	write(t, h, strings.Repeat("H", 3500), 0)
	must(t, first.Rename("d/f", "d/g"))
	must(t, second.Remove("d/f"))
	create(t, second, "d/h", "h")

	wantDisk(t, m, disk{"d/f": strings.Repeat("F", 3000)})
	wantDisk(t, first, disk{"d/g": strings.Repeat("G", 4000)})
	wantDisk(t, second, disk{"d/h": "h"})
	must(t, g.Sync())
	must(t, first.SyncDir("d"))
	wantDisk(t, first.Crash(Crash{}), disk{"d/g": strings.Repeat("G", 4000)})
	for _, lost := range []*Mem{m.Crash(Crash{}), second.Crash(Crash{})} {
		wantDisk(t, lost, disk{"d/f": strings.Repeat("a", 2000)})
	}
	// Versions written after the cloning must not turn up in the other clone's crashes.
	for seed := range uint64(100) {
		p, err := m.Crash(Crash{Seed: seed, Keep: 0.5}).ReadFile("d/f")
		must(t, err)
		if bytes.ContainsAny(p, "GH") || len(p) > 3000 {
			t.Fatalf("seed %d: %d bytes, some of another disk", seed, len(p))
		}
	}
}

// A seed decides about all files and names of a disk, also of its clone.
func TestCrashIsRepeatable(t *testing.T) {
	t.Parallel()
	m := newMemWith(t, "d/e")
	for _, name := range []string{"d/1", "d/2", "d/3", "d/4", "d/e/5", "d/e/6"} {
		must(t, m.WriteFile(name, make([]byte, 2048)))
		write(t, open(t, m, name), strings.Repeat("x", 3000), 0)
		must(t, m.Rename(name, name+"x"))
	}
	for seed := range uint64(10) {
		crash := Crash{Seed: seed, Keep: 0.5, Garbage: true}
		want := contents(t, m.Crash(crash))
		wantDisk(t, m.Crash(crash), want)
		wantDisk(t, m.Clone().Crash(crash), want)
	}
}

func TestMemListing(t *testing.T) {
	t.Parallel()
	m := NewMem()
	for _, name := range []string{"/data/wal/2", "data/wal/1", "data/lock", "top"} {
		must(t, m.WriteFile(name, []byte(name)))
	}
	must(t, m.MkdirAll("empty"))
	if got, want := m.Files(), []string{"data/lock", "data/wal/1", "data/wal/2", "top"}; !slices.Equal(got, want) {
		t.Errorf("Files() = %q, want %q", got, want)
	}
	p, err := m.ReadFile("data/wal/2")
	must(t, err)
	p[0] = '#'
	wantDisk(t, m, disk{
		"data/lock": "data/lock", "data/wal/1": "data/wal/1", "data/wal/2": "/data/wal/2", "top": "top",
	})
	must(t, m.WriteFile("top", nil))
	if p, err := m.ReadFile("top"); len(p) != 0 || err != nil {
		t.Errorf("ReadFile of an emptied file = %q, %v", p, err)
	}
}

func TestMemRefuses(t *testing.T) {
	t.Parallel()
	m := newMemWith(t, "d/sub")
	f := create(t, m, "d/f", "f")
	create(t, m, "d/g", "g")
	wantErr(t, m.Rename("d/f", "d/sub/f"), errors.ErrUnsupported)
	wantErr(t, m.Rename("d/f", "d/none/f"), fs.ErrNotExist)
	wantErr(t, m.Exchange("d/f", "d/sub/f"), errors.ErrUnsupported)
	wantErr(t, m.Mkdir("d/sub"), fs.ErrExist)
	wantErr(t, m.Mkdir("d/none/sub"), fs.ErrNotExist)
	wantErr(t, m.Remove("/"), syscall.EISDIR)
	wantErr(t, m.WriteFile("d", nil), syscall.EISDIR)
	wantErr(t, m.WriteFile("/", nil), syscall.EISDIR)
	wantErr(t, m.WriteFile("d/f/x", nil), syscall.ENOTDIR)
	_, err := m.ReadFile("none")
	wantErr(t, err, fs.ErrNotExist)
	_, err = m.Create("/")
	wantErr(t, err, syscall.EISDIR)
	for _, off := range []int64{maxMemFile, 1<<63 - 1} {
		_, err = f.WriteAt([]byte("x"), off)
		wantErr(t, err, syscall.EFBIG)
	}
	wantDisk(t, m, disk{"d/f": "f", "d/g": "g"})
}

// Damaging a file whose name is durable leaves the other names of the directory as undecided as
// they were.
func TestWriteFileLeavesOtherNames(t *testing.T) {
	t.Parallel()
	m := newMemWith(t, "d")
	must(t, m.WriteFile("d/a", []byte("a")))
	must(t, create(t, m, "d/b", "b").Sync())
	must(t, m.WriteFile("d/a", []byte("A")))
	wantDisk(t, m.Crash(Crash{}), disk{"d/a": "A"})
}

// Readers, writers, syncs, directory changes, clones and crashes at once; for the race detector,
// and nobody may see half of a write.
func TestMemConcurrent(t *testing.T) {
	t.Parallel()
	m := newMemWith(t, "d")
	f := create(t, m, "d/f", strings.Repeat("0", 1024))
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	uniform := func(p []byte) bool { return len(bytes.Trim(p, string(p[:1]))) == 0 }
	var wg sync.WaitGroup
	const rounds = 100
	wg.Go(func() {
		for i := range rounds {
			if _, err := f.WriteAt(bytes.Repeat([]byte{'0' + byte(i%10)}, 1024), 0); err != nil {
				t.Error(err)
			}
			if err := f.Sync(); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			p := make([]byte, 1024)
			for range rounds {
				if _, err := f.ReadAt(p, 0); err != nil || !uniform(p) {
					t.Errorf("read %.20q…, %v", p, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			g, err := m.Create("d/g")
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(g.Close(), m.Rename("d/g", "d/h"), m.SyncDir("d"), m.Remove("d/h")); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for i := range rounds {
			clone := m.Clone()
			lost := m.Crash(Crash{Seed: uint64(i), Keep: float64(i%2) * 0.5})
			for _, disk := range []*Mem{clone, lost} {
				p, err := disk.ReadFile("d/f")
				if err != nil || !uniform(p[:512]) || !uniform(p[512:]) {
					t.Errorf("disk holds %.20q…, %v", p, err)
				}
				if err := disk.WriteFile("d/f", []byte("damage")); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
}

// BenchmarkCrash is a power loss of a disk with four files of 64 KiB and a few unsynced sectors.
func BenchmarkCrash(b *testing.B) {
	m := NewMem()
	for _, name := range []string{"1", "2", "3", "spare"} {
		if err := m.WriteFile("wal/"+name, bytes.Repeat([]byte("x"), 64<<10)); err != nil {
			b.Fatal(err)
		}
	}
	f, err := m.Open("wal/3")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 4096), 1000); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for seed := uint64(0); b.Loop(); seed++ {
		m.Crash(Crash{Seed: seed, Keep: 0.5})
	}
}
