// Package session is the contract between a protocol and what carries its bytes. A session is one
// connection's protocol without its socket; a dispatcher has the socket. It tells the session what
// has happened, and is told what to do. So a protocol is written once for all ways of dispatch, and
// is tested in memory.
package session

import (
	"io"
	"time"

	"gcd/server/internal/gate"
	"gcd/store/core"
)

// Kind is what has happened.
type Kind uint8

const (
	Turn       Kind = iota // others had their turn; and first of all, unless there are bytes already
	Bytes                  // they were read, perhaps none
	Outcome                // the group has its outcomes
	Written                // all of Action.Out was sent, and Then is not set
	Late                   // the clock ran out
	Undetached             // there can be no Detached, for a reason that Err tells
	Ended                  // the connection has ended, perhaps by Err; the backend may still have the group
)

// Event is what has happened to a connection.
type Event struct {
	Kind Kind
	Err  error // of Undetached and Ended

	// Of Bytes, which are the caller's again after the call.
	Bytes   []byte
	Drained bool // the read left the socket empty
	End     bool // the client sends nothing more
	Quiet   bool // nothing came for the settle time
	Last    bool // nothing more will be read
}

// Next is what a dispatcher has to do.
type Next uint8

const (
	Read   Next = iota // wait for bytes
	Commit             // have Group done
	Write              // send Out
	Again              // give others their turn
	Look               // likewise, but what follows takes long: it looks at topics
	Detach             // have another goroutine call Detached, and then go on by Turn
	Linger             // wait until the client has read what it was sent, and end the connection
	Close              // end the connection
)

// Clock is the time that runs while a session waits for bytes.
type Clock uint8

const (
	Unhurried Clock = iota // none
	Greeting               // for the first byte, of a connection that has only just come
	Message                // for a whole message, since the connection came
	Settling               // likewise; and when nothing comes for a moment the message is whole
	Command                // for the rest of a command, since its first byte
	Silence                // for anything, since the last; it begins anew after Late
)

// Action is what a dispatcher has to do now.
type Action struct {
	Next   Next
	Greedy bool // the client asks for much: others who do not go first

	Clock Clock // of Read
	Most  int   // of Read: how many bytes to read at once; 0: as many as one likes

	// Of Write: what to send; how many requests it answers, for the counter of what was answered;
	// and Close or Linger if that is all, so that the session need not be asked again.
	Out     []byte
	Answers int
	Then    Next

	// Of Commit: what the backend has to do, whose Done is the dispatcher's; and what that has in
	// flight, which the session was admitted for and the dispatcher gives back.
	Group *core.Group
	Claim gate.Claim
}

// Session is one connection's protocol, without its socket. One goroutine at a time calls it.
type Session interface {
	// Advance is told what has happened since the last Action, and says what to do now. It is told
	// nothing more after Ended, or once it has said Close or Linger itself.
	Advance(e Event) Action
	// Untaken is called when the client does not take Out at once; false says that it is not to be
	// waited for.
	Untaken() bool
	// Detached has the connection to itself, and the session is told nothing meanwhile, except that
	// the connection has ended. It returns false if the connection has to end.
	Detached(c Conn) bool
}

// Conn is a connection that a session has to itself.
type Conn interface {
	io.Writer
	SetWriteDeadline(t time.Time) error
}

// Worker is what the sessions on one goroutine have of it.
type Worker struct {
	Gate  *gate.Gate
	Tally gate.Tally
}
