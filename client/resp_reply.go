package client

import (
	"bytes"
	"errors"
	"fmt"

	"gcd/codec"
	"gcd/resp"
)

// sumOf is the number that a reply is, at least least. GCD.COUNT answers with digits in a string.
func sumOf(r resp.Reply, least uint64) (uint64, error) {
	if r.Kind != ':' && r.Kind != '$' {
		return 0, errors.New("the answer is no sum")
	}
	n, err := r.Uint()
	if err == nil && n < least {
		err = fmt.Errorf("the answer is no sum of at least %d", least)
	}
	return n, err
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
