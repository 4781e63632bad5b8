package tools

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"gcd/store"
	"gcd/wal"
)

// TestVerifyHarmless: damage that no sum depends on is said to be so, and to go with compact; and
// it does.
func TestVerifyHarmless(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, dir string){
		"history": func(t *testing.T, dir string) {
			// the first byte of its first payload
			flip(t, filepath.Join(store.LogDir(dir), "0000000000000002.seg"), 64+40)
		},
		"the older of bbolt's first two pages": func(t *testing.T, dir string) {
			path := store.SnapshotPath(dir)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			size, transaction := os.Getpagesize(), 16+48
			older := b[:size]
			if binary.NativeEndian.Uint64(b[size+transaction:]) < binary.NativeEndian.Uint64(b[transaction:]) {
				older = b[size : 2*size]
			}
			clear(older)
			overwrite(t, path, b)
		},
		"after the end": func(t *testing.T, dir string) {
			flip(t, lastSegment(t, dir), fileSize(t, lastSegment(t, dir))-roomAfterEnd(t, dir)+100)
		},
	} {
		for _, compacted := range []bool{false, true} {
			if compacted && name == "history" {
				continue // there is none
			}
			dir := closedStore(t, seeded(t), 400, 100)
			for roomAfterEnd(t, dir) <= 100 {
				dir = closedStore(t, seeded(t), 400, 100)
			}
			if compacted {
				if _, err := Compact(t.Context(), dir, CompactOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			want := servedSums(t, dir)
			damage(t, dir)
			if v := verified(t, dir, VerifyOptions{}); v.Err() == nil || !v.Starts || !v.Harmless {
				t.Errorf("%s, compacted %t: %+v", name, compacted, v)
			}
			if plan, err := Repair(t.Context(), dir, RepairOptions{AcceptLoss: true}); err != nil || !plan.Needless {
				t.Errorf("%s, compacted %t: %+v, %v", name, compacted, plan, err)
			}
			if _, err := Compact(t.Context(), dir, CompactOptions{}); err != nil {
				t.Error(err)
			}
			if v := verified(t, dir, VerifyOptions{}); v.Err() != nil || v.Harmless || !v.Starts {
				t.Errorf("%s, compacted %t: %v is left", name, compacted, v.Err())
			}
			if got := servedSums(t, dir); !maps.Equal(got, want) {
				t.Errorf("%s, compacted %t: %v is served, want %v", name, compacted, got, want)
			}
		}
	}
}

// roomAfterEnd is how many bytes the last segment has after the last record.
func roomAfterEnd(t *testing.T, dir string) int64 {
	t.Helper()
	log, err := wal.Open(store.LogDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	return fileSize(t, lastSegment(t, dir)) - log.Tail().Offset
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestVerifyMisfits: where files do not go together verify says of each what it holds, and which
// one is missing.
func TestVerifyMisfits(t *testing.T) {
	t.Parallel()
	intact := closedStoreOf(t, seeded(t), 350, 40, false)
	for _, row := range []struct {
		name   string
		damage func(t *testing.T, dir string) error
		want   VerifiedFile // the one with the damage
	}{
		{"no log", func(_ *testing.T, dir string) error { return os.RemoveAll(store.LogDir(dir)) },
			VerifiedFile{Name: "wal", Missing: true}},
		{"no snapshot", func(_ *testing.T, dir string) error {
			return errors.Join(os.Remove(store.SnapshotPath(dir)),
				os.Remove(filepath.Join(store.LogDir(dir), "0000000000000001.seg")))
		}, VerifiedFile{Name: "counters.db", Missing: true}},
		{"another store's log", func(t *testing.T, dir string) error {
			return errors.Join(os.RemoveAll(store.LogDir(dir)),
				os.CopyFS(store.LogDir(dir), os.DirFS(store.LogDir(closedStore(t, seeded(t), 20, 0)))))
		}, VerifiedFile{Name: "wal", First: 1, Last: 20, Records: 20}},
		{"no end of the log", func(t *testing.T, dir string) error { return os.Remove(lastSegment(t, dir)) },
			VerifiedFile{Name: filepath.Join("wal", "0000000000000002.seg")}},
	} {
		dir := copyTree(t, intact)
		if err := row.damage(t, dir); err != nil {
			t.Fatal(err)
		}
		v := verified(t, dir, VerifyOptions{})
		damages := 0
		for _, f := range v.Files {
			if damages += f.Damages; f.Damages > 0 && (f.Name != row.want.Name || f.Missing != row.want.Missing ||
				row.want.Records > 0 && f.Records != row.want.Records) {
				t.Errorf("%s: damaged is %+v, want %+v", row.name, f, row.want)
			}
			if f.Name == "counters.db" && !f.Missing && f.Entries != 30 {
				t.Errorf("%s: the snapshot has %d topics, want 30", row.name, f.Entries)
			}
		}
		if damages != 1 || v.Starts || v.Harmless {
			t.Errorf("%s: found was %+v, want one damage that is not harmless", row.name, v)
		}
	}
}
