package client

import (
	"bytes"
	"fmt"

	"gcd/codec"
)

// What a reply may have. The server's replies are far below; what is above is no reply to our commands.
const (
	maxReplyLine = 4096 // bytes of a line, its end included
	maxDigits    = 20   // of a number: 2^64−1 has as many
)

// reply is the answer to one command.
type reply struct {
	kind   byte   // '+' status, '-' error, ':' number
	number uint64 // of a number
	text   []byte // of a status or an error; part of the bytes it was read from
}

// parseReply reads the reply that b begins with, and returns how many bytes it has. A size of 0 without an error means that
// the reply goes on behind b. It knows what GCD.COUNT, GCD.RESET and PING are answered with, a number also in the form of a
// bulk string, and calls everything else an error: nil, a negative number, arrays, what RESP3 has.
func parseReply(b []byte) (r reply, size int, err error) {
	if len(b) == 0 {
		return reply{}, 0, nil
	}
	kind := b[0]
	if kind != '+' && kind != '-' && kind != ':' && kind != '$' {
		return reply{}, 0, fmt.Errorf("the answer is no RESP that we asked for: it begins with %q", clip(b))
	}
	line, size, err := replyLine(b)
	if err != nil || size == 0 {
		return reply{}, 0, err
	}
	switch line = line[1:]; kind {
	case ':':
		r.number, err = decimal(line)
	case '$':
		var length, digits uint64
		if length, err = decimal(line); err != nil || length > maxDigits {
			return reply{}, 0, fmt.Errorf("the answer is no number: it begins with %q", clip(b))
		}
		end := size + int(length)
		switch rest := b[size:]; {
		case len(rest) < int(length)+2:
			return reply{}, 0, nil
		case rest[length] != '\r' || rest[length+1] != '\n':
			return reply{}, 0, fmt.Errorf("the answer does not end where it says: %q", clip(b))
		}
		digits, err = decimal(b[size:end])
		kind, r.number, size = ':', digits, end+2
	default:
		r.text = line
	}
	if err != nil {
		return reply{}, 0, err
	}
	r.kind = kind
	return r, size, nil
}

// replyLine returns the line that b begins with, without its end, and its size with the end, 0 when the end is not there yet.
func replyLine(b []byte) (line []byte, size int, err error) {
	b = b[:min(len(b), maxReplyLine)]
	end := bytes.IndexByte(b, '\n')
	switch {
	case end < 0 && len(b) == maxReplyLine:
		return nil, 0, fmt.Errorf("the answer has a line of more than %d bytes: %q", maxReplyLine, clip(b))
	case end < 0:
		return nil, 0, nil
	case b[end-1] != '\r': // b[0] is the kind, so there is a byte before
		return nil, 0, fmt.Errorf("the answer has a line that does not end in CR LF: %q", clip(b))
	}
	return b[:end-1], end + 1, nil
}

// decimal reads an unsigned number of 1 to maxDigits digits.
func decimal(digits []byte) (uint64, error) {
	var n uint64
	ok := len(digits) >= 1 && len(digits) <= maxDigits
	for _, d := range digits[:min(len(digits), maxDigits)] {
		next := 10*n + uint64(d-'0')
		// Of at most 20 digits only the last can be too much, and then the first 19 are no smaller than 2^64 / 10.
		ok = ok && d >= '0' && d <= '9' && (n < 1844674407370955161 || n == 1844674407370955161 && d <= '5')
		n = next
	}
	if !ok {
		return 0, fmt.Errorf("the answer is no number from 0 to 2^64−1: %q", clip(digits))
	}
	return n, nil
}

// clip cuts bytes for a message.
func clip(b []byte) []byte { return b[:min(len(b), 32)] }

// refusals are what the errors of a server begin with, for each code that a server may mean by it. The first that fits counts.
// What fits none has the code of a refusal that has none of its own.
var refusals = [...]struct {
	prefix string
	code   codec.Code
}{
	{"ERR unknown command", codec.CodeUnknownOpcode},
	{"ERR topic is too long:", codec.CodeMessageTooLong},
	{"ERR topic is not UTF-8", codec.CodeNotUTF8},
	{"ERR topic is too long", codec.CodeTopicTooLong},
	{"OOM ", codec.CodeTooManyTopics},
	{"ERR increment or decrement would overflow", codec.CodeSumAtMaximum},
	{"BUSY ", codec.CodeTooManyRequests},
	{"ERR max number of clients reached", codec.CodeTooManyConns},
	{"MISCONF stopped", codec.CodeStoppedAfterError},
	{"MISCONF ", codec.CodeNoRoom},
	{"LOADING the server is shutting down", codec.CodeShuttingDown},
	{"LOADING ", codec.CodeLoading},
	{"ERR Protocol error: the command was not complete", codec.CodeNothingArrived},
}

// refusal is the error that a command was answered with.
func refusal(text []byte) error {
	code := codec.CodeMalformed
	for _, r := range refusals {
		if bytes.HasPrefix(text, []byte(r.prefix)) {
			code = r.code
			break
		}
	}
	// As if it had come over the protocol: the text is cut, or dropped where a terminal should not see it.
	reply, _ := codec.ParseReply(append([]byte{byte(codec.OpRefusal), byte(code)}, text...)) // with a code it is a refusal
	return refused(reply)
}
