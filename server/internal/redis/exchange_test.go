package redis

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/store"
	"gcd/store/core"
)

// newTestExchange is a connection without a socket, over a store in memory.
func newTestExchange(t testing.TB) *exchange {
	t.Helper()
	return newBoundedExchange(t, 1<<20, 256<<20)
}

// newBoundedExchange is newTestExchange with so many operations, and bytes of them, in flight.
func newBoundedExchange(t testing.TB, requests, bytes int) *exchange {
	t.Helper()
	st, err := store.Open("", store.Options{MaxTopics: 1000, MaxTopicLen: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	g := gate.New(gate.Options{MaxConns: 10_000, MaxConnsPerSource: 10_000, MaxInFlight: requests,
		MaxInFlightBytes: bytes, RefusalRate: 100, Logger: hclog.NewNullLogger()})
	d := NewDoor(Options{Gate: g, Backend: func() Backend { return st }, Port: func() int { return 0 },
		Settings: func() []Setting { return nil }, Logger: hclog.NewNullLogger()})
	d.scanRun = 1 // in all of them, so that they answer alike
	w := d.NewWorker(workerAt(g, 0), true)
	c := w.NewSession(gate.Peer{}, netip.AddrPort{})
	c.receive(nil)
	x := c.x
	x.group.Done = func(*core.Group) {}
	return x
}

// workerAt is a worker whose turn begins at a time.
func workerAt(g *gate.Gate, now time.Duration) *session.Worker {
	w := &session.Worker{Gate: g, Tally: g.Tally(true)}
	w.Tally.Now = now
	return w
}

// feed gives an exchange what was received, and returns the answers to what is whole.
func feed(x *exchange, piece []byte) []byte {
	x.compact()
	x.in = append(x.in, piece...)
	var out []byte
	for {
		x.take()
		if len(x.ops) > 0 {
			x.group.Ops = x.ops
			if st := x.door.backend().(*store.Store); st.Enqueue(&x.group) {
				st.Round()
			}
		}
		x.answer()
		out = append(out, x.out...)
		x.out = x.out[:0]
		if !x.more || x.closing {
			return out
		}
	}
}

// FuzzRESP: however bytes are split, they are answered the same, and nothing breaks.
func FuzzRESP(f *testing.F) {
	for _, seed := range []string{
		"*2\r\n$4\r\nINCR\r\n$1\r\nx\r\nGET \"x\"\r\n*2\r\n$3\r\nDEL\r\n$1\r\nx\r\n",
		"INCRBY x 5\r\nSCAN 0 MATCH [a-z]* COUNT 3\r\nKEYS \\x\r\nDBSIZE\r\n",
		"MGET a b\r\nINCR a\r\nMGET a b\r\nGETDEL a\r\nGETSET a 0\r\nSET a 0\r\nTYPE a\r\nTTL a\r\nSTRLEN a\r\n",
		"GCD.COUNT x 18446744073709551615\r\nINCR x\r\nGCD.INFO x\r\nGCD.RESET x\r\n",
		"MULTI\r\nINCR x\r\nEXEC\r\nINCR x\r\n", "COMMAND DOCS incr\r\nCOMMAND INFO get\r\nCONFIG GET *\r\nROLE\r\n",
		"PING\r\n*1\r\n$x\r\n", "INCR \"\xff\"\r\nSELECT 1\r\nAUTH x\r\nQUIT\r\nPING\r\n",
		"nosuch 'a b' c\r\nRESET\r\nECHO x\r\nUNLINK x y z\r\nEXISTS x x\r\n", "POST / HTTP/1.1\r\nINCR x\r\n",
	} {
		f.Add([]byte(seed), uint(len(seed)/3), uint(len(seed)/2))
	}
	f.Fuzz(func(t *testing.T, in []byte, i, j uint) {
		lower := bytes.ToLower(in)
		for _, word := range []string{"time", "info", "client", "hello"} { // whose answers are not always the same
			if bytes.Contains(lower, []byte(word)) {
				return
			}
		}
		whole := newTestExchange(t)
		want := feed(whole, bytes.Clone(in))
		i = min(i, uint(len(in)))
		j = max(i, min(j, uint(len(in))))
		split := newTestExchange(t)
		var got []byte
		for _, piece := range [][]byte{in[:i], in[i:j], in[j:]} {
			if !split.closing {
				got = append(got, feed(split, bytes.Clone(piece))...)
				split.compact()
				split.trim(0)
			}
		}
		if !bytes.Equal(got, want) || whole.closing != split.closing {
			t.Errorf("whole: %q (closing %v)\nsplit: %q (closing %v)", want, whole.closing, got, split.closing)
		}
		if whole.closing {
			return
		}
		if len(whole.ops) != 0 || len(whole.steps) != 0 || len(whole.ready) != 0 || whole.parsed != 0 {
			t.Errorf("left behind: %d operations, %d steps, %d bytes, %d held", len(whole.ops), len(whole.steps),
				len(whole.ready), whole.parsed)
		}
	})
}

// The hot path allocates nothing.
func TestCountingOverRESPDoesNotAllocate(t *testing.T) {
	x := newTestExchange(t)
	in := []byte(strings.Repeat("*2\r\n$4\r\nINCR\r\n$6\r\norders\r\n", 100) +
		strings.Repeat("*2\r\n$3\r\nGET\r\n$6\r\norders\r\n*1\r\n$4\r\nPING\r\n", 10))
	turn := func() {
		x.in, x.at = append(x.in[:0], in...), 0
		x.take()
		for i := range x.ops {
			x.ops[i].Sum = 1 << 40
		}
		x.answer()
		x.out, x.taken = x.out[:0], 0
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations for a pipeline", n)
	}
}

// What an exchange keeps for its next use is bounded.
func TestExchangeGivesBack(t *testing.T) {
	t.Parallel()
	x := newTestExchange(t)
	if got := feed(x,
		[]byte(strings.Repeat("INCR x\r\n", 20_000)+strings.Repeat("PING "+strings.Repeat("x", 1000)+"\r\n",
			500)+"KEYS *\r\nINC")); len(got) == 0 {
		t.Fatal("no answer")
	}
	if x.holds() <= maxKeptBytes {
		t.Fatalf("it holds %d bytes only", x.holds())
	}
	c := x.client
	c.worker.single = false // a worker of many
	c.giveBack()
	if cap(x.in) > maxKeptBytes || cap(x.out) > maxKeptBytes || cap(x.ready) > maxKeptBytes ||
		cap(x.ops) > maxKeptOps || cap(x.steps) > maxKeptOps || x.client != nil || c.x != nil || c.held.Bytes() != 0 ||
		x.at != 0 || x.parsed != 0 || len(x.in) != 0 {
		t.Errorf("%d bytes are kept, %d are charged, %d are there", x.holds(), c.held.Bytes(), len(x.in))
	}
}

// The input grows with what is received and, for a command that says how long it is, to no more
// than that; what was needed for another one is given back.
func TestExchangeHoldsLittle(t *testing.T) {
	t.Parallel()
	x := newTestExchange(t)
	piece := bytes.Repeat([]byte("x"), 10_000)
	const size = 1_000_000
	head := fmt.Sprintf("*2\r\n$4\r\nECHO\r\n$%d\r\n", size)
	x.client.receive([]byte(head))
	for n := 0; n < size-len(piece); n += len(piece) {
		if x.take(); cap(x.in) > 2*len(x.in)+1000 || cap(x.in) > len(head)+size+2 {
			t.Fatalf("room for %d bytes when %d are there", cap(x.in), len(x.in))
		}
		if want := len(head) + size + 2 - len(x.in); len(x.in) > 100_000 && x.missing() != want {
			t.Fatalf("%d bytes are missing, want %d", x.missing(), want)
		}
		if !x.hold(0) {
			t.Fatal("there is no room for the first")
		}
		x.client.receive(piece)
	}
	if held := x.door.gate.Stats().Held; held < size-freeHeld || held > 3*size/2 {
		t.Errorf("%d bytes are charged", held)
	}
	feed(x, append(piece, "\r\nDEL"+strings.Repeat(" x", 20_000)+"\r\nIN"...))
	x.compact()
	if !x.hold(100) || x.holds() > spareHeld || string(x.in) != "IN" {
		t.Errorf("%d bytes are held behind %.20q", x.holds(), x.in)
	}
	const most = 256 << 20
	others := new(gate.Held)
	if own := x.client.held.Bytes(); !x.door.gate.Hold(others, most-own) {
		t.Fatal("there is no room for others")
	}
	if !x.hold(100) || x.holds() > 1000 || x.client.held.Bytes() != 0 {
		t.Errorf("%d bytes are held when there is no room, %d are charged", x.holds(), x.client.held.Bytes())
	}
	if got := string(feed(x,
		append([]byte("CR x\r\n*2\r\n$4\r\nECHO\r\n$30000\r\n"), make([]byte, 29_000)...))); got != ":1\r\n" {
		t.Errorf("answered %q", got)
	}
	if x.compact(); x.hold(100) {
		t.Error("a long command is waited for though there is no room")
	}
}

// A turn takes a bounded number of operations and bytes of replies, and the rest in its next ones.
func TestTurnsAreBounded(t *testing.T) {
	t.Parallel()
	x := newTestExchange(t)
	for _, in := range []string{strings.Repeat("INCR x\n", 50_000), strings.Repeat("INFO\n", 2000),
		strings.Repeat("COMMAND\n", 100), strings.Repeat("INCR x\nECHO "+strings.Repeat("y", 1000)+"\n", 1000)} {
		x.in, x.at = []byte(in), 0
		for turns := 0; ; turns++ {
			x.take()
			if len(x.ops) > gate.MaxTurnOps || len(x.out)+len(x.ready) > maxTurnReplies+64<<10 {
				t.Fatalf("%.10q: %d operations, %d and %d bytes in a turn", in, len(x.ops), len(x.out), len(x.ready))
			}
			x.answer()
			x.out = nil
			if !x.more {
				if turns < 3 {
					t.Errorf("%.10q: all in %d turns", in, turns+1)
				}
				break
			}
		}
	}
	// A command with very many topics has a turn of its own.
	x.in, x.at = []byte("INCR x\nDEL"+strings.Repeat(" x", 5000)+"\nINCR x\n"), 0
	for _, want := range []int{1, 5000, 1} {
		x.take()
		if len(x.ops) != want {
			t.Errorf("%d operations in a turn, want %d", len(x.ops), want)
		}
		x.answer()
	}
	// With few places in flight a turn takes no more than there are.
	x = newBoundedExchange(t, 10, 256<<20)
	x.in, x.at = []byte(strings.Repeat("INCR x\n", 25)), 0
	for _, want := range []int{10, 10, 5} {
		x.take()
		if len(x.ops) != want {
			t.Errorf("%d operations in a turn, want %d", len(x.ops), want)
		}
		x.answer()
	}
}

// What was taken makes room for what follows, also when there is always the beginning of a further
// command.
func TestInputIsCompacted(t *testing.T) {
	t.Parallel()
	x := newTestExchange(t)
	feed(x, []byte("PI"))
	for range 1000 {
		if got := string(feed(x, []byte("NG\r\nPI"))); got != "+PONG\r\n" {
			t.Fatalf("answered %q", got)
		}
	}
	if cap(x.in) > 100 {
		t.Errorf("room for %d bytes", cap(x.in))
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{""}, []string{"a"}},
		{"*", []string{"", "a", "abc", "\xff"}, nil},
		{"a*", []string{"a", "ab", "abc"}, []string{"", "ba"}},
		{"*a", []string{"a", "ba", "aba"}, []string{"", "ab"}},
		{"*a*", []string{"a", "bab"}, []string{"", "b"}},
		{"a*b*c", []string{"abc", "axxbyyc", "abbcc"}, []string{"ab", "acb", "abcx"}},
		{"*ab*ab", []string{"abab", "xabyab", "ababab"}, []string{"ab", "abaab x"}},
		{"?", []string{"a", "?"}, []string{"", "ab"}},
		{"a??d", []string{"abcd"}, []string{"abd", "abcde"}},
		{"**?**", []string{"a", "ab"}, []string{""}},
		{"[abc]", []string{"a", "b", "c"}, []string{"d", "", "ab"}},
		{"[a-c]x", []string{"ax", "bx", "cx"}, []string{"dx", "-x"}},
		{"[c-a]", []string{"a", "b", "c"}, []string{"d"}},
		{"[^a-c]", []string{"d", "^"}, []string{"a", "b", ""}},
		{"[a^]", []string{"a", "^"}, []string{"b"}},
		{"[a-]", []string{"a", "]", "^"}, []string{"-", "b"}}, // as Redis has it: from a to ]
		{`[\]]`, []string{"]"}, []string{`\`}},
		{`[\-a]`, []string{"-", "a"}, []string{`\`}},
		{"[]a", []string{}, []string{"a", "]a", ""}},
		{"[^]a", []string{"xa"}, []string{"a"}},
		{"[abc", []string{"a", "c"}, []string{"[", "d"}},
		{"[", nil, []string{"[", "a", ""}},
		{`\*`, []string{"*"}, []string{"a", `\`}},
		{`a\`, []string{`a\`}, []string{"a"}},
		{"order:[0-9]*", []string{"order:1", "order:10"}, []string{"order:", "order:x"}},
		{"é*", []string{"é", "école"}, []string{"e"}},
	} {
		for _, s := range c.yes {
			if !matches([]byte(c.pattern), []byte(s)) {
				t.Errorf("%q does not match %q", c.pattern, s)
			}
		}
		for _, s := range c.no {
			if matches([]byte(c.pattern), []byte(s)) {
				t.Errorf("%q matches %q", c.pattern, s)
			}
		}
	}
}

// FuzzMatches holds matching against the plain definition.
func FuzzMatches(f *testing.F) {
	f.Add("a*[b-d]?\\*", "axxc1*")
	f.Add("*a*b*a", "aabbaba")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 12 {
			return
		}
		if got, want := matches([]byte(pattern), []byte(s)), defined([]byte(pattern), []byte(s)); got != want {
			t.Errorf("%q, %q: %v, want %v", pattern, s, got, want)
		}
	})
}

func defined(pattern, s []byte) bool {
	switch {
	case len(pattern) == 0:
		return len(s) == 0
	case pattern[0] == '*':
		return defined(pattern[1:], s) || len(s) > 0 && defined(pattern, s[1:])
	case len(s) == 0:
		return false
	}
	n, ok := matchesOne(pattern, s[0])
	return ok && defined(pattern[n:], s[1:])
}

// BenchmarkExchange is what a command costs beside sockets and store: parsing, planning, answering.
func BenchmarkExchange(b *testing.B) {
	for _, c := range []struct{ name, command string }{
		{"INCR", "*2\r\n$4\r\nINCR\r\n$20\r\ncounter:000000123456\r\n"},
		{"INCRBY", "*3\r\n$6\r\nINCRBY\r\n$20\r\ncounter:000000123456\r\n$2\r\n10\r\n"},
		{"GET", "*2\r\n$3\r\nGET\r\n$20\r\ncounter:000000123456\r\n"},
		{"PING", "*1\r\n$4\r\nPING\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			const pipeline = 128
			x := newTestExchange(b)
			in := []byte(strings.Repeat(c.command, pipeline))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%pipeline != 0 {
					continue
				}
				x.in, x.at = append(x.in[:0], in...), 0
				x.take()
				for i := range x.ops {
					x.ops[i].Sum, x.ops[i].Err = uint64(n), nil
				}
				x.answer()
				x.out, x.taken = x.out[:0], 0
			}
		})
	}
}
