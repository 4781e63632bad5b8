package codec

import "strconv"

// Code says why a request was refused. A request that was refused surely had no effect.
type Code uint8

// The codes of refusals. A receiver must be ready for a code that it does not know.
const (
	CodeMalformed         Code = 1  // empty, or no request for another reason that has no code of its own
	CodeUnknownOpcode     Code = 2  // neither COUNT nor RESET
	CodeMessageTooLong    Code = 3  // more than MaxMessage bytes
	CodeNotUTF8           Code = 4  // the topic is not UTF-8
	CodeTopicTooLong      Code = 5  // the topic exceeds the server's own limit
	CodeTooManyTopics     Code = 6  // the topic is new and the server takes no more
	CodeSumAtMaximum      Code = 7  // the topic's sum can grow no further
	CodeTooManyRequests   Code = 8  // too many requests in flight
	CodeTooManyConns      Code = 9  // too many connections
	CodeTooManyConnsAddr  Code = 10 // too many connections from this address
	CodeNoRoom            Code = 11 // no room for the log: the disk is full
	CodeShuttingDown      Code = 12 // the server is about to stop
	CodeNothingArrived    Code = 13 // no complete message arrived in time
	CodeLoading           Code = 14 // the server has started and still reads its log
	CodeTooManyRefusals   Code = 15 // this address is refused too often
	CodeStoppedAfterError Code = 16 // the server stopped counting after a disk error
)

// String returns what the code means, in a few words.
func (c Code) String() string {
	switch c {
	case CodeMalformed:
		return "malformed request"
	case CodeUnknownOpcode:
		return "unknown opcode"
	case CodeMessageTooLong:
		return "message too long"
	case CodeNotUTF8:
		return "topic is not UTF-8"
	case CodeTopicTooLong:
		return "topic too long"
	case CodeTooManyTopics:
		return "too many topics"
	case CodeSumAtMaximum:
		return "sum is at its maximum"
	case CodeTooManyRequests:
		return "too many requests in flight"
	case CodeTooManyConns:
		return "too many connections"
	case CodeTooManyConnsAddr:
		return "too many connections from this address"
	case CodeNoRoom:
		return "no room for the log"
	case CodeShuttingDown:
		return "shutting down"
	case CodeNothingArrived:
		return "no complete message arrived in time"
	case CodeLoading:
		return "still loading"
	case CodeTooManyRefusals:
		return "too many refusals"
	case CodeStoppedAfterError:
		return "stopped after a disk error"
	}
	return "refusal code " + strconv.Itoa(int(c))
}

// RefusalError is a refusal as an error: what ParseRequest says of bytes that are no request, and what a client says of
// a refusal that it received.
type RefusalError struct {
	Code Code
	Text string // more than the code says, in words, and may be empty; at most MaxText bytes when it came over the wire
}

func (e *RefusalError) Error() string {
	s := e.Code.String() + " (code " + strconv.Itoa(int(e.Code)) + ")"
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// The refusals that need no more than a message's bytes to be decided. They are made once, so that refusing costs no
// allocation.
var (
	errEmpty         = &RefusalError{CodeMalformed, "an empty message; the first byte is the opcode, 0 counts and 1 resets"}
	errUnknownOpcode = &RefusalError{CodeUnknownOpcode, "the first byte is the opcode, 0 counts and 1 resets"}
	errTooLong       = &RefusalError{CodeMessageTooLong, "a message has at most 65536 bytes, opcode included"}
	errNotUTF8       = &RefusalError{CodeNotUTF8, "encode the topic as UTF-8"}
)
