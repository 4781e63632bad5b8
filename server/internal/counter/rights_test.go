package counter

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/internal/access"
	"gcd/internal/audit"
	"gcd/server/internal/gate"
	"gcd/store/core"
)

// guarded is a protocol with rules, and what it writes down.
func guarded(t testing.TB, text string) (p Protocol, lines *bytes.Buffer) {
	t.Helper()
	rules, err := access.Parse("rules", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	lines = new(bytes.Buffer)
	return Protocol{Parse: codec.ParseRequest, Gate: gate.New(gate.Options{MaxConns: 1, MaxConnsPerSource: 1,
		MaxInFlight: 1, MaxInFlightBytes: 1, RefusalRate: 1, Logger: hclog.NewNullLogger(), Audit: audit.To(lines),
		Rules: func() *access.Rules { return rules }})}, lines
}

// A topic is somebody's by its bytes: the empty one, the prefix itself, and one whose prefix ends
// in the middle of a character.
func TestTopicsAtTheBordersOfRights(t *testing.T) {
	t.Parallel()
	const denied = codec.CodeNotPermitted
	for _, c := range []struct {
		rights, topic string
		count, reset  codec.Code
	}{
		{"count:", "", 0, denied},
		{"reset:", "", denied, 0},
		{"count:a", "", denied, denied},
		{"count:a", "a", 0, denied},
		{"count:a/", "a", denied, denied},
		{"count:a/ reset:a/b", "a/", 0, denied},
		{"count:a/ reset:a/b", "a/b", 0, 0},
		{`count:"caf\xc3"`, "café", 0, denied},
		{`count:"caf\xc3"`, "cafe", denied, denied},
		{`count:"caf\xc3\xa9"`, "caf\u00e8", denied, denied},
		{`count:"\x00"`, "\x00b", 0, denied},
		{`count:"\x00"`, "", denied, denied},
		{"count:a reset:b", "ab", 0, denied},
		{"read: backup admin", "a", denied, denied},
		{"", "", denied, denied},
	} {
		p, _ := guarded(t, "anonymous - "+c.rights+"\n")
		for kind, want := range map[core.Kind]codec.Code{core.Count: c.count, core.Reset: c.reset} {
			opcode := codec.OpCount
			if kind == core.Reset {
				opcode = codec.OpReset
			}
			msg, err := codec.AppendRequest(nil, opcode, c.topic)
			if err != nil {
				t.Fatal(err)
			}
			var op core.Op
			got := codec.Code(0)
			if refused := p.Decode(msg, somebody, gate.DoorTCP, &op); refused != nil {
				got = refused.Code
			}
			if got != want {
				t.Errorf("with %q operation %v on %q has code %d, want %d", c.rights, kind, c.topic, got, want)
			}
		}
	}
}

// Who has no right learns what everybody learns while a server loads or stops.
func TestNobodyWhileAServerLoads(t *testing.T) {
	t.Parallel()
	p, lines := guarded(t, "anonymous -\n")
	for _, code := range []codec.Code{codec.CodeLoading, codec.CodeShuttingDown} {
		p.Gate.Refusing.Store(uint32(code))
		var op core.Op
		if refused := p.Decode([]byte{0, 'x'}, somebody, gate.DoorTCP, &op); refused == nil || refused.Code != code {
			t.Errorf("while everybody is told %d: %v", code, refused)
		}
	}
	if lines.Len() > 0 {
		t.Errorf("written down: %s", lines)
	}
}

// FuzzRights: no message has an operation done that nobody may do.
func FuzzRights(f *testing.F) {
	for _, topic := range []string{"", "own/", "own/x", "own", "other/x", "\xc3\xa9", "own/\x00"} {
		for _, op := range []byte{0, 1, 2, 128, 255} {
			f.Add(append([]byte{op}, topic...))
			f.Add(append([]byte{op, byte(len(topic))}, topic...))
		}
	}
	p, _ := guarded(f, "anonymous - count:own/ reset:own/r read:\n")
	nameless := gate.Peer{Addr: netip.AddrPortFrom(netip.IPv6Loopback(), 0)}
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, peer := range []gate.Peer{somebody, nameless, {Unix: true}} {
			var op core.Op
			refused := p.Decode(msg, peer, gate.DoorUDP, &op)
			may := map[core.Kind]string{core.Count: "own/", core.Reset: "own/r"}[op.Kind]
			if refused == nil && (may == "" || !bytes.HasPrefix(op.Topic, []byte(may))) {
				t.Errorf("% x has operation %v done on %q", msg, op.Kind, op.Topic)
			}
		}
	})
}
