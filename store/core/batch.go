package core

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/bits"
)

// Change is one absolute step of one topic, from (Epoch, Sum): a count that hands out Sum+1 …
// Sum+N, or with N 0 a reset that ends the epoch. docs/storage.md, "A batch", has its bytes.
type Change struct {
	Topic []byte
	Epoch uint64
	Sum   uint64
	N     uint64

	// Not on the disk: what the sequencer knows already, to spare the machine a second look-up.
	hash uint64
	ref  uint32 // id+1 of the topic's entry; 0 = not known
}

// Before is the state that the change starts from.
func (c *Change) Before() Value { return Value{Sum: c.Sum, Epoch: c.Epoch} }

// After is the state that the change leads to.
func (c *Change) After() Value {
	if c.N == 0 {
		return Value{Epoch: c.Epoch + 1}
	}
	return Value{Sum: c.Sum + c.N, Epoch: c.Epoch}
}

// Step is the one rule of every replay: what a change makes of a topic that is at a state.
//
// held says that the topic has the change in it already: a later epoch has every change of an
// earlier one, and a sum has every count up to it. after is then that state. A change that is not
// held must start from just that state. follows is false for one that does not: something is
// damaged or missing, and after is what the change says of itself.
//
// So it does not matter whether a record is applied over a state from before it or from after it,
// as the entries of a snapshot may be; and each record checks the one before it.
func (c *Change) Step(at Value) (after Value, held, follows bool) {
	if c.Epoch < at.Epoch || c.N > 0 && c.Epoch == at.Epoch && c.Sum+c.N <= at.Sum {
		return at, true, true
	}
	return c.After(), false, at == c.Before()
}

// batch is the type of the records that changes are in. A later type is encoded and decoded here;
// package wal has to know a format version whose segments have it.
const batch = 1

const (
	// MaxTopicLen is the longest topic in bytes: what a record's format and the protocol hold.
	MaxTopicLen = 65535
	// MaxChangeLen is the most bytes that a change may take besides its topic.
	MaxChangeLen = 3 + 3*binary.MaxVarintLen64
	// MaxEpoch is the highest epoch that a topic can have; a reset in it is refused. An entry of
	// the table keeps one bit of its version for itself.
	MaxEpoch = 1<<63 - 1
)

// size is the number of bytes that Append adds.
func (c *Change) size() int {
	n := uvarintLen(uint64(len(c.Topic))<<1) + len(c.Topic) + uvarintLen(c.Epoch) + uvarintLen(c.Sum)
	if c.N > 0 {
		n += uvarintLen(c.N)
	}
	return n
}

func uvarintLen(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }

// Append appends the change as a batch has it.
func (c *Change) Append(b []byte) []byte {
	head := uint64(len(c.Topic)) << 1
	if c.N == 0 {
		head |= 1
	}
	b = binary.AppendUvarint(b, head)
	b = append(b, c.Topic...)
	b = binary.AppendUvarint(b, c.Epoch)
	b = binary.AppendUvarint(b, c.Sum)
	if c.N > 0 {
		b = binary.AppendUvarint(b, c.N)
	}
	return b
}

var errBatchFormat = errors.New("not a batch of changes")

// decodeChange reads the first change in the payload of a record of a type, and returns what
// follows it. The topic is part of b. Whatever b claims is compared with what it has.
func decodeChange(recordType uint8, b []byte) (c Change, rest []byte, err error) {
	if recordType != batch {
		return Change{}, nil, fmt.Errorf("%w: a record of type %d", errBatchFormat, recordType)
	}
	head, n := binary.Uvarint(b)
	if n <= 0 {
		return Change{}, nil, fmt.Errorf("%w: no head", errBatchFormat)
	}
	b = b[n:]
	topicLen := head >> 1
	if topicLen > MaxTopicLen || topicLen > uint64(len(b)) {
		return Change{}, nil, fmt.Errorf("%w: a topic of %d bytes", errBatchFormat, topicLen)
	}
	c.Topic, b = b[:topicLen:topicLen], b[topicLen:]
	fields := []*uint64{&c.Epoch, &c.Sum, &c.N}
	if head&1 == 1 {
		fields = fields[:2]
	}
	for _, f := range fields {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Change{}, nil, fmt.Errorf("%w: cut off", errBatchFormat)
		}
		*f, b = v, b[n:]
	}
	if head&1 == 0 && (c.N == 0 || c.Sum > math.MaxUint64-c.N) {
		return Change{}, nil, fmt.Errorf("%w: a count of %d from %d", errBatchFormat, c.N, c.Sum)
	}
	if c.Epoch > MaxEpoch {
		return Change{}, nil, fmt.Errorf("%w: epoch %d", errBatchFormat, c.Epoch)
	}
	return c, b, nil
}

// Changes yields the changes in the payload of a record of a type, in their order. A topic is part
// of payload. What is no batch of changes is an error, which ends the loop.
func Changes(recordType uint8, payload []byte) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if len(payload) == 0 {
			yield(Change{}, errBatchFormat)
			return
		}
		for rest := payload; len(rest) > 0; {
			var c Change
			var err error
			if c, rest, err = decodeChange(recordType, rest); err != nil {
				yield(Change{}, err)
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}
