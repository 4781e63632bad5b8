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

// Sizes and numbers that all format versions have in common. docs/storage.md holds the boxes.
const (
	segmentHeaderSize = 64
	recordHeaderSize  = 40
	alignment         = 8    // records begin at multiples of it
	sizeUnit          = 4096 // segment sizes are multiples of it
	minSegmentSize    = 2 * sizeUnit
	maxPayload        = 1 << 20
	smallestRecord    = recordHeaderSize + alignment
)

// Types of records. 0 is never one: zeros are the end.
const typeBatch = 1

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

// A format is what the segments of one version may hold. Their headers are the same in every
// version: that is where the version is read. Each version has the record types of the one before
// it, and perhaps more. A program that knows a version reads all of its types: a record of a type
// that it did not know would look to it like the end of the log, and a start would write zeros over
// it.
type format struct {
	version uint32
	types   uint32 // records have types 1 to this
}

// has says whether the segments may have records of a type.
func (f format) has(recordType uint8) bool { return recordType > 0 && uint32(recordType) <= f.types }

// formats are those that a program knows, by version. A log may have segments of several, in any
// order, and goes on in the version that its last segment has.
type formats []format

// knownFormats is where a new version comes in, as the last one; docs/storage.md says what it has.
func knownFormats() formats { return formats{{version: 1, types: typeBatch}} }

// first is the version that new logs have: as long as nothing needs a later one, an older program
// can read them.
func (k formats) first() format { return k[0] }

// newest has the types of all.
func (k formats) newest() format { return k[len(k)-1] }

// known says in words which versions there are.
func (k formats) known() string {
	if first, newest := k.first().version, k.newest().version; first != newest {
		return fmt.Sprintf("versions %d to %d", first, newest)
	}
	return fmt.Sprintf("version %d", k.first().version)
}

// segmentHeader is the first 64 bytes of a segment.
type segmentHeader struct {
	format   format
	store    ID
	number   uint64 // also the file's name
	first    uint64 // index of the first record
	size     int64  // of the file
	previous uint32 // link of the last record before this segment; 0 in the first segment of a log
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, magic)
	le.PutUint32(b[8:], h.format.version)
	copy(b[16:], h.store[:])
	le.PutUint64(b[32:], h.number)
	le.PutUint64(b[40:], h.first)
	le.PutUint64(b[48:], uint64(h.size))
	le.PutUint32(b[56:], h.previous)
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// holding is the first format, from one on, whose segments may have records of a type.
func (k formats) holding(recordType uint8, from format) (format, error) {
	for _, f := range k {
		if f.version >= from.version && f.has(recordType) {
			return f, nil
		}
	}
	return format{}, fmt.Errorf("%w: a record of type %d: this program knows %s", ErrVersion, recordType, k.known())
}

// sealed is the format whose version a header was written with, by its checksum: magic and version
// may have been changed since.
func (k formats) sealed(header []byte) (f format, ok bool) {
	for _, f := range k {
		begin := f.begin()
		sum := crc32.Update(crc32.Checksum(begin[:], castagnoli), castagnoli, header[len(begin):60])
		if sum == le.Uint32(header[60:]) {
			return f, true
		}
	}
	return format{}, false
}

// begin is what each segment of the format begins with: magic and version, 12 bytes.
func (f format) begin() (b [12]byte) {
	le.PutUint32(b[copy(b[:], magic):], f.version)
	return b
}

// decodeSegmentHeader reads a header, and with it which format the segment has. It looks at the
// checksum first: where that is the one of a version that is known, other bytes in magic or version
// are damage. Where it is not, magic and version say whose file that is. The error is ErrNotOurs,
// ErrVersion (both wrapped) or one that tells of damage.
func (k formats) decodeSegmentHeader(b []byte) (segmentHeader, error) {
	f, ours := k.sealed(b)
	if !ours {
		return segmentHeader{}, k.unsealed(b)
	}
	if begin := f.begin(); !bytes.Equal(b[:len(begin)], begin[:]) {
		const text = "segment header begins with %x, should with %x: its checksum is that of version %d"
		return segmentHeader{}, fmt.Errorf(text, b[:len(begin)], begin, f.version)
	}
	if flags := le.Uint32(b[12:]); flags != 0 {
		return segmentHeader{}, fmt.Errorf("%w %d with flags %#x: this program knows %s without flags",
			ErrVersion, f.version, flags, k.known())
	}
	h := segmentHeader{
		format:   f,
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

// unsealed says what is wrong with a header that has the checksum of no version that is known.
func (k formats) unsealed(b []byte) error {
	if !bytes.Equal(b[:8], magic) {
		return fmt.Errorf("%w: %q", ErrNotOurs, b[:8])
	}
	version := le.Uint32(b[8:])
	if !slices.ContainsFunc(k, func(f format) bool { return f.version == version }) {
		return fmt.Errorf("%w %d: this program knows %s", ErrVersion, version, k.known())
	}
	return fmt.Errorf("segment header checksum is %08x, should be %08x",
		le.Uint32(b[60:]), crc32.Checksum(b[:60], castagnoli))
}

// seedSum is the state of every checksum in the segment after the seed, which is store UUID and
// segment number. So bytes of another store or of another segment are never valid, also where a
// file system hands out old blocks again.
func (h segmentHeader) seedSum() uint32 {
	var seed [24]byte
	copy(seed[:], h.store[:])
	le.PutUint64(seed[16:], h.number)
	return crc32.Checksum(seed[:], castagnoli)
}

// recordHeader is the 40 bytes before a payload.
type recordHeader struct {
	length     uint32 // of the payload, without padding
	recordType uint8
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

// encodeRecord writes the record into b, which has recordSize(len(payload)) bytes and may hold
// anything, and returns the record's header sum. link is the header sum of the record before:
// because the payload's checksum begins with it, a record is valid only after the very record that
// it was written after. So what is left of an earlier life of the log never joins a later one.
func encodeRecord(b []byte, recordType uint8, seedSum, link uint32, index, durable uint64, time int64,
	payload []byte) uint32 {
	le.PutUint32(b[0:], uint32(len(payload)))
	le.PutUint32(b[4:], uint32(recordType))
	le.PutUint64(b[8:], index)
	le.PutUint64(b[16:], durable)
	le.PutUint64(b[24:], uint64(time))
	clear(b[recordHeaderSize+copy(b[recordHeaderSize:], payload):])
	// The link is where the header sum will be, right before the payload: one pass covers both.
	le.PutUint32(b[36:], link)
	le.PutUint32(b[32:], crc32.Update(seedSum, castagnoli, b[36:]))
	sum := crc32.Update(seedSum, castagnoli, b[:36])
	le.PutUint32(b[36:], sum)
	return sum
}

// Why bytes are not the next record.
var (
	errRecordHeader = errors.New("no record header")
	errRecordLength = errors.New("record length is out of range")
	errHeaderSum    = errors.New("record header checksum does not match")
	errPayloadSum   = errors.New("payload checksum does not match, or the record was written after another one")
)

// decodeRecordHeader reads a header from b (40 bytes or more), in a segment that has room bytes
// from the header on. It does not look at the payload, and it can judge a header without the record
// before: recovery needs that. A length is compared with the room before anything of that length is
// read. The cheap questions come first: the search after a torn tail asks this at every eighth
// byte.
func (f format) decodeRecordHeader(b []byte, seedSum uint32, room int64) (recordHeader, error) {
	recordType := le.Uint32(b[4:])
	if recordType == 0 || recordType > f.types {
		return recordHeader{}, errRecordHeader
	}
	length := le.Uint32(b)
	if length == 0 || length > maxPayload || recordSize(int(length)) > room {
		return recordHeader{}, errRecordLength
	}
	h := recordHeader{
		length:     length,
		recordType: uint8(recordType),
		index:      le.Uint64(b[8:]),
		durable:    le.Uint64(b[16:]),
		time:       int64(le.Uint64(b[24:])),
		payloadSum: le.Uint32(b[32:]),
		sum:        le.Uint32(b[36:]),
	}
	if h.durable >= h.index { // no record knows itself to be durable
		return recordHeader{}, errRecordHeader
	}
	if crc32.Update(seedSum, castagnoli, b[:36]) != h.sum {
		return recordHeader{}, errHeaderSum
	}
	return h, nil
}

// payloadSum is the checksum that a header holds of its payload. link is 4 bytes: the header sum of
// the record before.
func payloadSum(seedSum uint32, link, paddedPayload []byte) uint32 {
	return crc32.Update(crc32.Update(seedSum, castagnoli, link), castagnoli, paddedPayload)
}
