package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrBadReply is what every error of ParseReply wraps: the bytes are no reply of the protocol, so
// what became of the request is not known.
var ErrBadReply = errors.New("codec: not a reply")

// Reply is what a server answers.
type Reply struct {
	Op   Op     // OpCountReply, OpResetReply or OpRefusal
	Sum  uint64 // of a COUNT reply
	Code Code   // of a refusal; may be one that this package does not know
	Text string // of a refusal: printable UTF-8 of at most MaxText bytes, or empty
}

// ParseReply decodes a whole message. A sum has 1 to 8 bytes and any number of leading zeros among
// them. A refusal's text is cut to MaxText bytes, and dropped when it holds anything that should
// not reach a terminal or a log. Every error wraps ErrBadReply and comes with the zero Reply.
func ParseReply(msg []byte) (Reply, error) {
	if len(msg) == 0 {
		return Reply{}, fmt.Errorf("%w: it is empty", ErrBadReply)
	}
	op, data := Op(msg[0]), msg[1:]
	switch op {
	case OpCountReply:
		if len(data) < 1 || len(data) > 8 {
			return Reply{}, fmt.Errorf("%w: a sum of %d bytes, want 1 to 8", ErrBadReply, len(data))
		}
		var sum uint64
		for _, b := range data {
			sum = sum<<8 | uint64(b)
		}
		return Reply{Op: op, Sum: sum}, nil
	case OpResetReply:
		if len(data) != 0 {
			return Reply{}, fmt.Errorf("%w: %d bytes after the answer to a RESET, want none", ErrBadReply, len(data))
		}
		return Reply{Op: op}, nil
	case OpRefusal:
		if len(data) == 0 {
			return Reply{}, fmt.Errorf("%w: a refusal without a code", ErrBadReply)
		}
		// One byte more than MaxText shows whether the cut splits a character.
		text := data[1:min(len(data), 1+MaxText+1)]
		return Reply{Op: op, Code: Code(data[0]), Text: printable(string(text))}, nil
	}
	return Reply{}, fmt.Errorf("%w: it begins with opcode %d", ErrBadReply, op)
}

// AppendCountReply appends the reply to a COUNT: the sum in the fewest bytes that hold it, at least
// one.
func AppendCountReply(dst []byte, sum uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], sum)
	zeros := bits.LeadingZeros64(sum|1) / 8
	dst = append(dst, byte(OpCountReply))
	return append(dst, b[zeros:]...)
}

// AppendResetReply appends the reply to a RESET.
func AppendResetReply(dst []byte) []byte {
	return append(dst, byte(OpResetReply))
}

// AppendRefusal appends a refusal. text is for people and may be empty, as it must be over UDP; it
// is cut to MaxText bytes, and left out when it is not printable UTF-8.
func AppendRefusal(dst []byte, code Code, text string) []byte {
	dst = append(dst, byte(OpRefusal), byte(code))
	return append(dst, printable(text)...)
}

// printable returns text cut at a character's end to at most MaxText bytes, or "" when a part of
// that is not UTF-8 or not printable: the other side of a connection must not be able to drive a
// terminal or to forge a line of a log.
func printable(text string) string {
	if len(text) > MaxText {
		n := MaxText
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return text
}
