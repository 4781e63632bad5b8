package codec

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Request is a COUNT or a RESET.
type Request struct {
	Op    Op     // OpCount or OpReset
	Topic []byte // UTF-8, at most MaxTopic bytes, may be empty
}

// ParseRequest decodes a whole message. The request's Topic is part of msg, not a copy. Every error
// is a *RefusalError, comes with the zero Request, and costs no allocation.
func ParseRequest(msg []byte) (Request, error) {
	if len(msg) == 0 {
		return Request{}, errEmpty
	}
	op, topic := Op(msg[0]), msg[1:]
	if op != OpCount && op != OpReset {
		return Request{}, errUnknownOpcode
	}
	if err := CheckTopic(topic); err != nil {
		return Request{}, err
	}
	return Request{Op: op, Topic: topic}, nil
}

// CheckTopic returns why bytes can be no topic, or nil.
func CheckTopic(b []byte) *RefusalError {
	if len(b) > MaxTopic {
		return errTooLong
	}
	if !isText(b) {
		return errNotUTF8
	}
	return nil
}

// isText tells whether bytes are UTF-8, which a topic has to be. It is utf8.Valid, and quicker
// where all are ASCII, as they nearly always are.
func isText(b []byte) bool {
	const high = 0x8080808080808080 // the bits that no byte of ASCII has
	var all uint64                  // of words that may overlap
	switch n := len(b); {
	case n >= 8:
		all = binary.LittleEndian.Uint64(b[n-8:])
		for i := 0; i < n-8; i += 8 {
			all |= binary.LittleEndian.Uint64(b[i:])
		}
	case n >= 4:
		all = uint64(binary.LittleEndian.Uint32(b) | binary.LittleEndian.Uint32(b[n-4:]))
	default:
		for _, c := range b {
			all |= uint64(c)
		}
	}
	return all&high == 0 || utf8.Valid(b)
}

// AppendRequest appends a request to dst. What ParseRequest would refuse is not appended: then dst
// comes back as it was, with an error that wraps a *RefusalError. Whether a request of more than
// MaxDatagram bytes goes over UDP is the caller's to decide.
func AppendRequest[T string | []byte](dst []byte, op Op, topic T) ([]byte, error) {
	// The length is looked at first, for nothing of that size should be copied only to be refused.
	var err error = errTooLong
	if len(topic) <= MaxTopic {
		msg := append(append(dst, byte(op)), topic...)
		if _, err = ParseRequest(msg[len(dst):]); err == nil {
			return msg, nil
		}
	}
	return dst, fmt.Errorf("codec: opcode %d with a topic of %d bytes is no request: %w", op, len(topic), err)
}

// shortestSegment is how many bytes every TCP connection over IPv4 carries in one segment. A
// message that is shorter, and was sent by one write, arrives in one piece.
const shortestSegment = 536

// Complete tells whether what a TCP connection has received so far may be answered at once although
// the client has not closed its side; it is to be asked when a read has left the socket empty.
// Nothing on the wire says where a message ends, so this is a rule and not knowledge: from two
// bytes on, and as long as it surely fits into one segment, a message is taken as whole unless it
// ends in the middle of a character. Bytes that can be the beginning of no character are not the
// middle of one: no later byte would mend them. When Complete returns false the caller waits for
// the client to close its side, or for quiet.
//
// A message of more than MaxMessage bytes is complete: whatever follows, it is refused. So a caller
// that keeps at most MaxMessage + 1 bytes has seen enough.
func Complete(msg []byte) bool {
	if len(msg) > MaxMessage {
		return true
	}
	if len(msg) < 2 || len(msg) >= shortestSegment {
		return false
	}
	// The last character begins at the last byte that is no continuation. It has at most four
	// bytes, so if it is incomplete that is one of the last three, and never the opcode.
	for i := len(msg) - 1; i >= max(1, len(msg)-(utf8.UTFMax-1)); i-- {
		if utf8.RuneStart(msg[i]) {
			return utf8.FullRune(msg[i:])
		}
	}
	return true
}
