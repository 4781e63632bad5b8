package redis

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"gcd/internal/access"
	"gcd/internal/thin"
	"gcd/server/internal/gate"
	"gcd/server/internal/session/sessiontest"
	"gcd/store/core"
)

// territory is rules that change at any moment, none of which gives anybody a right beyond own/.
type territory struct {
	rules  []*access.Rules
	words  []string // that a client may say
	choose *sessiontest.Choices
	now    int
}

func newTerritory(t testing.TB) *territory {
	one, tokenOne := access.NewToken()
	two, tokenTwo := access.NewToken()
	one, tokenOne, two, tokenTwo = tokenOne, one, tokenTwo, two // hashes, and then tokens
	f := new(territory)
	for _, text := range []string{
		"one " + one + " count:own/ reset:own/ read:own/\ntwo " + two + " read:own/ admin\n",
		"renamed " + one + " count:own/b\ntwo " + two + " reset:own/\nanonymous - read:own/\n",
		"two " + two + " count:own/ read:own/a\nanonymous - count:own/\n",
		"one " + one + " read:own/ count:own/ reset:own/a\nanonymous -\n",
	} {
		rules, err := access.Parse("rules", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		f.rules = append(f.rules, rules)
	}
	f.words = []string{
		"AUTH " + tokenOne, "AUTH two " + tokenTwo, "AUTH x", "HELLO 3 AUTH default " + tokenOne + " SETNAME n",
		"HELLO 2 AUTH one " + tokenTwo, "RESET", "MULTI", "EXEC", "DISCARD", "MULTI", "EXEC",
		"INCR own/a", "INCR secret/a", "iNCR own", "INCRBY own/b 5", "INCRBY secret/a 5", "GCD.COUNT own0",
		"GCD.COUNT own/b 2",
		"GET own/a", "GET secret/a", "MGET own/a own/b own/a", "MGET own/a secret/a", "MGET secret/a own/a",
		"EXISTS own/a own/b secret/a", "TYPE secret/a", "TTL secret/b", "STRLEN secret/a", "GCD.INFO secret/a",
		"DEL own/a own/b", "DEL own/a secret/a", "UNLINK secret/a", "GETDEL secret/a", "GETDEL own/b", "SET secret/a 0",
		"SET own/a 0", "GETSET secret/a 0", "GCD.RESET own", "GCD.RESET own/a", "KEYS *", "KEYS s*", "SCAN 0",
		"SCAN 0 COUNT 1000", "SCAN 4294967297 COUNT 1", "DBSIZE", "GCD.BACKUP", "PING", "CLIENT LIST",
		"CONFIG GET port", "NOSUCH",
		"INCR", "COMMAND GETKEYS GET own/x", "AUTH " + tokenOne, "AUTH " + tokenTwo, "",
	}
	return f
}

// hold are the rules now, which may be others than just before.
func (f *territory) hold() *access.Rules {
	if f.choose != nil && f.choose.Of(8) == 1 {
		f.now = f.choose.Of(len(f.rules))
	}
	return f.rules[f.now]
}

// try has a client say words, and says what went beyond the rights of all rules.
func (f *territory) try(t *testing.T, words []byte, ch *sessiontest.Choices) {
	t.Helper()
	l := newLab(func(o *Options, g *gate.Options) {
		g.Rules = f.hold
		o.Backup = func(_ context.Context, w io.Writer, _ string) error {
			_, err := io.WriteString(w, "secret")
			return err
		}
	})
	f.choose, f.now = ch, ch.Of(len(f.rules))
	in := ""
	for _, word := range words {
		in += f.words[int(word)%len(f.words)] + "\r\n"
	}
	var pieces []string
	for range ch.Of(6) {
		n := ch.Of(len(in) + 1)
		pieces, in = append(pieces, in[:n]), in[n:]
	}
	w := l.worldIn(ch.Of(modes), append(pieces, in))
	w.Stops, w.Clocks, w.Most = ch.Of(4) == 0, ch.Of(2), []int{0, 1, 7, 100}[ch.Of(4)]
	for _, topic := range []string{"secret/a", "own/a", "secret/b", "own", "own0", "own/b", "secret/c"} {
		sum := uint64(7)
		if !strings.HasPrefix(topic, "own/") {
			sum = 777777
		}
		l.backend.Set(topic, sum)
	}
	l.backend.Outcome = func(op *core.Op) error {
		if op.Kind == core.Size || !bytes.HasPrefix(op.Topic, []byte("own/")) {
			t.Errorf("the backend was asked for %v of %q", op.Kind, op.Topic)
		}
		return nil
	}
	if err := w.Run(ch); err != nil {
		t.Fatalf("%.2000q, choices %v: %v", append(pieces, in), ch, err)
	}
	got := string(w.Clients[0].Got)
	for _, foreign := range []string{"77777", "secret", "own\r\n", "own0"} {
		if strings.Contains(got, foreign) {
			t.Errorf("%q is in the answer %.2000q", foreign, got)
		}
	}
	if t.Failed() {
		t.Fatalf("%.2000q, choices %v", append(pieces, in), ch)
	}
}

// Whatever a client says, as whom and by what rules, it does and learns nothing of topics beyond
// those that somebody may have.
func TestNobodyLeavesHisTerritory(t *testing.T) {
	t.Parallel()
	f := newTerritory(t)
	for seed := range uint64(5000 / thin.Step(10)) {
		ch := sessiontest.Random(seed)
		words := make([]byte, ch.Of(40))
		for i := range words {
			words[i] = byte(ch.Of(256))
		}
		f.try(t, words, ch)
	}
}

// FuzzTerritory is TestNobodyLeavesHisTerritory of words and choices that somebody else makes.
func FuzzTerritory(f *testing.F) {
	land := newTerritory(f)
	addSeeds(f)
	f.Fuzz(func(t *testing.T, words, choices []byte) {
		if len(words) > 100 { // what takes long finds little
			return
		}
		alone := *land
		alone.try(t, words, sessiontest.Chosen(choices))
	})
}
