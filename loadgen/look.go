package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"gcd/codec"
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

// ErrNotLooked means that a server does not say which topics it has. Nothing was counted.
var ErrNotLooked = errors.New("loadgen: the server does not say which topics it has")

// The bounds of what a server answers to a look, in bytes but for the first.
const (
	lookCount = 1000 // topics that are asked for at once
	lookMost  = 1 << 20
	lookText  = 1 << 16
	lookLine  = 4096
)

// look goes through the topics of a server over RESP.
type look struct {
	conn    net.Conn
	from    *bufio.Reader
	timeout time.Duration
	buf     []byte
}

// lookFor returns an *OthersError if a server has a topic that does not begin with what the options
// say, and ErrNotLooked, with the reason, if it does not say; but where the load itself would end
// so, ErrNotReached or ErrNoRESP.
func lookFor(ctx context.Context, peer *net.TCPAddr, o *Options) error {
	dialer := net.Dialer{Timeout: o.Timeout}
	conn, err := dialer.DialContext(ctx, "tcp", peer.String())
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && o.Network == UDP:
		return fmt.Errorf("%w: %w", ErrNotLooked, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotReached, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	l := &look{conn: conn, from: bufio.NewReaderSize(conn, lookLine), timeout: o.Timeout}
	err = l.all(o.Own)
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
	return fmt.Errorf("%w: %w", ErrNotLooked, err)
}

// all asks how many topics there are, and then for one after the other, until there is one of
// others.
func (l *look) all(own string) error {
	if err := l.ask("*1\r\n$6\r\nDBSIZE\r\n"); err != nil {
		return err
	}
	topics, err := l.head(':')
	if err != nil || topics == 0 {
		return err
	}
	for cursor := "0"; ; {
		if err := l.ask(fmt.Sprintf("*4\r\n$4\r\nSCAN\r\n$%d\r\n%s\r\n$5\r\nCOUNT\r\n$%d\r\n%d\r\n",
			len(cursor), cursor, len(strconv.Itoa(lookCount)), lookCount)); err != nil {
			return err
		}
		if n, err := l.head('*'); err != nil || n != 2 {
			return orNoAnswer(err)
		}
		next, err := l.text()
		if err != nil {
			return err
		}
		cursor = string(next)
		n, err := l.head('*')
		if err != nil || n > lookMost {
			return orNoAnswer(err)
		}
		for range n {
			topic, err := l.text()
			if err != nil {
				return err
			}
			if !strings.HasPrefix(string(topic), own) {
				return &OthersError{Topics: topics, One: string(topic)}
			}
		}
		if cursor == "0" {
			return nil
		}
	}
}

// ask sends a command. What comes back has to come in time.
func (l *look) ask(command string) error {
	if err := l.conn.SetDeadline(time.Now().Add(l.timeout)); err != nil {
		return err
	}
	_, err := io.WriteString(l.conn, command)
	return err
}

// errNoList is what anything else than an answer of RESP is.
var errNoList = errors.New("what it answers is not RESP")

func orNoAnswer(err error) error {
	if err == nil {
		err = errNoList
	}
	return err
}

// head reads a line with a number, which a byte of this kind stands before.
func (l *look) head(kind byte) (uint64, error) {
	line, err := l.from.ReadSlice('\n')
	if len(line) > 0 && beginsRefusal(line) {
		return 0, l.refusal(line, err)
	}
	switch {
	case err == bufio.ErrBufferFull:
		return 0, errNoList
	case err != nil:
		return 0, err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if reason, refused := strings.CutPrefix(text, "-"); ok && refused {
		return 0, errors.New(briefText([]byte(reason)))
	}
	digits, is := strings.CutPrefix(text, string(kind))
	n, err := strconv.ParseUint(digits, 10, 63)
	if !ok || !is || err != nil {
		return 0, errNoList
	}
	return n, nil
}

// refusal reads the rest of a refusal in the protocol's own language, and says what it means.
func (l *look) refusal(line []byte, err error) error {
	for err == nil && len(line) < longAnswer { // a newline is a byte as any other there
		var more []byte
		line = append([]byte(nil), line...)
		more, err = l.from.ReadSlice('\n')
		line = append(line, more...)
	}
	answer, bad := protocolAnswer(line)
	if bad != nil {
		return bad
	}
	return answer.refused
}

// text reads a bulk string. It is valid until the next one.
func (l *look) text() ([]byte, error) {
	n, err := l.head('$')
	if err != nil || n > lookText {
		return nil, orNoAnswer(err)
	}
	if uint64(cap(l.buf)) < n+2 {
		l.buf = make([]byte, n+2)
	}
	b := l.buf[:n+2]
	if _, err := io.ReadFull(l.from, b); err != nil {
		return nil, err
	}
	if string(b[n:]) != "\r\n" {
		return nil, errNoList
	}
	return b[:n], nil
}
