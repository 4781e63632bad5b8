package resp

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// The bounds of a reply. The server's replies are far below; what is above is none of them.
const (
	// MaxReplyLine is the size of the longest line of a reply in bytes, its end included.
	MaxReplyLine = 4096
	// MaxReplyText is the size of the longest string in bytes.
	MaxReplyText = 1 << 18
)

// Reply is what a command is answered with, or a part of it: an array is a Reply, and each of its
// elements is one that follows it.
type Reply struct {
	Kind   byte   // '+' status, '-' error, ':' number, '$' string, '_' null, '*' array
	Number uint64 // of a number; of an array, how many elements follow
	Text   []byte // of a status, an error or a string; a part of the bytes that were parsed
}

// ParseReply parses the reply at the beginning of b and returns its length in bytes, or 0 if it is
// not whole: then there have to be more bytes in the next call. It never asks for more than the
// bounds, and it allocates nothing but errors. It knows what a client of version 2 is answered with
// that counts; anything else is an error: numbers below zero, and what only version 3 has.
func ParseReply(b []byte) (r Reply, n int, err error) {
	if len(b) == 0 {
		return Reply{}, 0, nil
	}
	kind := b[0]
	switch kind {
	case '+', '-', ':', '$', '*':
	default:
		return Reply{}, 0, fmt.Errorf("the answer is no RESP that we asked for: it begins with %q", clip(b))
	}
	end := bytes.IndexByte(b[:min(len(b), MaxReplyLine)], '\n')
	if end < 0 || b[end-1] != '\r' { // b[0] is the kind, so there is a byte before
		return Reply{}, 0, noLine(b, end)
	}
	line, n := b[1:end-1], end+1
	if kind == '+' || kind == '-' {
		return Reply{Kind: kind, Text: line}, n, nil
	}
	if kind == '$' && string(line) == "-1" {
		return Reply{Kind: '_'}, n, nil
	}
	number, ok := decimal(line)
	switch {
	case !ok:
		return Reply{}, 0, noNumber(line)
	case kind == '$':
		return replyText(b, n, number)
	}
	return Reply{Kind: kind, Number: number}, n, nil
}

// noLine is the error where b does not begin with a line, whose feed is at end, nil while one may
// come.
func noLine(b []byte, end int) error {
	switch {
	case end >= 0:
		return fmt.Errorf("the answer has a line that does not end in CR LF: %q", clip(b))
	case len(b) >= MaxReplyLine:
		return fmt.Errorf("the answer has a line of more than %d bytes: %q", MaxReplyLine, clip(b))
	}
	return nil
}

// Uint is the value of a number, or of the decimal digits of a string, as GCD.COUNT answers.
func (r Reply) Uint() (uint64, error) {
	switch r.Kind {
	case ':':
		return r.Number, nil
	case '$':
		if n, ok := decimal(r.Text); ok {
			return n, nil
		}
		return 0, noNumber(r.Text)
	}
	return 0, errors.New("the answer is no number")
}

// replyText is a string of so many bytes that begins at from.
func replyText(b []byte, from int, size uint64) (r Reply, n int, err error) {
	if size > MaxReplyText {
		return Reply{}, 0, fmt.Errorf("the answer is a string of more than %d bytes: it begins with %q",
			MaxReplyText, clip(b))
	}
	end := from + int(size)
	switch {
	case len(b) < end+2:
		return Reply{}, 0, nil
	case b[end] != '\r' || b[end+1] != '\n':
		return Reply{}, 0, fmt.Errorf("the answer does not end where it says: %q", clip(b))
	}
	return Reply{Kind: '$', Text: b[from:end]}, end + 2, nil
}

const maxDigits = 20 // of a number: 2^64−1 has as many

// decimal reads an unsigned number of 1 to maxDigits digits.
func decimal(digits []byte) (n uint64, ok bool) {
	if len(digits) < 1 || len(digits) > maxDigits {
		return 0, false
	}
	for i, c := range digits {
		d := uint64(c - '0')
		if d > 9 || i == maxDigits-1 && n > (math.MaxUint64-d)/10 { // fewer digits are never too much
			return 0, false
		}
		n = 10*n + d
	}
	return n, true
}

func noNumber(digits []byte) error {
	return fmt.Errorf("the answer is no number from 0 to 2^64−1: %q", clip(digits))
}

// clip cuts bytes for a message.
func clip(b []byte) []byte { return b[:min(len(b), 32)] }
