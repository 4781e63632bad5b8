package codec

import (
	"bytes"
	"strconv"
)

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
	CodeNotAuthenticated  Code = 21 // nobody knows who asks: no token or a wrong one, or no TLS
	CodeNotPermitted      Code = 22 // who asks is known, and has no right to this
	CodeTooManyFailures   Code = 23 // too many wrong tokens came from this address
)

// words are what is said of each code, to whom.
var words = [...]struct {
	reason string // what the code means
	advice string // what a client of the protocol may do about it, if the code alone does not say so
	redis  string // the error for a client of RESP, whose first word is one that Redis has for what is most like it
}{
	CodeMalformed:      {reason: "malformed request"},
	CodeUnknownOpcode:  {reason: "unknown opcode", redis: "ERR unknown command"},
	CodeMessageTooLong: {reason: "message too long", redis: "ERR topic is too long: it has at most 65535 bytes"},
	CodeNotUTF8:        {reason: "topic is not UTF-8"},
	CodeTopicTooLong:   {"topic too long", "this server's limit", "ERR topic is too long for this server"},
	CodeTooManyTopics: {"too many topics", "this server's limit",
		"OOM too many topics: the server holds as many as it may"},
	CodeSumAtMaximum: {"sum is at its maximum", "only a RESET helps", "ERR increment or decrement would overflow"},
	CodeTooManyRequests: {"too many requests in flight", "try again later",
		"BUSY too many requests in flight: try again later"},
	CodeTooManyConns: {"too many connections", "try again later", "ERR max number of clients reached"},
	CodeTooManyConnsAddr: {"too many connections from this address", "try again later",
		"ERR max number of clients reached"},
	CodeNoRoom: {"no room for the log", "", "MISCONF no room for the log: the disk is full"},
	CodeShuttingDown: {"shutting down", "try again when it is back",
		"LOADING the server is shutting down: try again when it is back"},
	CodeNothingArrived: {"no complete message arrived in time", "send the message in one write after connecting",
		"ERR Protocol error: the command was not complete in time"},
	CodeLoading:         {"still loading", "try again soon", "LOADING gcd is loading its counters, try again soon"},
	CodeTooManyRefusals: {reason: "too many refusals"},
	CodeStoppedAfterError: {"stopped after a disk error", "",
		"MISCONF stopped after a disk error: the server counts no more and exits"},
	CodeNotAuthenticated: {"not authenticated", "a token needs RESP, a certificate TLS",
		"NOAUTH Authentication required."},
	CodeNotPermitted: {"not permitted", "the operator gives rights", "NOPERM no right to do this"},
	CodeTooManyFailures: {"too many failed authentications", "correct the token, and wait",
		"WRONGPASS too many failed authentications from this address"},
}

// String returns what the code means, in a few words.
func (c Code) String() string {
	if int(c) < len(words) && words[c].reason != "" {
		return words[c].reason
	}
	return "refusal code " + strconv.Itoa(int(c))
}

// Advice is what a client may do about a refusal with the code; often nothing that the code does
// not say.
func (c Code) Advice() string {
	if int(c) < len(words) {
		return words[c].advice
	}
	return ""
}

// RedisError is the error by which a client of RESP is refused for the same reason.
func (c Code) RedisError() string {
	if int(c) < len(words) && words[c].redis != "" {
		return words[c].redis
	}
	return "ERR " + c.String()
}

// redisErrors are what errors of RESP begin with, for each code that a server may mean by it. The
// first that fits counts.
var redisErrors = [...]struct {
	begins string
	code   Code
}{
	{"ERR unknown command", CodeUnknownOpcode},
	{"ERR topic is too long:", CodeMessageTooLong},
	{"ERR topic is not UTF-8", CodeNotUTF8},
	{"ERR topic is too long", CodeTopicTooLong},
	{"OOM ", CodeTooManyTopics},
	{"ERR increment or decrement would overflow", CodeSumAtMaximum},
	{"BUSY ", CodeTooManyRequests},
	{"ERR max number of clients reached", CodeTooManyConns},
	{"MISCONF stopped", CodeStoppedAfterError},
	{"MISCONF ", CodeNoRoom},
	{"LOADING the server is shutting down", CodeShuttingDown},
	{"LOADING ", CodeLoading},
	{"ERR Protocol error: the command was not complete", CodeNothingArrived},
	{"EXECABORT Transaction discarded because what it changes may not fit", CodeMessageTooLong},
	{"ERR transaction is too long", CodeMessageTooLong},
	{"ERR more topics than --max-in-flight allows", CodeMessageTooLong},
	{"NOAUTH ", CodeNotAuthenticated},
	{"ERR TLS required", CodeNotAuthenticated},
	{"NOPERM ", CodeNotPermitted},
	{"WRONGPASS too many failed", CodeTooManyFailures},
	{"WRONGPASS ", CodeNotAuthenticated},
}

// CodeOfRedisError is the code that a server means by an error of RESP: CodeMalformed if it is none
// that has a code of its own.
func CodeOfRedisError(text []byte) Code {
	for _, e := range redisErrors {
		if bytes.HasPrefix(text, []byte(e.begins)) {
			return e.code
		}
	}
	return CodeMalformed
}

// RefusalError is a refusal as an error: what ParseRequest says of bytes that are no request, and
// what a client says of a refusal that it received.
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

// The refusals that need no more than a message's bytes to be decided. They are made once, so that
// refusing costs no allocation.
var (
	errEmpty = &RefusalError{CodeMalformed,
		"an empty message; the first byte is the opcode, 0 counts and 1 resets"}
	errUnknownOpcode = &RefusalError{CodeUnknownOpcode, "the first byte is the opcode, 0 counts and 1 resets"}
	errTooLong       = &RefusalError{CodeMessageTooLong, "a message has at most 65536 bytes, opcode included"}
	errNotUTF8       = &RefusalError{CodeNotUTF8, "encode the topic as UTF-8"}
)
