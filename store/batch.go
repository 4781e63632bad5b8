package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// change is one absolute step of one topic, from (epoch, sum): a count that hands out sum+1 … sum+n, or a reset (n = 0) that
// ends the epoch. docs/storage.md, "A batch", has its bytes.
type change struct {
	topic []byte
	epoch uint64
	sum   uint64
	n     uint64

	// Not on the disk: what the sequencer knows already, to spare the machine a second look-up.
	hash uint64
	ref  uint32 // id+1 of the topic's entry; 0 = not known
}

// MaxTopicLen is the longest topic in bytes: what a record's format and the protocol hold.
const MaxTopicLen = 65535

// maxChangeLen is the most bytes a change may take besides its topic.
const maxChangeLen = 3 + 3*binary.MaxVarintLen64

// size is the number of bytes that append adds.
func (c *change) size() int {
	n := uvarintLen(uint64(len(c.topic))<<1) + len(c.topic) + uvarintLen(c.epoch) + uvarintLen(c.sum)
	if c.n > 0 {
		n += uvarintLen(c.n)
	}
	return n
}

func uvarintLen(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }

func (c *change) append(b []byte) []byte {
	head := uint64(len(c.topic)) << 1
	if c.n == 0 {
		head |= 1
	}
	b = binary.AppendUvarint(b, head)
	b = append(b, c.topic...)
	b = binary.AppendUvarint(b, c.epoch)
	b = binary.AppendUvarint(b, c.sum)
	if c.n > 0 {
		b = binary.AppendUvarint(b, c.n)
	}
	return b
}

var errBatchFormat = errors.New("not a batch of changes")

// decodeChange reads the first change of a batch and returns what follows it. The topic is part of b.
func decodeChange(b []byte) (c change, rest []byte, err error) {
	head, n := binary.Uvarint(b)
	if n <= 0 {
		return change{}, nil, fmt.Errorf("%w: no head", errBatchFormat)
	}
	b = b[n:]
	topicLen := head >> 1
	if topicLen > MaxTopicLen || topicLen > uint64(len(b)) {
		return change{}, nil, fmt.Errorf("%w: a topic of %d bytes", errBatchFormat, topicLen)
	}
	c.topic, b = b[:topicLen:topicLen], b[topicLen:]
	fields := []*uint64{&c.epoch, &c.sum, &c.n}
	if head&1 == 1 {
		fields = fields[:2]
	}
	for _, f := range fields {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return change{}, nil, fmt.Errorf("%w: cut off", errBatchFormat)
		}
		*f, b = v, b[n:]
	}
	if head&1 == 0 && (c.n == 0 || c.sum > math.MaxUint64-c.n) {
		return change{}, nil, fmt.Errorf("%w: a count of %d from %d", errBatchFormat, c.n, c.sum)
	}
	if c.epoch > maxEpoch {
		return change{}, nil, fmt.Errorf("%w: epoch %d", errBatchFormat, c.epoch)
	}
	return c, b, nil
}
