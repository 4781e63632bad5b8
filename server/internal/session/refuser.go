package session

import (
	"gcd/codec"
	"gcd/resp"
	"gcd/server/internal/gate"
)

// Refuser is the session of a connection that is not let in: it is told why in the language that it
// speaks.
type Refuser struct {
	Gate *gate.Gate
	Peer gate.Peer
	Code codec.Code // why
	RESP bool       // there are connections that speak RESP, as their first byte tells
	// LacksTLS says that it would be let in if it came within TLS.
	LacksTLS bool
}

// What who lacks TLS is told.
const (
	adviseTLS   = "TLS required: connect with TLS"
	errorForTLS = "ERR TLS required"
)

// Append notes that the connection is refused, and appends what it is told, in the language of what
// it said, if anything.
func (r *Refuser) Append(dst, said []byte) []byte {
	r.Gate.Refused(r.Code, r.Peer, said)
	advice, redisError := r.Code.Advice(), r.Code.RedisError()
	if r.LacksTLS {
		advice, redisError = adviseTLS, errorForTLS
	}
	if r.RESP && len(said) > 0 && resp.Begins(said[0]) {
		r.Gate.Errors.Note(redisError)
		return resp.AppendError(dst, redisError)
	}
	return codec.AppendRefusal(dst, r.Code, advice)
}

// Advance waits for a byte, or for what says that none comes.
func (r *Refuser) Advance(e Event) Action {
	switch {
	case e.Kind == Ended:
		return Action{}
	case e.Kind == Late, len(e.Bytes) > 0, e.End, e.Last:
		return Action{Next: Write, Out: r.Append(nil, e.Bytes), Then: Linger}
	}
	return Action{Next: Read, Clock: Greeting}
}

// Untaken has nothing against it: a refusal is small.
func (r *Refuser) Untaken() bool { return true }

// Detached is not called.
func (r *Refuser) Detached(Conn) bool { return false }
