package gate

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/internal/access"
)

// logInterval is the shortest time between two log lines of the same kind.
const logInterval = time.Second

// maxQuoted is how many bytes of a message a log line shows.
const maxQuoted = 64

// Event is something beside refusals that is counted and logged.
type Event uint8

// The events.
const (
	EmptyDatagram Event = iota
	ReplyDatagram
	PortZeroDatagram
	SilencedRefusal
	UnknownOutcome
	BrokenConn
	LostAnswer
	AcceptError
	ReceiveError
	BrokenBackup
	SilentConn
	BrokenHandshake
	Probe
	HandlerPanic
	numEvents
)

// text is the log line of an event.
func (e Event) text() string {
	switch e {
	case EmptyDatagram:
		return "dropped an empty datagram"
	case ReplyDatagram:
		return "dropped a datagram that begins like a reply"
	case PortZeroDatagram:
		return "dropped a datagram from port 0"
	case SilencedRefusal:
		return "kept silent instead of refusing once more"
	case UnknownOutcome:
		return "left a request without an answer because its outcome is not known"
	case BrokenConn:
		return "connection broke before its message was whole"
	case LostAnswer:
		return "could not deliver an answer"
	case AcceptError:
		return "cannot accept connections"
	case ReceiveError:
		return "cannot receive datagrams"
	case BrokenBackup:
		return "a backup was not sent, or not to its end"
	case SilentConn:
		return "a connection ended without a byte"
	case BrokenHandshake:
		return "a TLS handshake failed"
	case Probe:
		return "a probe was not answered as it may expect"
	}
	return "panic while handling a client"
}

// Events counts what goes wrong and tells the log, at most one line per logInterval and kind.
type Events struct {
	log    hclog.Logger
	now    func() time.Time
	byCode [256]meter // by code
	events [numEvents]meter
}

// meter counts one kind of trouble.
type meter struct {
	total atomic.Uint64

	mu       sync.Mutex
	next     time.Time // no line before
	silenced uint64    // since the last line
}

// note counts one more and tells whether it may have a log line, and how many since the last line
// had none.
func (m *meter) note(now time.Time) (silenced uint64, speak bool) {
	m.total.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Before(m.next) {
		m.silenced++
		return 0, false
	}
	silenced, m.silenced = m.silenced, 0
	m.next = now.Add(logInterval)
	return silenced, true
}

// Refused notes a refusal of a message, or of a connection when msg is nil.
func (e *Events) Refused(code codec.Code, peer Peer, msg []byte) {
	if silenced, speak := e.byCode[code].note(e.now()); speak {
		e.log.Warn("refused a client", "code", int(code), "reason", code.String(), "peer", peer.String(),
			"message", quote(msg), "suppressed", silenced)
	}
}

// Happened notes an event; detail is an error, a panic's value or nil.
func (e *Events) Happened(kind Event, peer Peer, detail any) {
	silenced, speak := e.events[kind].note(e.now())
	if !speak {
		return
	}
	args := []any{"suppressed", silenced}
	if !peer.IsNobody() {
		args = append(args, "peer", peer.String())
	}
	if err, ok := detail.(error); ok {
		detail = strings.ReplaceAll(err.Error(), "\n", "; ") // errors that are joined have lines of their own
	}
	if detail != nil {
		args = append(args, "detail", detail)
	}
	level := hclog.Warn
	switch kind {
	case HandlerPanic:
		level = hclog.Error
	case Probe, EmptyDatagram: // somebody looks, and asks for nothing
		level = hclog.Info
	case SilentConn: // a balancer that looks whether somebody listens, a pool that connected in advance
		level = hclog.Debug
	}
	e.log.Log(level, kind.text(), args...)
}

// RefusedMessage notes the refusal of a TCP message. One without a byte is refused, too, and so is
// a request of HTTP, but nobody has asked for anything.
func (e *Events) RefusedMessage(code codec.Code, peer Peer, msg []byte) {
	if len(msg) == 0 && code == codec.CodeMalformed {
		e.Happened(SilentConn, peer, nil)
		return
	}
	if SpeaksHTTP(msg) {
		e.Happened(Probe, peer, "it speaks HTTP")
		return
	}
	e.Refused(code, peer, msg)
}

// SpeaksHTTP tells whether a message begins as HTTP requests do: with a line that ends in its
// version.
func SpeaksHTTP(msg []byte) bool {
	line, _, _ := bytes.Cut(msg, []byte("\n"))
	return len(line) <= maxHTTPLine && bytes.Contains(line, []byte(" HTTP/1."))
}

// maxHTTPLine is how long the line is at most, in bytes.
const maxHTTPLine = 4096

// Broke notes that a TCP connection broke before its message, of which there is msg, was whole.
func (e *Events) Broke(peer Peer, msg []byte, err error) {
	if len(msg) == 0 {
		e.Happened(SilentConn, peer, err)
		return
	}
	e.Happened(BrokenConn, peer, err)
}

// quote makes a message safe for a log: printable ASCII in quotes, cut to a bounded length, and to
// what comes before a token.
func quote(msg []byte) string {
	shown := access.WithoutToken(msg[:min(len(msg), maxQuoted)])
	text := strconv.QuoteToASCII(string(shown))
	if len(shown) < len(msg) {
		text += "... (" + strconv.Itoa(len(msg)) + " bytes)"
	}
	return text
}
