package vfstest

import (
	"bytes"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"gcd/internal/vfs"
)

// contents are the files of a disk and what they hold.
func contents(t *testing.T, m *Mem) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range m.Files() {
		p, err := m.ReadFile(name)
		must(t, err)
		all[name] = string(p)
	}
	return all
}

func wantDisk(t *testing.T, m *Mem, want map[string]string) {
	t.Helper()
	if got := contents(t, m); !maps.Equal(got, want) {
		t.Errorf("disk holds %.200q, want %.200q", got, want)
	}
}

type disk = map[string]string

// Each case starts with the durable file d/old = "old" and says what is there after a power loss
// that keeps nothing, or everything.
func TestCrash(t *testing.T) {
	t.Parallel()
	old := disk{"d/old": "old"}
	long := strings.Repeat("x", 1300)
	cases := map[string]struct {
		run                 func(t *testing.T, m *Mem)
		nothing, everything disk
	}{
		"unsynced bytes": {
			func(t *testing.T, m *Mem) { write(t, open(t, m, "d/old"), "new", 0) },
			old, disk{"d/old": "new"},
		},
		"synced bytes": {
			func(t *testing.T, m *Mem) {
				f := open(t, m, "d/old")
				write(t, f, "new", 0)
				must(t, f.Sync())
			},
			disk{"d/old": "new"}, disk{"d/old": "new"},
		},
		"unsynced growth": {
			func(t *testing.T, m *Mem) { write(t, open(t, m, "d/old"), long, 3) },
			old, disk{"d/old": "old" + long},
		},
		"synced growth, unsynced overwriting": {
			func(t *testing.T, m *Mem) {
				f := open(t, m, "d/old")
				write(t, f, long, 0)
				must(t, f.Sync())
				write(t, f, "yy", 511)
			},
			disk{"d/old": long}, disk{"d/old": long[:511] + "yy" + long[513:]},
		},
		"sync on another handle": {
			func(t *testing.T, m *Mem) {
				write(t, open(t, m, "d/old"), "new", 0)
				must(t, open(t, m, "d/old").Sync())
			},
			disk{"d/old": "new"}, disk{"d/old": "new"},
		},
		"a file's sync leaves its name": {
			func(t *testing.T, m *Mem) { must(t, create(t, m, "d/new", "new").Sync()) },
			old, disk{"d/old": "old", "d/new": "new"},
		},
		"a directory's sync leaves the bytes": {
			func(t *testing.T, m *Mem) { create(t, m, "d/new", "new"); must(t, m.SyncDir("d")) },
			disk{"d/old": "old", "d/new": ""}, disk{"d/old": "old", "d/new": "new"},
		},
		"both synced": {
			func(t *testing.T, m *Mem) { must(t, create(t, m, "d/new", "new").Sync()); must(t, m.SyncDir("d")) },
			disk{"d/old": "old", "d/new": "new"}, disk{"d/old": "old", "d/new": "new"},
		},
		"rename": {
			func(t *testing.T, m *Mem) { must(t, m.Rename("d/old", "d/new")) },
			old, disk{"d/new": "old"},
		},
		"rename, directory synced": {
			func(t *testing.T, m *Mem) { must(t, m.Rename("d/old", "d/new")); must(t, m.SyncDir("d")) },
			disk{"d/new": "old"}, disk{"d/new": "old"},
		},
		"renamed file is synced under its old name": {
			func(t *testing.T, m *Mem) {
				f := open(t, m, "d/old")
				must(t, m.Rename("d/old", "d/new"))
				write(t, f, "new", 0)
				must(t, f.Sync())
			},
			disk{"d/old": "new"}, disk{"d/new": "new"},
		},
		"sync of another directory": {
			func(t *testing.T, m *Mem) { must(t, m.Rename("d/old", "d/new")); must(t, m.SyncDir("/")) },
			old, disk{"d/new": "old"},
		},
		"remove": {
			func(t *testing.T, m *Mem) { must(t, m.Remove("d/old")) },
			old, disk{},
		},
		"remove, directory synced": {
			func(t *testing.T, m *Mem) { must(t, m.Remove("d/old")); must(t, m.SyncDir("d")) },
			disk{}, disk{},
		},
		"name given to another file": {
			func(t *testing.T, m *Mem) { must(t, m.Remove("d/old")); must(t, create(t, m, "d/old", "new").Sync()) },
			old, disk{"d/old": "new"},
		},
		"new directories": {
			func(t *testing.T, m *Mem) {
				must(t, m.MkdirAll("d/a/b"))
				must(t, create(t, m, "d/a/b/new", "new").Sync())
				must(t, m.SyncDir("d/a/b"))
			},
			disk{"d/old": "old", "d/a/b/new": "new"}, disk{"d/old": "old", "d/a/b/new": "new"},
		},
		"renamed directory": {
			func(t *testing.T, m *Mem) { must(t, m.Rename("d", "e")) },
			old, disk{"e/old": "old"},
		},
		"sync that failed, then one that did not": {
			func(t *testing.T, m *Mem) {
				f := open(t, m, "d/old")
				write(t, f, "new", 0)
				must(t, m.FailSync("d/old"))
				must(t, f.Sync())
			},
			old, disk{"d/old": "new"},
		},
		"sync that failed, bytes written again": {
			func(t *testing.T, m *Mem) {
				f := open(t, m, "d/old")
				write(t, f, "new", 0)
				must(t, m.FailSync("d/old"))
				write(t, f, "new", 0)
				must(t, f.Sync())
			},
			disk{"d/old": "new"}, disk{"d/old": "new"},
		},
		"damage is durable": {
			func(t *testing.T, m *Mem) {
				write(t, open(t, m, "d/old"), "unsynced", 0)
				must(t, m.WriteFile("d/old", []byte("damage")))
				must(t, m.WriteFile("e/f/new", []byte("new")))
			},
			disk{"d/old": "damage", "e/f/new": "new"}, disk{"d/old": "damage", "e/f/new": "new"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemWith(t, "d")
			must(t, m.WriteFile("d/old", []byte("old")))
			c.run(t, m)
			before := contents(t, m)
			killed := m.Clone()
			for name, of := range map[string]*Mem{"the disk": m, "its clone": killed} {
				t.Log(name)
				wantDisk(t, of.Crash(Crash{Keep: 0, Seed: 1}), c.nothing)
				wantDisk(t, of.Crash(Crash{Keep: 1, Seed: 1}), c.everything)
				wantDisk(t, of, before) // goes on unharmed
			}
			// What a power loss left is durable.
			wantDisk(t, m.Crash(Crash{Keep: 1}).Crash(Crash{Keep: 0}), c.everything)
		})
	}
}

func open(t *testing.T, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// A file of two durable and three new sectors, written over several times: every sector and the
// length must be among the legal ones, whatever the seed, and every legal one must turn up.
func TestCrashSectors(t *testing.T) {
	t.Parallel()
	fill := func(b byte, n int) string { return strings.Repeat(string(b), n) }
	m := newMemWith(t, "d")
	f := create(t, m, "d/f", fill('a', 900))
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	write(t, f, fill('b', 512), 512) // to 1024
	write(t, f, fill('c', 100), 512)
	write(t, f, fill('d', 1000), 1300) // to 2300
	legal := []map[string]bool{
		{fill('a', 512): true},
		{
			fill('a', 388) + fill(0, 124):   true,
			fill('b', 512):                  true,
			fill('c', 100) + fill('b', 412): true,
		},
		{fill(0, 512): true, fill(0, 276) + fill('d', 236): true},
		{fill(0, 512): true, fill('d', 512): true},
		{fill(0, 512): true, fill('d', 252) + fill(0, 260): true},
	}
	seen := map[string]bool{}
	for seed := range uint64(400) {
		crash := Crash{Seed: seed, Keep: 0.5}
		p, err := m.Crash(crash).ReadFile("d/f")
		must(t, err)
		if again, _ := m.Crash(crash).ReadFile("d/f"); !bytes.Equal(again, p) {
			t.Fatalf("seed %d gives two results", seed)
		}
		if len(p) < 900 || len(p) > 2300 {
			t.Fatalf("seed %d: length %d", seed, len(p))
		}
		switch len(p) {
		case 900, 1024, 2300:
			seen[fill('#', len(p))] = true
		default:
			seen["other"] = true
		}
		for i := 0; i*512 < len(p); i++ {
			s := string(p[i*512 : min(len(p), i*512+512)])
			ok := false
			for version := range legal[i] {
				if version[:len(s)] == s {
					ok = true
					if len(s) == 512 || i == 4 && len(s) == 252 {
						seen[string(rune('0'+i))+version] = true
					}
				}
			}
			if !ok {
				t.Fatalf("seed %d: sector %d is %q", seed, i, s)
			}
		}
		// Nothing must come back from beyond the end when the file grows again.
		lost := m.Crash(crash)
		write(t, open(t, lost, "d/f"), "e", 2400)
		q, err := lost.ReadFile("d/f")
		must(t, err)
		if !bytes.Equal(q[:len(p)], p) || len(bytes.Trim(q[len(p):2400], "\x00")) != 0 {
			t.Fatalf("seed %d: growing the file changed it or brought bytes back", seed)
		}
	}
	if want := 1 + 3 + 2 + 2 + 2 + 4; len(seen) != want {
		t.Errorf("%d different sectors and lengths seen, want %d", len(seen), want)
	}
}

func TestCrashGarbage(t *testing.T) {
	t.Parallel()
	m := newMemWith(t, "d")
	f := create(t, m, "d/f", strings.Repeat("a", 4*512))
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	write(t, f, strings.Repeat("b", 512), 512)
	kinds := map[string]int{}
	for seed := range uint64(200) {
		p, err := m.Crash(Crash{Seed: seed, Keep: 0.5, Garbage: true}).ReadFile("d/f")
		must(t, err)
		if string(p[:512])+string(p[1024:]) != strings.Repeat("a", 3*512) {
			t.Fatalf("seed %d: a sector that was not written changed", seed)
		}
		s := string(p[512:1024])
		switch as, bs := strings.Count(s, "a"), strings.Count(s, "b"); {
		case as == 512:
			kinds["old"]++
		case bs == 512:
			kinds["new"]++
		case as+bs == 512 && strings.HasSuffix(s, strings.Repeat("a", as)):
			kinds["torn"]++
		case as+bs < 50:
			kinds["random"]++
		default:
			t.Fatalf("seed %d: sector is %q", seed, s)
		}
	}
	if len(kinds) != 4 {
		t.Errorf("found %v, want old, new, torn and random", kinds)
	}
}

// Garbage in a sector that also holds synced bytes stays between the first and the last byte that
// was changed.
func TestCrashGarbageSparesItsNeighbors(t *testing.T) {
	t.Parallel()
	m := newMemWith(t, "d")
	f := create(t, m, "d/f", strings.Repeat("a", 512))
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	write(t, f, "bb", 200)
	write(t, f, "aacca", 296) // changes 298 and 299
	first, end := 512, 0
	for seed := range uint64(300) {
		p, err := m.Crash(Crash{Seed: seed, Keep: 0.5, Garbage: true}).ReadFile("d/f")
		must(t, err)
		for i, b := range p {
			if b != 'a' && b != 'b' && b != 'c' {
				first, end = min(first, i), max(end, i+1)
			}
		}
	}
	if first != 200 || end != 300 {
		t.Errorf("garbage in bytes %d to %d, want 200 to 300", first, end)
	}
}

// Random subsets of directory changes: what may be found, and all of it is.
func TestCrashNames(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		run  func(t *testing.T, m *Mem)
		want []string // listings, names joined with their content
	}{
		"rename": {
			func(t *testing.T, m *Mem) { must(t, m.Rename("d/a", "d/b")) },
			[]string{"a=A", "b=A", "a=A b=A"},
		},
		"create and remove": {
			func(t *testing.T, m *Mem) { must(t, create(t, m, "d/b", "B").Sync()); must(t, m.Remove("d/a")) },
			[]string{"", "a=A", "b=B", "a=A b=B"},
		},
		"new file renamed": {
			func(t *testing.T, m *Mem) { must(t, create(t, m, "d/b", "B").Sync()); must(t, m.Rename("d/b", "d/c")) },
			[]string{"a=A", "a=A b=B", "a=A c=B", "a=A b=B c=B"},
		},
		"freed name taken": { // the file that gave its name away must stay under one name
			func(t *testing.T, m *Mem) { must(t, m.Rename("d/a", "d/b")); must(t, create(t, m, "d/a", "C").Sync()) },
			[]string{"a=A", "b=A", "a=A b=A", "a=C b=A"},
		},
		"replaced": { // never neither
			func(t *testing.T, m *Mem) { must(t, create(t, m, "d/b", "B").Sync()); must(t, m.Rename("d/b", "d/a")) },
			[]string{"a=A", "a=A b=B", "a=B", "a=B b=B"},
		},
		"exchanged": { // both names, or none
			func(t *testing.T, m *Mem) {
				must(t, m.WriteFile("d/b", []byte("B")))
				must(t, m.Exchange("d/a", "d/b"))
			},
			[]string{"a=A b=B", "a=B b=A"},
		},
		"exchanged with a new directory": { // whose name may be lost, and then nothing was exchanged
			func(t *testing.T, m *Mem) {
				must(t, m.Mkdir("d/x"))
				must(t, create(t, m, "d/x/f", "F").Sync())
				must(t, m.SyncDir("d/x"))
				must(t, m.Exchange("d/a", "d/x"))
			},
			[]string{"a=A", "a=A x/f=F", "a/f=F x=A"},
		},
		"directory emptied and removed": {
			func(t *testing.T, m *Mem) {
				must(t, m.WriteFile("d/x/f", []byte("F")))
				must(t, m.Remove("d/x/f"))
				must(t, m.Remove("d/x"))
			},
			[]string{"a=A", "a=A x/f=F"},
		},
		"directory renamed twice": {
			func(t *testing.T, m *Mem) {
				must(t, m.Remove("d/a"))
				must(t, m.MkdirAll("d/x"))
				must(t, m.WriteFile("d/x/f", []byte("F")))
				must(t, m.SyncDir("d"))
				must(t, m.Rename("d/x", "d/y"))
				must(t, m.Rename("d/y", "d/z"))
			},
			[]string{"x/f=F", "y/f=F", "z/f=F"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemWith(t, "d")
			must(t, m.WriteFile("d/a", []byte("A")))
			c.run(t, m)
			seen := map[string]bool{}
			for seed := range uint64(200) {
				lost := m.Crash(Crash{Seed: seed, Keep: 0.5})
				var listing []string
				for name, content := range contents(t, lost) {
					listing = append(listing, strings.TrimPrefix(name, "d/")+"="+content)
				}
				slices.Sort(listing)
				seen[strings.Join(listing, " ")] = true
			}
			got := slices.Sorted(maps.Keys(seen))
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// After a crash that found a file under both names the names are one file.
func TestCrashBothNames(t *testing.T) {
	t.Parallel()
	m := newMemWith(t, "d")
	must(t, m.WriteFile("d/a", []byte("A")))
	must(t, m.Rename("d/a", "d/b"))
	for seed := range uint64(100) {
		lost := m.Crash(Crash{Seed: seed, Keep: 0.5})
		if len(lost.Files()) < 2 {
			continue
		}
		lost = lost.Clone()
		write(t, open(t, lost, "d/a"), "B", 0)
		must(t, lost.Remove("d/a"))
		wantDisk(t, lost, disk{"d/b": "B"})
		wantDisk(t, m, disk{"d/b": "A"})
		return
	}
	t.Error("no seed of 100 gave both names")
}

func TestFailSyncOfNothing(t *testing.T) {
	t.Parallel()
	m := newMemWith(t, "d")
	wantErr(t, m.FailSync(path.Join("d", "none")), fs.ErrNotExist)
}
