package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"gcd/codec"
	"gcd/internal/dial"
	"gcd/resp"
)

// OthersError says that a server has topics of others, so that a load would leave its own among
// them for ever. Nothing was counted.
type OthersError struct {
	Topics uint64 // that the server has, of whomever
	One    string // of others
}

func (e *OthersError) Error() string {
	return fmt.Sprintf("loadgen: the server has topics of others: %.64q is one of its %d", e.One, e.Topics)
}

// ErrTopicsUnknown means that a server does not say which topics it has. Nothing was counted.
var ErrTopicsUnknown = errors.New("loadgen: the server does not say which topics it has")

const (
	scanCount  = 1000    // topics that are asked for at once
	scanMost   = 1 << 20 // of them in an answer
	scanBuffer = 1 << 17 // bytes, more than any topic has
)

// topicScan goes through the topics of a server over RESP.
type topicScan struct {
	conn    net.Conn
	from    *bufio.Reader
	timeout time.Duration
}

// findOthers returns an *OthersError if a server has a topic that does not begin with what the
// options say, and ErrTopicsUnknown, with the reason, if it does not say; but where the load itself
// would end so, ErrNotReached or ErrNoRESP.
func findOthers(ctx context.Context, to *peer, o *Options) error {
	conn, err := to.open(ctx, o.Timeout)
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && o.Network == UDP:
		return fmt.Errorf("%w: %w", ErrTopicsUnknown, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotReached, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	l := &topicScan{conn: conn, from: bufio.NewReaderSize(conn, scanBuffer), timeout: o.Timeout}
	if err = l.authenticate(o.Token); err == nil {
		err = l.all(o.Own)
	}
	var others *OthersError
	var network net.Error
	var refusal *codec.RefusalError
	switch {
	case err == nil, errors.As(err, &others):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refusal) && refusal.Code == codec.CodeUnknownOpcode:
		if o.Network == RESP || o.Network == RESPOnce {
			return fmt.Errorf("%w: it answered: %w", ErrNoRESP, err)
		}
		err = fmt.Errorf("it has no RESP and answered: %w", err)
	case errors.As(err, &network) && network.Timeout():
		err = fmt.Errorf("no answer within %v", o.Timeout)
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		err = errNoAnswer
	}
	return fmt.Errorf("%w: %w", ErrTopicsUnknown, err)
}

// authenticate gives the token, if there is one.
func (l *topicScan) authenticate(token string) error {
	if token == "" {
		return nil
	}
	if err := l.conn.SetDeadline(time.Now().Add(l.timeout)); err != nil {
		return err
	}
	return dial.Authenticate(l.conn, token)
}

// all asks how many topics there are, and then for one after the other, until there is one of
// others.
func (l *topicScan) all(own string) error {
	if err := l.ask("DBSIZE"); err != nil {
		return err
	}
	size, err := l.reply(':')
	if err != nil || size.Number == 0 {
		return err
	}
	for cursor := "0"; ; {
		if err := l.ask("SCAN", cursor, "COUNT", strconv.Itoa(scanCount)); err != nil {
			return err
		}
		if pair, err := l.reply('*'); err != nil || pair.Number != 2 {
			return orNoList(err)
		}
		next, err := l.reply('$')
		if err != nil {
			return err
		}
		cursor = string(next.Text)
		topics, err := l.reply('*')
		if err != nil || topics.Number > scanMost {
			return orNoList(err)
		}
		for range topics.Number {
			topic, err := l.reply('$')
			if err != nil {
				return err
			}
			if !bytes.HasPrefix(topic.Text, []byte(own)) {
				return &OthersError{Topics: size.Number, One: string(topic.Text)}
			}
		}
		if cursor == "0" {
			return nil
		}
	}
}

// ask sends a command. What comes back has to come in time.
func (l *topicScan) ask(words ...string) error {
	if err := l.conn.SetDeadline(time.Now().Add(l.timeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(resp.AppendCommand(nil, words...))
	return err
}

// errNoList is what anything else than an answer of RESP is.
var errNoList = errors.New("what it answers is not RESP")

func orNoList(err error) error {
	if err == nil {
		err = errNoList
	}
	return err
}

// reply reads a part of an answer, which has to be of this kind. Its text is valid until the next
// one.
func (l *topicScan) reply(kind byte) (resp.Reply, error) {
	for {
		data, _ := l.from.Peek(l.from.Buffered()) // what has come
		if beginsRefusal(data) {
			return resp.Reply{}, l.refusal()
		}
		r, n, bad := resp.ParseReply(data)
		switch {
		case bad != nil || n > 0 && r.Kind != kind && r.Kind != '-':
			return resp.Reply{}, errNoList
		case n > 0 && r.Kind == '-':
			return resp.Reply{}, errorReply(r.Text)
		case n > 0:
			_, err := l.from.Discard(n)
			return r, err
		}
		if _, err := l.from.Peek(len(data) + 1); err == bufio.ErrBufferFull {
			return resp.Reply{}, errNoList
		} else if err != nil {
			return resp.Reply{}, err
		}
	}
}

// refusal reads a refusal in the protocol's own language, to its end, and says what it means.
func (l *topicScan) refusal() error {
	data, _ := l.from.Peek(longAnswer) // the end is an error
	answer, bad := protocolAnswer(data)
	if bad != nil {
		return bad
	}
	return answer.refused
}
