package server

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
)

// logInterval is the shortest time between two log lines of the same kind.
const logInterval = time.Second

// maxQuoted is how many bytes of a message a log line shows.
const maxQuoted = 64

// event is something beside refusals that is counted and logged.
type event uint8

const (
	emptyDatagram event = iota
	replyDatagram
	portZeroDatagram
	silencedRefusal
	unknownOutcome
	brokenConn
	lostAnswer
	acceptError
	receiveError
	brokenBackup
	silentConn
	probe
	handlerPanic
	numEvents
)

// text is the log line of an event.
func (e event) text() string {
	switch e {
	case emptyDatagram:
		return "dropped an empty datagram"
	case replyDatagram:
		return "dropped a datagram that begins like a reply"
	case portZeroDatagram:
		return "dropped a datagram from port 0"
	case silencedRefusal:
		return "kept silent instead of refusing once more"
	case unknownOutcome:
		return "left a request without an answer because its outcome is not known"
	case brokenConn:
		return "connection broke before its message was whole"
	case lostAnswer:
		return "could not deliver an answer"
	case acceptError:
		return "cannot accept connections"
	case receiveError:
		return "cannot receive datagrams"
	case brokenBackup:
		return "a backup was not sent, or not to its end"
	case silentConn:
		return "a connection ended without a byte"
	case probe:
		return "a probe was not answered as it may expect"
	}
	return "panic while handling a client"
}

// journal counts what goes wrong and tells the log, at most one line per logInterval and kind.
type journal struct {
	log      hclog.Logger
	now      func() time.Time
	refusals [256]meter // by code
	events   [numEvents]meter
}

// meter counts one kind of trouble.
type meter struct {
	total atomic.Uint64

	mu       sync.Mutex
	next     time.Time // no line before
	silenced uint64    // since the last line
}

// note counts one more and tells whether it may have a log line, and how many since the last line had none.
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

// refused notes a refusal of a message, or of a connection when msg is nil.
func (j *journal) refused(code codec.Code, peer netip.AddrPort, msg []byte) {
	if silenced, speak := j.refusals[code].note(j.now()); speak {
		j.log.Warn("refused a client", "code", int(code), "reason", code.String(), "peer", peerText(peer),
			"message", quote(msg), "suppressed", silenced)
	}
}

// happened notes an event; detail is an error, a panic's value or nil.
func (j *journal) happened(e event, peer netip.AddrPort, detail any) {
	silenced, speak := j.events[e].note(j.now())
	if !speak {
		return
	}
	args := []any{"suppressed", silenced}
	if peer.IsValid() {
		args = append(args, "peer", peerText(peer))
	}
	if err, ok := detail.(error); ok {
		detail = strings.ReplaceAll(err.Error(), "\n", "; ") // errors that are joined have lines of their own
	}
	if detail != nil {
		args = append(args, "detail", detail)
	}
	level := hclog.Warn
	switch e {
	case handlerPanic:
		level = hclog.Error
	case probe, emptyDatagram: // somebody looks, and asks for nothing
		level = hclog.Info
	case silentConn: // a balancer that looks whether somebody listens, a pool that connected in advance
		level = hclog.Debug
	}
	j.log.Log(level, e.text(), args...)
}

// refusedMessage notes the refusal of a TCP message. One without a byte is refused, too, and so is
// a request of HTTP, but nobody has asked for anything.
func (j *journal) refusedMessage(code codec.Code, peer netip.AddrPort, msg []byte) {
	if len(msg) == 0 && code == codec.CodeMalformed {
		j.happened(silentConn, peer, nil)
		return
	}
	if speaksHTTP(msg) {
		j.happened(probe, peer, "it speaks HTTP")
		return
	}
	j.refused(code, peer, msg)
}

// speaksHTTP tells whether a message begins as HTTP requests do: with a line that ends in its
// version.
func speaksHTTP(msg []byte) bool {
	line, _, _ := bytes.Cut(msg, []byte("\n"))
	return len(line) <= maxHTTPLine && bytes.Contains(line, []byte(" HTTP/1."))
}

// maxHTTPLine is how long the line is at most, in bytes.
const maxHTTPLine = 4096

// broke notes that a TCP connection broke before its message, of which there is msg, was whole.
func (j *journal) broke(peer netip.AddrPort, msg []byte, err error) {
	if len(msg) == 0 {
		j.happened(silentConn, peer, err)
		return
	}
	j.happened(brokenConn, peer, err)
}

// peerText shows an IPv4 address as one also where it came through a socket for both families.
func peerText(peer netip.AddrPort) string {
	return netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()).String()
}

// quote makes a message safe for a log: printable ASCII in quotes, cut to a bounded length.
func quote(msg []byte) string {
	if len(msg) <= maxQuoted {
		return strconv.QuoteToASCII(string(msg))
	}
	return strconv.QuoteToASCII(string(msg[:maxQuoted])) + "... (" + strconv.Itoa(len(msg)) + " bytes)"
}

// Stats is what a server has done since it was made.
type Stats struct {
	Connections int64 // TCP connections open now, those that are being refused included
	InFlight    int64 // requests that wait for the backend now
	Held        int64 // bytes that RESP connections hold now for commands and answers, without the first 16 KiB of each

	Accepted  uint64 // TCP connections
	Datagrams uint64 // received
	Answered  uint64 // requests that were done and whose answer was handed to the system

	Refused map[codec.Code]uint64 // refusals by code, silent ones over UDP included

	EmptyDatagrams    uint64 // dropped: no byte
	ReplyDatagrams    uint64 // dropped: the first byte is 128 or more
	PortZeroDatagrams uint64 // dropped: nobody to answer
	SilencedRefusals  uint64 // over UDP, beyond RefusalRate
	UnknownOutcomes   uint64 // requests left without an answer
	BrokenConns       uint64 // TCP connections that broke before their message was whole
	LostAnswers       uint64 // answers that a client did not take
	AcceptErrors      uint64
	ReceiveErrors     uint64
	Backups           uint64 // sent
	BrokenBackups     uint64 // not sent to their end
	// Probes is who asked whether the server is well, and got no answer that helps: in HTTP, or
	// while there is none.
	Probes uint64
	Panics uint64
}

// Stats reports what the server has done.
func (s *Server) Stats() Stats {
	j := &s.journal
	st := Stats{
		Connections: s.conns.open(), InFlight: s.inFlight.Load(), Held: s.held.Load(),
		Accepted: s.accepted.Load(), Datagrams: s.datagrams.Load(), Answered: s.answered.Load(),
		Refused:        make(map[codec.Code]uint64),
		EmptyDatagrams: j.events[emptyDatagram].total.Load(), ReplyDatagrams: j.events[replyDatagram].total.Load(),
		PortZeroDatagrams: j.events[portZeroDatagram].total.Load(), SilencedRefusals: j.events[silencedRefusal].total.Load(),
		UnknownOutcomes: j.events[unknownOutcome].total.Load(), BrokenConns: j.events[brokenConn].total.Load(),
		LostAnswers: j.events[lostAnswer].total.Load(), AcceptErrors: j.events[acceptError].total.Load(),
		ReceiveErrors: j.events[receiveError].total.Load(), Panics: j.events[handlerPanic].total.Load(),
		Probes:  j.events[probe].total.Load(),
		Backups: s.backups.done.Load(), BrokenBackups: j.events[brokenBackup].total.Load(),
	}
	for code := range j.refusals {
		if n := j.refusals[code].total.Load(); n > 0 {
			st.Refused[codec.Code(code)] = n
		}
	}
	return st
}
