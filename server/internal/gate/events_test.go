package gate

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
)

// testEvents writes to a buffer and lives on a clock that the test moves.
func testEvents() (e *Events, out *bytes.Buffer, now *time.Time) {
	out, now = new(bytes.Buffer), new(time.Time)
	*now = time.Unix(1000, 0)
	log := hclog.New(&hclog.LoggerOptions{Output: out, DisableTime: true})
	return &Events{log: log, now: func() time.Time { return *now }}, out, now
}

var somebody = Peer{Addr: netip.MustParseAddrPort("192.0.2.1:4711")}

// What a client sent cannot forge a line, nor reach a terminal, nor fill the log.
func TestLogInjection(t *testing.T) {
	t.Parallel()
	e, out, _ := testEvents()
	e.Refused(codec.CodeNotUTF8, somebody,
		[]byte("\x00a\n2026-01-01 [INFO] all is well\x1b[31m\xff\u202e"+strings.Repeat("x", 5000)))
	const want = `[WARN]  refused a client: code=4 reason="topic is not UTF-8" peer=192.0.2.1:4711 ` +
		`message="\"\x00a\n2026-01-01 [INFO] all is well\x1b[31m\xff\u202exxxxxxxxxxxxxxxxxxxxxxx\"... (5041 ` +
		`bytes)" suppressed=0` + "\n"
	if got := out.String(); got != want {
		t.Errorf("the log is\n%s\nwant\n%s", got, want)
	}
}

// An event is one line, also when its error is of several parts.
func TestLogOfSeveralErrors(t *testing.T) {
	t.Parallel()
	e, out, _ := testEvents()
	e.Happened(BrokenBackup, somebody, errors.Join(errors.New("server: shutting down"), errors.New("context canceled")))
	const want = `[WARN]  a backup was not sent, or not to its end: suppressed=0 peer=192.0.2.1:4711 ` +
		`detail="server: shutting down; context canceled"` + "\n"
	if got := out.String(); got != want {
		t.Errorf("the log is\n%s\nwant\n%s", got, want)
	}
}

// One line a second and kind; the next one says how many there would have been.
func TestLogRate(t *testing.T) {
	t.Parallel()
	e, out, now := testEvents()
	for range 1000 {
		e.Refused(codec.CodeUnknownOpcode, somebody, []byte{7})
		e.Happened(EmptyDatagram, somebody, nil)
	}
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Errorf("%d lines of two kinds, want 2:\n%s", got, out)
	}
	out.Reset()
	*now = now.Add(logInterval)
	e.Refused(codec.CodeUnknownOpcode, somebody, []byte{7})
	e.Happened(EmptyDatagram, somebody, nil)
	e.Happened(AcceptError, Peer{}, errors.New("out of descriptors"))
	const want = `[WARN]  refused a client: code=2 reason="unknown opcode" peer=192.0.2.1:4711 ` +
		`message="\"\a\"" suppressed=999
[INFO]  dropped an empty datagram: suppressed=999 peer=192.0.2.1:4711
[WARN]  cannot accept connections: suppressed=0 detail="out of descriptors"
`
	if got := out.String(); got != want {
		t.Errorf("the log is\n%s\nwant\n%s", got, want)
	}
	if n := e.byCode[codec.CodeUnknownOpcode].total.Load(); n != 1001 {
		t.Errorf("%d counted, want 1001", n)
	}
}
