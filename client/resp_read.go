package client

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"gcd/codec"
	"gcd/resp"
)

// reader gives the answers that arrive on a connection to the calls that they belong to.
type reader struct {
	*pipeline
	conn       net.Conn
	useful     bool         // an answer has come
	distrusted bool         // something has come that is none
	replies    []resp.Reply // of one turn
	commands   []*command   // that they answer, one for each
	over       []bool       // those that end no call: nobody waits, or more replies belong to the command
}

// read reads until the connection ends or is not to be trusted any more, and returns why.
func (r *reader) read() error {
	buf := make([]byte, readSize)
	for end := 0; ; {
		n, err := r.conn.Read(buf[end:])
		end += n
		used, bad := r.parse(buf[:end])
		if surprise := r.deliver(); surprise != nil {
			return surprise
		}
		switch {
		case bad != nil:
			r.distrusted = true
			return bad
		case errors.Is(err, os.ErrDeadlineExceeded):
			if r.overdue() {
				return timedOut("no answer within %v", r.answerTimeout)
			}
		case err == io.EOF && used < end:
			return fmt.Errorf("the server closed the connection in the middle of an answer: %q", clip(buf[used:end]))
		case err == io.EOF:
			return errors.New("the server closed the connection without an answer")
		case err != nil:
			return err
		}
		if end = copy(buf, buf[used:end]); end == len(buf) {
			buf = append(buf, make([]byte, len(buf))...) // ParseReply bounds what it waits for
		} else if len(buf) > readSize && end < readSize {
			buf = append(make([]byte, 0, readSize), buf[:end]...)[:readSize]
		}
	}
}

// parse finds the replies in b and returns how many bytes they have. An error is about what follows
// them.
func (r *reader) parse(b []byte) (used int, err error) {
	r.replies = r.replies[:0]
	for {
		reply, size, err := resp.ParseReply(b[used:])
		if size == 0 || err != nil {
			return used, err
		}
		r.replies = append(r.replies, reply)
		used += size
	}
}

// deliver ends the calls that were answered. An error means that an answer is none to its command,
// or to no command at all, or that the server stops, or does not know the client any more, and no
// further answer will come.
func (r *reader) deliver() error {
	if len(r.replies) == 0 {
		return nil
	}
	r.commands, r.over = r.commands[:0], r.over[:0]
	leaving, forgotten := r.refusalWith(codec.CodeShuttingDown), error(nil)
	if r.token != "" {
		forgotten = r.refusalWith(codec.CodeNotAuthenticated)
	}
	r.mu.Lock()
	if r.leaving == nil {
		r.leaving = leaving // before anybody hears of it and begins another call
	}
	r.forgotten = cmp.Or(r.forgotten, forgotten)
	for len(r.commands) < len(r.replies) && r.inFlight.len() > 0 {
		cmd := r.inFlight.oldest()
		last := cmd.ask == nil || cmd.ask.last(r.replies[len(r.commands)])
		r.commands = append(r.commands, cmd)
		if last {
			r.inFlight.pop()
		}
		r.over = append(r.over, !last || r.retire(cmd) == over)
	}
	var end error
	if r.inFlight.len() == 0 {
		end = cmp.Or(r.leaving, r.forgotten)
	}
	r.rouse()
	r.mu.Unlock()

	var surprise error
	for i, cmd := range r.commands {
		var sum uint64
		var refusal error
		if surprise == nil {
			if sum, refusal, surprise = cmd.take(r.replies[i]); surprise != nil {
				r.conn.Close() // before anybody hears of it and begins another call
			}
		}
		switch {
		case r.over[i]: // the answer had to be looked at all the same
		case surprise != nil:
			r.fail(cmd, unknown(surprise))
		case refusal != nil:
			r.fail(cmd, refusal)
		default:
			cmd.finish(sum, nil)
		}
		r.useful = r.useful || surprise == nil
	}
	clear(r.commands)
	if surprise == nil && len(r.replies) > len(r.commands) {
		surprise = errors.New("the server sent an answer that nothing was asked for")
	}
	r.distrusted = surprise != nil
	return cmp.Or(surprise, end)
}

// refusalWith returns the first refusal among the replies that has the code, nil if none has.
func (r *reader) refusalWith(code codec.Code) error {
	for _, reply := range r.replies {
		if reply.Kind != '-' {
			continue
		}
		var refused *RefusedError
		if err := refusal(reply.Text); errors.As(err, &refused) && refused.Code == code {
			return err
		}
	}
	return nil
}

// take returns what a reply means to the command: a sum, a refusal, or nothing that an answer to it
// can be.
func (cmd *command) take(r resp.Reply) (sum uint64, refused, surprise error) {
	switch {
	case cmd.ask != nil:
		refused, surprise = cmd.ask.take(r)
		return 0, refused, surprise
	case r.Kind == '-':
		return 0, refusal(r.Text), nil
	case cmd.op == codec.OpReset && r.Kind == '+' && string(r.Text) == "OK":
		return 0, nil, nil
	case cmd.op == codec.OpReset:
		return 0, nil, errors.New("the answer to a RESET is not OK")
	}
	sum, surprise = sumOf(r, cmd.n)
	return sum, nil, surprise
}

// overdue reports whether the oldest command has waited too long for its answer: then no younger
// one will get its own in time, for answers come in order. Otherwise it moves the deadline that has
// passed.
func (r *reader) overdue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inFlight.len() == 0 {
		r.guarded = false
		r.conn.SetReadDeadline(time.Time{})
		return false
	}
	due := r.inFlight.oldest().since.Add(r.answerTimeout)
	if !time.Now().Before(due) {
		return true
	}
	r.conn.SetReadDeadline(due)
	return false
}
