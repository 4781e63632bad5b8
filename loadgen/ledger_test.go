package loadgen

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestLedger: steps on the topic 0, and what they add up to. A step is s (send), a value that comes
// back to the oldest request under way, or ? (its outcome is unknown), or ! (it was refused).
func TestLedger(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		steps   string
		want    Verification
		example string
	}{
		{"", Verification{}, ""},
		{"s", Verification{Topics: 1}, ""},
		{"s 1 s 2 s 3", Verification{Topics: 1, Values: 3}, ""},
		{"s s s 3 1 2", Verification{Topics: 1, Values: 3}, ""}, // under way at the same time: any order
		{"s s s 1 ? 3", Verification{Topics: 1, Values: 2, Explained: 1}, ""},
		{"s s s ? ? 3", Verification{Topics: 1, Values: 1, Explained: 2}, ""},
		{"s s 1 ?", Verification{Topics: 1, Values: 1}, ""}, // not counted, or the last
		{"s s s ! ! 1", Verification{Topics: 1, Values: 1}, ""},
		{"s s s 1 ! 3", Verification{Topics: 1, Values: 2, Gaps: 1},
			"lacks 1 of the values up to 3, from 2 on; 0 outcomes are unknown"},
		{"s s s s ? ! ! 4", Verification{Topics: 1, Values: 1, Explained: 1, Gaps: 2},
			"lacks 3 of the values up to 4, from 1 on; 1 outcomes are unknown"},
		{"s 1 s 1", Verification{Topics: 1, Values: 1, Duplicates: 1}, "handed out 1 twice"},
		// An unknown outcome explains none.
		{"s s ? 1 s 1", Verification{Topics: 1, Values: 1, Duplicates: 1}, "handed out 1 twice"},
		{"s 2", Verification{Topics: 1, Impossible: 1}, "answered 2 to the request of number 1"},
		{"s 0", Verification{Topics: 1, Impossible: 1}, "answered 0"},
		{"s 18446744073709551615", Verification{Topics: 1, Impossible: 1}, "answered 18446744073709551615"},
		{"s s 2 s 1", Verification{Topics: 1, Values: 2}, ""},
		{"s s 2 s ? 1", Verification{Topics: 1, Values: 2, Disorders: 1}, "handed out 1 after 2"},
	} {
		t.Run(test.steps, func(t *testing.T) {
			t.Parallel()
			l := newLedger(&Options{Topics: 1, Prefix: "t:"})
			var floors []uint64
			for _, step := range strings.Fields(test.steps) {
				if step == "s" {
					floors = append(floors, l.sending(0))
					continue
				}
				switch step {
				case "?":
					l.lost(0)
				case "!":
				default:
					var value uint64
					fmt.Sscan(step, &value)
					l.received(0, value, floors[0])
				}
				floors = floors[1:]
			}
			got := l.verification()
			examples := strings.Join(got.Examples, "")
			if examples != "" && test.example == "" || !strings.Contains(examples, test.example) {
				t.Errorf("examples %q, want %q", got.Examples, test.example)
			}
			wrong := test.want.Gaps + test.want.Duplicates + test.want.Impossible + test.want.Disorders
			if got.OK() != (wrong == 0) {
				t.Errorf("OK is %t", got.OK())
			}
			got.Examples = nil
			if fmt.Sprint(*got) != fmt.Sprint(test.want) {
				t.Errorf("got %+v, want %+v", *got, test.want)
			}
		})
	}
}

// TestLedgerFarApart: values beyond the first word of bits, with one taken out and one twice.
func TestLedgerFarApart(t *testing.T) {
	t.Parallel()
	const n = 1000
	for range 20 {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		l := newLedger(&Options{Topics: 2, Prefix: "t:"})
		missing, twice := random.Uint64N(n-1)+1, random.Uint64N(n)+1
		for range n + 1 {
			l.sending(1)
		}
		for _, i := range random.Perm(n) {
			if value := uint64(i) + 1; value != missing {
				l.received(1, value, 0)
			}
		}
		l.received(1, twice, 0)
		v := l.verification()
		wantGaps, wantTwice := uint64(1), uint64(1)
		if missing == twice {
			wantGaps, wantTwice = 0, 0
		}
		if v.Gaps != wantGaps || v.Duplicates != wantTwice || v.Topics != 1 {
			t.Errorf("seed %d: without %d and with %d twice: %+v", seed, missing, twice, v)
		}
		text := fmt.Sprintf("from %d on", missing)
		if wantGaps == 1 && !strings.Contains(strings.Join(v.Examples, " "), text) {
			t.Errorf("seed %d: examples %q, want %q", seed, v.Examples, text)
		}
	}
}

// TestExamples: a server that lies all the time is not quoted for ever.
func TestExamples(t *testing.T) {
	t.Parallel()
	l := newLedger(&Options{Topics: 1})
	for range 1000 {
		l.sending(0)
		l.received(0, 0, 0)
	}
	if v := l.verification(); v.Impossible != 1000 || len(v.Examples) != maxExamples {
		t.Errorf("%d, %d examples", v.Impossible, len(v.Examples))
	}
}
