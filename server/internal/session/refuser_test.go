package session_test

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/server/internal/session/sessiontest"
)

// Who is not let in is told why, once, in the language that he speaks, if he says anything before
// his time is over, and what he says besides is nothing to us.
func TestRefuser(t *testing.T) {
	t.Parallel()
	for _, code := range []codec.Code{codec.CodeTooManyConns, codec.CodeTooManyConnsAddr, codec.CodeShuttingDown} {
		binary, text := string(codec.AppendRefusal(nil, code, code.Advice())), "-"+code.RedisError()+"\r\n"
		for in, want := range map[string]string{"": binary, "\x00orders": binary, "*1\r\n$4\r\nPING\r\n": text} {
			g := gate.New(gate.Options{MaxConns: 1, MaxConnsPerSource: 1, MaxInFlight: 1, MaxInFlightBytes: 1,
				RefusalRate: 1, Logger: hclog.NewNullLogger()})
			for pieces := range min(2, len(in)+1) {
				sessiontest.Splits(in, pieces+1, 1, func(cut []string) {
					for mode := range 8 {
						sessiontest.Each(func(ch *sessiontest.Choices) bool {
							g.Refusing.Store(0)
							w := sessiontest.New(g, new(sessiontest.Backend))
							before := g.Stats().Refused[code]
							c := w.Add(&session.Refuser{Gate: g, Code: code, RESP: true}, cut...)
							w.Loops, c.Ends, w.Stops, w.Clocks = mode&1 > 0, mode&2 > 0, mode&4 > 0, 1
							if err := w.Run(ch); err != nil {
								t.Fatalf("%q, mode %d, choices %v: %v", cut, mode, ch, err)
							}
							want := want
							if c.Read == 0 { // he was late
								want = binary
							}
							told := g.Stats().Refused[code] - before
							if got := string(c.Got); got != want || c.Last != session.Linger || told != 1 {
								t.Fatalf("%q, mode %d, choices %v: told %q %d times and then %d, want %q",
									cut, mode, ch, got, told, c.Last, want)
							}
							return true
						})
					}
				})
			}
		}
	}
}
