package dial

import (
	"fmt"

	"gcd/codec"
	"gcd/resp"
)

// AppendAuth appends the command of RESP that says by a token who asks.
func AppendAuth(dst []byte, token string) []byte {
	return append(dst, resp.AppendCommand(nil, "AUTH", token)...)
}

// AuthReply reads the answer to AUTH at the beginning of data, and returns how many bytes it has, 0
// while it is not whole. A *codec.RefusalError says that the server did not take the token.
func AuthReply(data []byte) (size int, err error) {
	if len(data) > 0 && data[0] != '+' && data[0] != '-' {
		return 0, notAuth(data)
	}
	r, size, err := resp.ParseReply(data)
	switch {
	case err != nil:
		return 0, notAuth(data)
	case size == 0:
		return 0, nil
	case r.Kind == '-':
		return size, refusal(r.Text)
	case string(r.Text) != "OK":
		return 0, notAuth(data)
	}
	return size, nil
}

func notAuth(data []byte) error {
	return fmt.Errorf("the answer to AUTH is none: %.32q", data)
}

// refusal is the error that AUTH was answered with. One without a code of its own, such as that of
// a server which asks for no token, leaves the client without the rights that it wants to have.
func refusal(text []byte) error {
	code := codec.CodeOfRedisError(text)
	if code == codec.CodeMalformed || code == codec.CodeUnknownOpcode {
		code = codec.CodeNotAuthenticated
	}
	// As if it had come over the protocol: the text is cut, or dropped where a terminal should not
	// see it. It has a code, so it is a refusal.
	reply, _ := codec.ParseReply(append([]byte{byte(codec.OpRefusal), byte(code)}, text...))
	return &codec.RefusalError{Code: reply.Code, Text: reply.Text}
}
