package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"gcd/codec"
	"gcd/internal/dial"
	"gcd/resp"
)

// door knows how requests and answers look on one network.
type door struct {
	network Network
	auth    []byte // what a connection begins with; nil without a token
	before  []byte // of a request, what comes before the topic's digits
	after   []byte // and after them
}

func newDoor(o *Options) (*door, error) {
	d := &door{network: o.Network}
	if o.Token != "" {
		d.auth = dial.AppendAuth(nil, o.Token)
	}
	switch o.Network {
	case TCP, UDP:
		var err error
		if d.before, err = codec.AppendRequest(nil, codec.OpCount, o.Prefix); err != nil {
			return nil, fmt.Errorf("loadgen: prefix %q: %w", o.Prefix, err)
		}
	case RESP, RESPOnce:
		topic := fmt.Sprintf("$%d\r\n%s", len(o.Prefix)+topicDigits, o.Prefix)
		d.before, d.after = []byte("*2\r\n$4\r\nINCR\r\n"+topic), []byte("\r\n")
		if o.By > 1 {
			by := strconv.FormatUint(o.By, 10)
			d.before = []byte("*3\r\n$6\r\nINCRBY\r\n" + topic)
			d.after = fmt.Appendf(d.after, "$%d\r\n%s\r\n", len(by), by)
		}
		if o.Network == RESPOnce {
			d.after = append(d.after, "*1\r\n$4\r\nQUIT\r\n"...)
		}
	}
	return d, nil
}

// perRequest reports whether each request has a connection of its own, whose end is the answer's
// end.
func (d *door) perRequest() bool { return d.network == TCP || d.network == RESPOnce }

// untilEnd reports whether an answer that begins so ends with its connection.
func (d *door) untilEnd(data []byte) bool {
	return d.perRequest() || d.network == RESP && beginsRefusal(data)
}

// beginsRefusal reports whether an answer is a refusal in the protocol's own language. Over RESP
// that is what a server says that has no RESP, or has not looked yet at what the connection speaks.
func beginsRefusal(data []byte) bool {
	return len(data) > 0 && codec.Op(data[0]) == codec.OpRefusal
}

// appendRequest appends a request that counts the topic of this number.
func (d *door) appendRequest(dst []byte, topic uint64) []byte {
	dst = append(dst, d.before...)
	dst = appendDigits(dst, topic)
	return append(dst, d.after...)
}

func appendDigits(dst []byte, n uint64) []byte {
	var digits [topicDigits]byte
	for i := topicDigits - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, digits[:]...)
}

// answer is what came back to one request.
type answer struct {
	sum     uint64
	refused error // the request surely had no effect; nil when it counted
}

var (
	errIncomplete = errors.New("loadgen: the answer is not complete")
	errNoAnswer   = errors.New("the connection ended without an answer")
	errTwoAnswers = errors.New("there is something after the answer")
)

// firstAnswer reads the first answer in data, whose length is n. whole says that nothing more
// belongs to data: it is a datagram, or the connection has ended. Otherwise errIncomplete asks for
// more. Any other error ends the connection, and has the class of all that is under way on it.
func (d *door) firstAnswer(data []byte, whole bool) (a answer, n int, err error) {
	if whole && len(data) == 0 {
		return answer{}, 0, errNoAnswer
	}
	if d.network == TCP || d.network == UDP {
		if !whole {
			return answer{}, 0, errIncomplete
		}
		if a, err = protocolAnswer(data); err != nil {
			return answer{}, 0, err
		}
		return a, len(data), nil
	}
	if beginsRefusal(data) {
		return answer{}, 0, refusalOfConnection(data, whole)
	}
	a, n, err = respAnswer(data)
	switch {
	case err == errIncomplete && whole:
		return answer{}, 0, fmt.Errorf("the connection ended within the answer %s", brief(data))
	case err == nil && d.network == RESPOnce && whole:
		if rest := data[n:]; len(rest) > 0 && !bytes.Equal(rest, []byte("+OK\r\n")) { // to QUIT
			return answer{}, 0, errTwoAnswers
		}
		n = len(data)
	}
	return a, n, err
}

// refusalOfConnection is what a refusal in the protocol's language means to a connection of RESP.
func refusalOfConnection(data []byte, whole bool) error {
	switch a, err := protocolAnswer(data); {
	case !whole && len(data) <= longAnswer:
		return errIncomplete
	case !whole:
		return fmt.Errorf("an answer without an end: %s", brief(data))
	case err != nil:
		return err
	case a.refused.(*codec.RefusalError).Code == codec.CodeUnknownOpcode:
		return fmt.Errorf("%w: it answered: %w", ErrNoRESP, a.refused)
	default:
		return a.refused
	}
}

// classOf is the class of what was under way on a connection that an answer has ended with an
// error.
func classOf(err error) class {
	var refusal *codec.RefusalError
	if errors.As(err, &refusal) {
		return refused
	}
	return unknown
}

func protocolAnswer(data []byte) (answer, error) {
	reply, err := codec.ParseReply(data)
	switch {
	case err != nil:
		return answer{}, err
	case reply.Op == codec.OpCountReply:
		return answer{sum: reply.Sum}, nil
	case reply.Op == codec.OpRefusal:
		return answer{refused: &codec.RefusalError{Code: reply.Code, Text: reply.Text}}, nil
	}
	return answer{}, fmt.Errorf("%w to COUNT: it begins with opcode %d", codec.ErrBadReply, reply.Op)
}

const (
	maxLine    = 1024                     // the longest line of RESP that is waited for, its end included
	longAnswer = codec.MaxReply + maxLine // more than any answer to one request has
)

// respAnswer reads one integer or one error of RESP.
func respAnswer(data []byte) (a answer, n int, err error) {
	if len(data) > 0 && data[0] != ':' && data[0] != '-' {
		return answer{}, 0, fmt.Errorf("neither an integer nor an error: %s", brief(data))
	}
	r, n, err := resp.ParseReply(data[:min(len(data), maxLine)])
	switch {
	case err != nil:
		return answer{}, 0, fmt.Errorf("a bad line: %s", brief(data[:bytes.IndexByte(data, '\n')+1]))
	case n == 0 && len(data) >= maxLine:
		return answer{}, 0, fmt.Errorf("an answer without an end: %s", brief(data))
	case n == 0:
		return answer{}, 0, errIncomplete
	case r.Kind == '-':
		return answer{refused: errorReply(r.Text)}, n, nil
	}
	return answer{sum: r.Number}, n, nil
}

// errorReply is an error of RESP. One because of who asks has its code.
func errorReply(text []byte) error {
	switch code := codec.CodeOfRedisError(text); code {
	case codec.CodeNotAuthenticated, codec.CodeNotPermitted, codec.CodeTooManyFailures:
		return &codec.RefusalError{Code: code, Text: briefText(text)}
	}
	return errors.New(briefText(text))
}

// authAnswer reads the answer to the token at the beginning of data, and returns how many bytes it
// has, 0 while it is not whole.
func (d *door) authAnswer(data []byte, whole bool) (n int, err error) {
	if beginsRefusal(data) {
		err = refusalOfConnection(data, whole)
	} else if n, err = dial.AuthReply(data); n == 0 && err == nil {
		err = errIncomplete
	}
	var refusal *codec.RefusalError
	switch {
	case err == errIncomplete && whole && !beginsRefusal(data):
		return 0, errNoAnswer
	case errors.As(err, &refusal) && refusal.Code >= codec.CodeNotAuthenticated:
		return 0, fmt.Errorf("%w: %w", ErrNotAuthenticated, err)
	}
	return n, err
}

// brief quotes bytes of a server for a message.
func brief(data []byte) string { return strconv.Quote(string(data[:min(len(data), 64)])) }

// briefText is brief for what should be text: without the quotes when nothing needs them.
func briefText(data []byte) string {
	quoted := strconv.Quote(string(data[:min(len(data), 200)]))
	return quoted[1 : len(quoted)-1]
}
