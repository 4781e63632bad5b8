package redis

import (
	"strings"
	"testing"

	"gcd/internal/access"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/store/core"
)

// BenchmarkRights is what a count in a pipeline of 128 costs beside the backend: without rules,
// with a right over everything, over one prefix and over a thousand, and if it is denied.
func BenchmarkRights(b *testing.B) {
	var thousand strings.Builder
	for i := range 999 {
		thousand.WriteString(" count:" + string(rune('a'+i/26%26)) + string(rune('a'+i%26)) + "/")
	}
	for _, c := range []struct{ name, rights string }{{"none", ""}, {"everything", "count:"},
		{"prefix", "count:orders/"}, {"thousand", "count:orders/" + thousand.String()}, {"denied", "count:x/"}} {
		b.Run(c.name, func(b *testing.B) {
			l := newLab(nil)
			token := ""
			if c.rights != "" {
				rules, tokens := rulesOf(b, "somebody token "+c.rights)
				l = newLab(func(_ *Options, g *gate.Options) { g.Rules = func() *access.Rules { return rules } })
				token = tokens["somebody"]
			}
			client := l.connect()
			if token != "" {
				hear(client, "AUTH "+token+"\r\n")
			}
			pipeline := []byte(strings.Repeat("*2\r\n$4\r\nINCR\r\n$9\r\norders/12\r\n", 128))
			b.ReportAllocs()
			for range b.N {
				a := client.Advance(session.Event{Kind: session.Bytes, Bytes: pipeline, Drained: true})
				for a.Next != session.Read {
					switch a.Next {
					case session.Commit:
						for i := range a.Group.Ops {
							op := &a.Group.Ops[i]
							op.Err, op.Sum, op.Kind = nil, 1<<40, core.Count
						}
						l.door.gate.Done(a.Claim)
						a = client.Advance(session.Event{Kind: session.Outcome})
					case session.Write:
						a = client.Advance(session.Event{Kind: session.Written})
					default:
						a = client.Advance(session.Event{Kind: session.Turn})
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/128, "ns/count")
		})
	}
}
