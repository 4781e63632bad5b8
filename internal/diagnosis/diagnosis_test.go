package diagnosis

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gcd/wal"
)

// TestDamage: the commands that a hint names have the directory that the damage is in, as one
// word of a shell.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err error // of damage
		dir string
	}{
		{&wal.CorruptionError{File: "data/wal/0000000000000001.seg"}, "data"},
		{fmt.Errorf("verifying: %w", &wal.CorruptionError{File: "/var/lib/gcd/wal/0000000000000001.seg"}),
			"/var/lib/gcd"},
		{&wal.CorruptionError{File: "/wal/wal"}, "/wal"},
		{&wal.CorruptionError{File: "/wal/counters.db"}, "/wal"},
		{&wal.CorruptionError{File: "counters.db"}, "."},
		{&wal.CorruptionError{File: "/var/a b/counters.db"}, "'/var/a b'"},
		{&wal.CorruptionError{File: "/var/a'b$(rm)/counters.db"}, "DIR"},
		{&wal.CorruptionError{}, "DIR"},
	} {
		hint := Of(test.err, Hints{Damage: "keep it"}).Hint
		want := fmt.Sprintf(`keep it; "gcd-tool verify %s" says what is damaged, `+
			`"gcd-tool repair %s" what can be saved; `, test.dir, test.dir)
		if !strings.HasPrefix(hint, want) {
			t.Errorf("%v: %s, want %s", test.err, hint, want)
		}
	}
}

// TestOther: an error that is about no directory has no diagnosis.
func TestOther(t *testing.T) {
	t.Parallel()
	if f := Of(errors.New("other"), Hints{}); f != nil {
		t.Errorf("it ends with %d: %s", f.Code, f.Hint)
	}
}
