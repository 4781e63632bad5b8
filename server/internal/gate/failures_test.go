package gate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/internal/audit"
	"gcd/store/core"
)

// tried is a gate whose time stands still, and what it has written down and logged.
type tried struct {
	*Gate
	now        time.Time
	lines, log bytes.Buffer
}

func newTried() *tried {
	f := &tried{now: time.Unix(1e9, 0)}
	f.Gate = New(Options{MaxConns: 1, MaxConnsPerSource: 1, MaxInFlight: 1, MaxInFlightBytes: 1, RefusalRate: 1,
		Audit: audit.To(&f.lines), Logger: hclog.New(&hclog.LoggerOptions{Output: &f.log})})
	f.Gate.now = func() time.Time { return f.now }
	return f
}

// written counts the lines of an event, and what those say that was left out.
func (f *tried) written(t *testing.T, event audit.Event) (lines, left int) {
	t.Helper()
	for line := range strings.Lines(f.lines.String()) {
		var r struct {
			Event audit.Event
			Lines int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if r.Event == event {
			lines, left = lines+1, left+r.Lines
		}
	}
	return lines, left
}

func peerOf(n int) Peer {
	return Peer{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 4711)}
}

// What is denied is written down so often for a source and for all, and the rest is told by number;
// what was done is written down all the same.
func TestTriesThatAreWrittenDown(t *testing.T) {
	t.Parallel()
	f := newTried()
	const many = 5000
	for range many {
		f.Denied(&Who{}, peerOf(1), DoorUDP, "count", []byte("x"))
		f.Changed(&Who{}, peerOf(2), DoorRESP, []core.Op{{Kind: core.Reset}}, 1)
	}
	if lines, _ := f.written(t, audit.Denied); lines != tryBurst {
		t.Errorf("of one source that was denied %d lines, want %d", lines, tryBurst)
	}
	if lines, _ := f.written(t, audit.Reset); lines != many {
		t.Errorf("%d resets of %d are written down", lines, many)
	}
	f.now = f.now.Add(time.Second)
	f.Denied(&Who{}, peerOf(1), DoorUDP, "count", nil)
	if lines, left := f.written(t, audit.Denied); lines != tryBurst+1 || left != many-tryBurst {
		t.Errorf("a second later %d lines tell of %d that were left out", lines, left)
	}

	f = newTried()
	for i := range many {
		f.Denied(&Who{}, peerOf(i), DoorUDP, "count", nil)
	}
	if lines, _ := f.written(t, audit.Denied); lines != 10*allTries {
		t.Errorf("of all sources %d lines, want %d", lines, 10*allTries)
	}
}

// Wrong tokens of one source are counted, each of them, and have a line a second; what is kept of
// sources is bounded, however many there are.
func TestWrongTokens(t *testing.T) {
	t.Parallel()
	f := newTried()
	passed := 0
	for range 100 {
		if f.Failed(peerOf(1), DoorRESP, "web\n[WARN] forged") {
			passed++
		}
	}
	if passed != failureBurst {
		t.Errorf("%d wrong tokens of a source pass at once, want %d", passed, failureBurst)
	}
	st := f.Stats()
	if st.Refused[codec.CodeNotAuthenticated] != failureBurst || st.Refused[codec.CodeTooManyFailures] != 90 {
		t.Errorf("counted %v", st.Refused)
	}
	if n := strings.Count(f.log.String(), "\n"); n != 1 {
		t.Errorf("%d lines in the log, want 1:\n%s", n, f.log.String())
	}
	if f.now = f.now.Add(time.Second); !f.Failed(peerOf(1), DoorRESP, "") || f.Failed(peerOf(1), DoorRESP, "") {
		t.Error("a second later not one more passes")
	}
	f.log.Reset()
	for i := range 10 * maxSources {
		f.Failed(peerOf(i), DoorRESP, "")
	}
	if n := strings.Count(f.log.String(), "\n"); n < 10 || n > 10*allLines {
		t.Errorf("%d lines in the log of %d sources", n, 10*maxSources)
	}
	for _, l := range []*sourceLimit{&f.failures, &f.failureLines, &f.tries} {
		if n := len(l.young) + len(l.old); n > 2*maxSources {
			t.Errorf("%d sources are remembered", n)
		}
	}
}

// What may have been done is written down as well as what was, and what was surely not done is not.
func TestChangesThatMayHaveBeenDone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op   core.Op
		want string // "": no line
	}{
		{core.Op{Kind: core.Reset}, `"event":"reset"`},
		{core.Op{Kind: core.Reset, Err: core.ErrUnknown}, "not known"},
		{core.Op{Kind: core.Reset, Err: core.ErrClosed}, ""},
		{core.Op{Kind: core.Delete, Sum: 1}, `"event":"delete"`},
		{core.Op{Kind: core.Delete}, ""},
		{core.Op{Kind: core.Delete, Err: fmt.Errorf("disk: %w", core.ErrUnknown)}, "not known"},
		{core.Op{Kind: core.Delete, Sum: 1, Err: core.ErrLogFull}, ""},
		{core.Op{Kind: core.Count, Sum: 1}, ""},
		{core.Op{Kind: core.Count, Err: core.ErrUnknown}, ""},
		{core.Op{Kind: core.Read, Sum: 1}, ""},
	} {
		f := newTried()
		f.Changed(&Who{}, peerOf(1), DoorRESP, []core.Op{c.op}, 1)
		if got := f.lines.String(); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%+v is written down as %q", c.op, got)
		}
	}
}
