package wal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// Sizes and numbers of format version 1. docs/storage.md holds the boxes; a change here is a new version.
const (
	formatVersion = 1

	segmentHeaderSize = 64
	recordHeaderSize  = 40
	alignment         = 8    // records begin at multiples of it
	sizeUnit          = 4096 // segment sizes are multiples of it
	minSegmentSize    = 2 * sizeUnit
	maxPayload        = 1 << 20
	smallestRecord    = recordHeaderSize + alignment

	typeBatch = 1
)

var (
	magic      = []byte("gcdwal\r\n")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian
)

// An ID is the UUID of a store. Each checksum of a log is seeded with it.
type ID [16]byte

// NewID returns a random (version 4) UUID.
func NewID() (ID, error) {
	var id ID
	if _, err := rand.Read(id[:]); err != nil {
		return ID{}, fmt.Errorf("store UUID: %w", err)
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}

// String is the usual form: 8-4-4-4-12 hexadecimal digits.
func (id ID) String() string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// segmentHeader is the first 64 bytes of a segment.
type segmentHeader struct {
	store    ID
	number   uint64 // also the file's name
	first    uint64 // index of the first record
	size     int64  // of the file
	previous uint32 // link of the last record before this segment; 0 in the first segment of a log
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, magic)
	le.PutUint32(b[8:], formatVersion)
	copy(b[16:], h.store[:])
	le.PutUint64(b[32:], h.number)
	le.PutUint64(b[40:], h.first)
	le.PutUint64(b[48:], uint64(h.size))
	le.PutUint32(b[56:], h.previous)
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// decodeSegmentHeader looks at magic, version and checksum in this order, since each says how far the rest may be
// trusted. The error is ErrNotOurs, ErrVersion (both wrapped) or one that tells of damage: magic and version are not another's if the checksum is
// that of ours.
func decodeSegmentHeader(b []byte) (segmentHeader, error) {
	begin := le.AppendUint32(slices.Clone(magic), formatVersion)
	ours := crc32.Update(crc32.Checksum(begin, castagnoli), castagnoli, b[len(begin):60]) == le.Uint32(b[60:])
	if !bytes.Equal(b[:8], magic) && !ours {
		return segmentHeader{}, fmt.Errorf("%w: %q", ErrNotOurs, b[:8])
	}
	if v := le.Uint32(b[8:]); v != formatVersion && !ours {
		return segmentHeader{}, fmt.Errorf("%w %d: this program knows version %d", ErrVersion, v, formatVersion)
	}
	if ours && !bytes.Equal(b[:len(begin)], begin) {
		return segmentHeader{}, fmt.Errorf("segment header begins with %x, should with %x: its checksum is that of version %d", b[:len(begin)], begin, formatVersion)
	}
	if sum := crc32.Checksum(b[:60], castagnoli); sum != le.Uint32(b[60:]) {
		return segmentHeader{}, fmt.Errorf("segment header checksum is %08x, should be %08x", le.Uint32(b[60:]), sum)
	}
	if flags := le.Uint32(b[12:]); flags != 0 {
		return segmentHeader{}, fmt.Errorf("%w %d with flags %#x: this program knows version %d without flags",
			ErrVersion, formatVersion, flags, formatVersion)
	}
	h := segmentHeader{
		store:    ID(b[16:32]),
		number:   le.Uint64(b[32:]),
		first:    le.Uint64(b[40:]),
		size:     int64(le.Uint64(b[48:])),
		previous: le.Uint32(b[56:]),
	}
	if h.first == 0 || h.size < minSegmentSize || h.size%sizeUnit != 0 {
		return segmentHeader{}, fmt.Errorf("segment header makes no sense: first record %d, size %d", h.first, h.size)
	}
	return h, nil
}

// seedSum is the state of every checksum in the segment after the seed: store UUID and segment number. Bytes of another
// store or segment never validate.
func (h segmentHeader) seedSum() uint32 {
	var seed [24]byte
	copy(seed[:], h.store[:])
	le.PutUint64(seed[16:], h.number)
	return crc32.Checksum(seed[:], castagnoli)
}

// recordHeader is the 40 bytes before a payload.
type recordHeader struct {
	length     int // of the payload, without padding
	index      uint64
	durable    uint64
	time       int64
	payloadSum uint32
	sum        uint32 // of this header; the link that the next record's payload sum begins with
}

// recordSize is what a payload of n bytes takes in a segment: header, payload and padding.
func recordSize(n int) int64 {
	return recordHeaderSize + (int64(n)+alignment-1)&^(alignment-1)
}

// encodeRecord writes the record into b, which is recordSize(len(payload)) long and may hold anything, and returns the
// record's header sum.
func encodeRecord(b []byte, seedSum, link uint32, index, durable uint64, time int64, payload []byte) uint32 {
	le.PutUint32(b[0:], uint32(len(payload)))
	le.PutUint32(b[4:], typeBatch)
	le.PutUint64(b[8:], index)
	le.PutUint64(b[16:], durable)
	le.PutUint64(b[24:], uint64(time))
	clear(b[recordHeaderSize+copy(b[recordHeaderSize:], payload):])
	// The link stands where the header sum will: the payload sum covers both in one pass.
	le.PutUint32(b[36:], link)
	le.PutUint32(b[32:], crc32.Update(seedSum, castagnoli, b[36:]))
	sum := crc32.Update(seedSum, castagnoli, b[:36])
	le.PutUint32(b[36:], sum)
	return sum
}

// Why bytes are not a record header.
var (
	errRecordHeader = errors.New("no record header")
	errRecordLength = errors.New("record length is out of range")
	errHeaderSum    = errors.New("record header checksum does not match")
)

// decodeRecordHeader reads a header from b (40 bytes or more), in a segment that has room bytes left from the header
// on. It does not look at the payload. The cheap questions come first: the search behind a torn tail asks this at every
// eighth byte.
func decodeRecordHeader(b []byte, seedSum uint32, room int64) (recordHeader, error) {
	if le.Uint32(b[4:]) != typeBatch {
		return recordHeader{}, errRecordHeader
	}
	length := le.Uint32(b)
	if length == 0 || length > maxPayload || recordSize(int(length)) > room {
		return recordHeader{}, errRecordLength
	}
	h := recordHeader{
		length:     int(length),
		index:      le.Uint64(b[8:]),
		durable:    le.Uint64(b[16:]),
		time:       int64(le.Uint64(b[24:])),
		payloadSum: le.Uint32(b[32:]),
		sum:        le.Uint32(b[36:]),
	}
	if h.durable >= h.index {
		return recordHeader{}, errRecordHeader
	}
	if crc32.Update(seedSum, castagnoli, b[:36]) != h.sum {
		return recordHeader{}, errHeaderSum
	}
	return h, nil
}

// payloadSum is the checksum that a header holds of its payload. link is 4 bytes: the header sum of the record before.
func payloadSum(seedSum uint32, link, paddedPayload []byte) uint32 {
	return crc32.Update(crc32.Update(seedSum, castagnoli, link), castagnoli, paddedPayload)
}
