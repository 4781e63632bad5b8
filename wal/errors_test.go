package wal

import (
	"errors"
	"testing"
)

// TestCorruptionError: an error names the place as closely as it is known, and says whether it is
// about a file as a whole.
func TestCorruptionError(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		file   string
		offset int64
		index  uint64
		want   string
		whole  bool
	}{
		{"d/wal/0000000000000001.seg", 304, 6,
			"d/wal/0000000000000001.seg is damaged at offset 304 (record 6): it is bad", false},
		{"d/wal/0000000000000001.seg", 16, 0, "d/wal/0000000000000001.seg is damaged at offset 16: it is bad", false},
		{"d/wal/0000000000000001.seg", 0, 0, "d/wal/0000000000000001.seg is damaged at offset 0: it is bad", false},
		{"d/wal", 0, 7, "d/wal is damaged at offset 0 (record 7): it is bad", false},
		{"d/wal", 0, 0, "d/wal: it is bad", true},
		{"d/counters.db", 0, 0, "d/counters.db: it is bad", true},
		{"d/counters.db", 4096, 0, "d/counters.db at offset 4096: it is bad", false},
	} {
		bad := errors.New("it is bad")
		err := &CorruptionError{File: row.file, Offset: row.offset, Index: row.index, Err: bad}
		if err.Error() != row.want || err.Whole() != row.whole || !errors.Is(err, bad) {
			t.Errorf("%s, offset %d, record %d: %q, whole: %t; want %q, %t", row.file, row.offset, row.index,
				err, err.Whole(), row.want, row.whole)
		}
	}
}
