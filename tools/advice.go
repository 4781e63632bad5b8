package tools

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"gcd/store"
	"gcd/wal"
)

// What the programs advise where an error of a store's directory is told.

// HintByteOrder is for store.ErrByteOrder.
const HintByteOrder = `move it as a dump: "gcd-tool dump" on a machine of the kind that made it, and "gcd-tool ` +
	`restore" here; nothing was changed`

// HintDamage is for the damage of a store's directory: which commands say more of it.
func HintDamage(err error) string {
	dir := shellWord(damaged(err))
	return fmt.Sprintf(`"gcd-tool verify %s" says what is damaged, "gcd-tool repair %s" what can be saved; `+
		`"Damage" in docs/operations.md has the steps`, dir, dir)
}

// damaged is the directory that an error of damage is about; DIR if it says none.
func damaged(err error) string {
	var damage *wal.CorruptionError
	if !errors.As(err, &damage) || damage.File == "" {
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
