package server

import (
	"errors"

	"gcd/codec"
	"gcd/store"
)

// maxRead is how many bytes of a TCP message are kept: one more than is allowed shows that it is too long.
const maxRead = codec.MaxMessage + 1

// firstRead is the size of the buffer in which a TCP message begins. A message that fills it is never complete by its
// bytes alone (codec.Complete), so only the few that are longer need a buffer of maxRead.
const firstRead = 536

// ended tells whether msg, what a TCP connection has received so far, is the whole message. drained says that the last
// read left the socket empty, closed that the client will send no more, quiet that nothing came for the settle time.
func ended(msg []byte, drained, closed, quiet bool) bool {
	return closed || quiet || len(msg) >= maxRead || drained && codec.Complete(msg)
}

// decode makes an operation of a whole message; op.Topic is part of msg. The error is a
// *codec.RefusalError. Of a server that stops every message is refused.
func (s *Server) decode(msg []byte, op *store.Op) error {
	if s.stopping.Load() && len(msg) > 0 {
		return &codec.RefusalError{Code: codec.CodeShuttingDown, Text: advice(codec.CodeShuttingDown)}
	}
	req, err := s.parse(msg)
	if err != nil {
		return err
	}
	*op = store.Op{Kind: store.Count, Topic: req.Topic}
	if req.Op == codec.OpReset {
		op.Kind = store.Reset
	}
	return nil
}

// appendAnswer appends the answer to an operation that succeeded.
func appendAnswer(dst []byte, op *store.Op) []byte {
	if op.Kind == store.Reset {
		return codec.AppendResetReply(dst)
	}
	return codec.AppendCountReply(dst, op.Sum)
}

// refusal makes a *codec.RefusalError of any error.
func refusal(err error) *codec.RefusalError {
	var r *codec.RefusalError
	if errors.As(err, &r) {
		return r
	}
	return &codec.RefusalError{Code: codec.CodeMalformed}
}

// advice is what a TCP client is told beside a code that does not come from its message.
func advice(code codec.Code) string {
	switch code {
	case codec.CodeTooManyRequests, codec.CodeTooManyConns, codec.CodeTooManyConnsAddr:
		return "try again later"
	case codec.CodeLoading:
		return "try again soon"
	case codec.CodeShuttingDown:
		return "try again when it is back"
	case codec.CodeNothingArrived:
		return "send the message in one write after connecting"
	case codec.CodeTopicTooLong, codec.CodeTooManyTopics:
		return "this server's limit"
	case codec.CodeSumAtMaximum:
		return "only a RESET helps"
	}
	return ""
}
