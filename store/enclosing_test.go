package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"gcd/store"
)

// A file is within a store by whatever name, and while a file of the store's is missing; other
// programs' directories are none.
func TestEnclosingStore(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	for _, name := range []string{"whole/wal", "whole/deep/er", "lost/wal", "other/wal", "other/deep", "bare"} {
		if err := os.MkdirAll(in(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"whole/LOCK", "whole/counters.db", "lost/counters.db", "bare/LOCK"} {
		if err := os.WriteFile(in(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rows := []struct{ file, known, want string }{
		{"whole/new", "", "whole"},
		{"whole/counters.db", "", "whole"},
		{"whole/wal/new", "", "whole"},
		{"whole/deep/er/new", "", "whole"},
		{"other/../whole/new", "", "whole"},
		{"lost/new", "", "lost"},
		{"lost/wal/new", "", "lost"},
		{"other/new", "", ""},
		{"other/new", "whole", ""},
		{"other/new", "gone", ""},
		{"other/wal/new", "other", "other"},
		{"bare/new", "", ""},
		{"whole", "", ""},
		{"new", "whole", ""},
	}
	if err := os.Symlink(in("whole/wal"), in("link")); err == nil {
		rows = append(rows, struct{ file, known, want string }{"link/new", "", "whole"})
	}
	for _, row := range rows {
		var known []string
		if row.known != "" {
			known = append(known, in(row.known))
		}
		want := ""
		if row.want != "" {
			want = in(row.want)
		}
		if got, err := store.EnclosingStore(in(row.file), known...); got != want || err != nil {
			t.Errorf("%+v: it is in %q, %v, want %q", row, got, err, want)
		}
	}
	if got, err := store.EnclosingStore(in("gone/new")); got != "" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %q, %v", got, err)
	}
}
