package access

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// rules reads rules that are right.
func rules(t testing.TB, lines ...string) *Rules {
	t.Helper()
	r, err := Parse("auth", []byte(strings.Join(lines, "\n")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestMay compares with the prefixes one by one, over all topics of a few letters.
func TestMay(t *testing.T) {
	t.Parallel()
	topics := []string{""}
	for i := 0; len(topics) < 400; i++ {
		for _, c := range []string{"a", "b", "\x00", "\xff"} {
			topics = append(topics, topics[i]+c)
		}
	}
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	for range 500 {
		var grants []grant
		for range random.IntN(8) {
			// Topics that are longer than most are more often prefixes of none.
			grants = append(grants, grant{Right(1 + random.IntN(3)), topics[random.IntN(100)]})
		}
		p := &Principal{}
		p.grant(grants)
		for r := Right(0); r <= Read+1; r++ {
			some, all := false, false
			for _, g := range grants {
				some, all = some || g.right == r, all || g == grant{r, ""}
			}
			if p.Has(r) != some || p.Everything(r) != all {
				t.Fatalf("%q: %s: Has is %t and Everything %t, want %t and %t", grants, r, p.Has(r), p.Everything(r),
					some, all)
			}
			for _, topic := range topics {
				want := slices.ContainsFunc(grants, func(g grant) bool {
					return g.right == r && strings.HasPrefix(topic, g.prefix)
				})
				if p.May(r, []byte(topic)) != want {
					t.Fatalf("%q: %s over %q is %t, want %t", grants, r, topic, !want, want)
				}
			}
		}
	}
}

// TestNobodyMayNothing: what was forgotten is refused.
func TestNobodyMayNothing(t *testing.T) {
	t.Parallel()
	all := rules(t, "anonymous - count: reset: read: backup admin").Anonymous()
	for _, r := range []Right{0, Admin + 1, 31, 32, 33, 64, 255} {
		if all.May(r, nil) || all.Has(r) || all.Everything(r) {
			t.Errorf("who may everything has the right %d, which is none", r)
		}
	}
	none := rules(t, "local unix").Local()
	for r := range Right(255) {
		for _, p := range []*Principal{nil, none, {}} {
			if p.May(r, nil) || p.May(r, []byte("a")) || p.Has(r) || p.Everything(r) {
				t.Errorf("who has no rights, %v, has %s", p != nil, r)
			}
		}
	}
	if name := (*Principal)(nil).Name(); name != "" {
		t.Errorf("nobody is called %q", name)
	}
}

// TestStoreRights: what is over the whole store has no prefix, and is over each topic.
func TestStoreRights(t *testing.T) {
	t.Parallel()
	p := rules(t, "local unix backup").Local()
	if !p.Has(Backup) || !p.Everything(Backup) || !p.May(Backup, []byte("a")) {
		t.Error("who has backup may not take one")
	}
	if p.Has(Admin) || p.Has(Read) || p.May(Read, []byte("a")) {
		t.Error("who has backup has other rights, too")
	}
}

// TestMayAllocatesNothing is alone, since what others allocate would be counted.
func TestMayAllocatesNothing(t *testing.T) {
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("count:tenant%03d/", i)
	}
	token, secret := NewToken()
	r := rules(t, "anonymous - "+strings.Join(many, " "), "billing "+secret)
	topic, text := []byte("tenant050/orders"), []byte(token)
	allocations := testing.AllocsPerRun(100, func() {
		if !r.Anonymous().May(Count, topic) || r.Anonymous().May(Reset, topic) {
			t.Error("a right is another one")
		}
		if r.ByToken("billing", text) == nil {
			t.Error("a token is not known")
		}
	})
	if allocations != 0 {
		t.Errorf("asking allocates %v times", allocations)
	}
}

func BenchmarkMay(b *testing.B) {
	topic := []byte("tenant050/orders")
	for _, c := range []struct {
		name  string
		count int
	}{{"everything", 0}, {"1", 1}, {"10", 10}, {"100", 100}} {
		line := "anonymous -"
		for i := range c.count {
			line += fmt.Sprintf(" count:tenant%03d/", 50-c.count/2+i)
		}
		if c.count == 0 {
			line += " count:"
		}
		p := rules(b, line).Anonymous()
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !p.May(Count, topic) {
					b.Fatal("it may not")
				}
			}
		})
	}
}
