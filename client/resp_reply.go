package client

import (
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

// refusal is the error that a command was answered with.
func refusal(text []byte) error {
	code := codec.CodeOfRedisError(text)
	// As if it had come over the protocol: the text is cut, or dropped where a terminal should not
	// see it. It has a code, so it is a refusal.
	reply, _ := codec.ParseReply(append([]byte{byte(codec.OpRefusal), byte(code)}, text...))
	return refused(reply)
}
