package client

import (
	"bytes"
	"errors"
	"fmt"

	"gcd/codec"
)

// What a reply may have. The server's replies are far below; what is above is no reply to our commands.
const (
	maxReplyLine = 4096    // bytes of a line, its end included
	maxDigits    = 20      // of a number: 2^64−1 has as many
	maxText      = 1 << 18 // bytes of a string
)

// reply is the answer to one command, or a part of it: an array is a reply, and each of its
// elements is one behind it.
type reply struct {
	kind   byte   // '+' status, '-' error, ':' number, '$' string, '_' nil, '*' array
	number uint64 // of a number; of an array how many elements follow
	text   []byte // of a status, an error or a string; part of the bytes it was read from
}

// parseReply reads the reply that b begins with, and returns how many bytes it has. A size of 0
// without an error means that the reply goes on behind b. It knows what our commands are answered
// with, and calls everything else an error: negative numbers, and what RESP3 has.
func parseReply(b []byte) (r reply, size int, err error) {
	if len(b) == 0 {
		return reply{}, 0, nil
	}
	kind := b[0]
	switch kind {
	case '+', '-', ':', '$', '*':
	default:
		return reply{}, 0, fmt.Errorf("the answer is no RESP that we asked for: it begins with %q", clip(b))
	}
	line, size, err := replyLine(b)
	if err != nil || size == 0 {
		return reply{}, 0, err
	}
	r.kind = kind
	switch line = line[1:]; {
	case kind == ':' || kind == '*':
		r.number, err = decimal(line)
	case kind == '$' && string(line) == "-1":
		r.kind = '_'
	case kind == '$':
		r.text, size, err = replyString(b, line, size)
	default:
		r.text = line
	}
	if err != nil || size == 0 {
		return reply{}, 0, err
	}
	return r, size, nil
}

// replyString reads a string whose line, with its length, has size bytes. It returns the size of
// the whole, 0 when it is not there yet.
func replyString(b, line []byte, size int) (text []byte, whole int, err error) {
	claimed, err := decimal(line)
	if err != nil {
		return nil, 0, err
	}
	if claimed > maxText {
		return nil, 0, fmt.Errorf("the answer is a string of more than %d bytes: it begins with %q", maxText, clip(b))
	}
	length := int(claimed)
	switch rest := b[size:]; {
	case len(rest) < length+2:
		return nil, 0, nil
	case rest[length] != '\r' || rest[length+1] != '\n':
		return nil, 0, fmt.Errorf("the answer does not end where it says: %q", clip(b))
	default:
		return rest[:length], size + length + 2, nil
	}
}

// sum is the number that a reply is, at least least. GCD.COUNT answers with digits in a string.
func (r reply) sum(least uint64) (sum uint64, err error) {
	switch r.kind {
	case ':':
		sum = r.number
	case '$':
		if sum, err = decimal(r.text); err != nil {
			return 0, err
		}
	default:
		return 0, errors.New("the answer is no sum")
	}
	if sum < least {
		return 0, fmt.Errorf("the answer is no sum of at least %d", least)
	}
	return sum, nil
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
	{"EXECABORT Transaction discarded because what it changes may not fit", codec.CodeMessageTooLong},
	{"ERR transaction is too long", codec.CodeMessageTooLong},
	{"ERR more topics than --max-in-flight allows", codec.CodeMessageTooLong},
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
