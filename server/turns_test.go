package server_test

import (
	"strings"
	"testing"

	"gcd/server"
)

// A command with very many patterns, each of which would be held against every setting, keeps no
// loop from its other connections.
func TestRESPConfigTakesNotAllPatterns(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, _ := serveFake(t, o)
		c := dialRESP(t, s, 2)
		patterns := func(n int) string {
			return array(append([]string{"CONFIG", "GET"}, strings.Fields(strings.Repeat("a*b*c ", n))...)...)
		}
		say(t, c, patterns(1000), "*0\r\n")
		say(t, c, patterns(1001), "-ERR too many patterns: CONFIG GET takes 1000 at most\r\n")
	})
}
