// Package diagnosis says what the programs end with, and what they advise, where an error is about
// a store's directory.
package diagnosis

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"gcd/internal/cmdline"
	"gcd/internal/vfs"
	"gcd/store"
	"gcd/store/snapshot"
	"gcd/wal"
)

// Hints are what only the program itself can advise, for the error with the same name.
type Hints struct {
	Damage                                            string // the commands that say more of it follow
	Locked, Busy, Moved, NotRegular, Version, NotOurs string
}

// Of returns the exit code and the hint for an error; nil if it is not about a store's directory.
func Of(err error, h Hints) *cmdline.Failure {
	var (
		damage   *wal.CorruptionError
		dangling *vfs.DanglingError
	)
	switch {
	case errors.Is(err, snapshot.ErrByteOrder):
		return cmdline.Fail(cmdline.ExitForeign, err, `move it as a dump: "gcd-tool dump" on a machine of the kind `+
			`that made it, and "gcd-tool restore" here; nothing was changed`)
	case errors.As(err, &damage):
		return cmdline.Fail(cmdline.ExitCorruption, err, h.Damage+"; "+commands(damage))
	case errors.Is(err, store.ErrLocked):
		return cmdline.Fail(cmdline.ExitLocked, err, h.Locked)
	case errors.Is(err, store.ErrBusy):
		return cmdline.Fail(cmdline.ExitFailure, err, h.Busy)
	case errors.Is(err, store.ErrMoved):
		return cmdline.Fail(cmdline.ExitForeign, err, h.Moved)
	case errors.As(err, &dangling):
		return cmdline.Fail(cmdline.ExitForeign, err,
			"make what the link names, or mount it there; nothing was changed")
	case errors.Is(err, store.ErrNotRegular):
		return cmdline.Fail(cmdline.ExitForeign, err, h.NotRegular)
	case errors.Is(err, wal.ErrVersion):
		return cmdline.Fail(cmdline.ExitForeign, err, h.Version)
	case errors.Is(err, wal.ErrNotOurs):
		return cmdline.Fail(cmdline.ExitForeign, err, h.NotOurs)
	}
	return nil
}

// commands says which commands say more of damage.
func commands(damage *wal.CorruptionError) string {
	dir := shellWord(directory(damage))
	return fmt.Sprintf(`"gcd-tool verify %s" says what is damaged, "gcd-tool repair %s" what can be saved; `+
		`"Damage" in docs/operations.md has the steps`, dir, dir)
}

// directory is the store's directory that damage is in; DIR if the error does not say.
func directory(damage *wal.CorruptionError) string {
	if damage.File == "" {
		return "DIR"
	}
	file, logDir := damage.File, filepath.Base(store.LogDir(""))
	switch {
	case filepath.Base(file) == logDir: // as a whole
		return filepath.Dir(file)
	case filepath.Base(filepath.Dir(file)) == logDir && !strings.HasPrefix(filepath.Base(file),
		filepath.Base(store.SnapshotPath(""))):
		return filepath.Dir(filepath.Dir(file))
	}
	return filepath.Dir(file)
}

// shellWord is a path that a shell takes for one word.
func shellWord(path string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
			strings.ContainsRune("/._-+:@,~=", r)
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	if quoted := strconv.Quote(path); strings.ContainsAny(path, "\"\\$`!") || quoted != `"`+path+`"` {
		return "DIR"
	}
	return "'" + path + "'"
}
