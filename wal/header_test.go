package wal

import (
	"errors"
	"hash/crc32"
	"math"
	"testing"
)

// A header whose checksum is right may have any length, since whoever writes to the file can make
// one: what does not fit, or is no record's, is never read.
func TestRecordLengthIsBounded(t *testing.T) {
	t.Parallel()
	const seed = 7
	for _, test := range []struct {
		length uint32
		room   int64
		want   error
	}{
		{1, recordSize(1), nil},
		{maxPayload, recordSize(maxPayload), nil},
		{0, recordSize(maxPayload), errRecordLength},
		{9, recordSize(8), errRecordLength},
		{maxPayload, recordSize(maxPayload) - 1, errRecordLength},
		{maxPayload + 1, 1 << 40, errRecordLength},
		{math.MaxInt32, 1 << 40, errRecordLength},
		{math.MaxUint32, 1 << 40, errRecordLength},
	} {
		b := make([]byte, recordSize(1))
		encodeRecord(b, typeBatch, seed, 0, 2, 1, 0, []byte("x"))
		le.PutUint32(b, test.length)
		le.PutUint32(b[36:], crc32.Update(seed, castagnoli, b[:36]))
		h, err := knownFormats().first().decodeRecordHeader(b, seed, test.room)
		if !errors.Is(err, test.want) || err == nil && h.length != test.length {
			t.Errorf("a length of %d with room for %d bytes: %d, %v, want %v", test.length, test.room, h.length,
				err, test.want)
		}
	}
}
