package dial

import (
	"bytes"
	"errors"
	"io"

	"gcd/codec"
)

// Authenticate says by a token who asks, and waits for the answer. It reads nothing that follows
// it. The connection has a deadline, or somebody who closes it.
func Authenticate(conn io.ReadWriter, token string) error {
	if _, err := conn.Write(AppendAuth(nil, token)); err != nil {
		return err
	}
	var answer []byte
	for one := make([]byte, 1); ; {
		n, err := conn.Read(one)
		answer = append(answer, one[:n]...)
		if n > 0 && codec.Op(answer[0]) == codec.OpRefusal { // it ends with the connection
			return refusedAuth(io.MultiReader(bytes.NewReader(answer), conn))
		}
		if size, bad := AuthReply(answer); size > 0 || bad != nil {
			return bad
		}
		switch {
		case err == io.EOF:
			return errors.New("the server closed the connection on AUTH")
		case err != nil:
			return err
		}
	}
}

// refusedAuth reads a refusal of the counter protocol in answer to AUTH.
func refusedAuth(from io.Reader) error {
	answer, err := io.ReadAll(io.LimitReader(from, codec.MaxReply))
	reply, bad := codec.ParseReply(answer)
	switch {
	case bad == nil:
		return &codec.RefusalError{Code: reply.Code, Text: reply.Text}
	case err != nil:
		return err
	}
	return bad
}
