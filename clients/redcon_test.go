package clients

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/redcon"

	"gcd/resp"
)

// commands are what a stream holds up to its end or to the first thing that is no command.
type commands struct {
	all  [][]string // those without a word left out, since they ask for nothing
	rest int        // bytes that are not a whole command yet; −1 after an error
}

// ours parses with the server's parser.
func ours(b []byte) (got commands) {
	var p resp.Parser
	for b = slices.Clone(b); ; { // it resolves escapes in place
		n, err := p.Next(b)
		if err != nil {
			got.rest = -1
			return got
		}
		if n == 0 {
			got.rest = len(b)
			return got
		}
		if args := p.Len(); args > 0 {
			words := make([]string, args)
			for i := range words {
				words[i] = string(p.Arg(i))
			}
			got.all = append(got.all, words)
		}
		b = b[n:]
	}
}

// theirs parses with redcon.
func theirs(b []byte) (got commands) {
	defer func() {
		if recover() != nil { // as it does for a length of -2
			got.rest = -1
		}
	}()
	for b = slices.Clone(b); len(b) > 0; {
		complete, args, _, rest, err := redcon.ReadNextCommand(b, nil)
		if err != nil {
			got.rest = -1
			return got
		}
		if !complete {
			break
		}
		if len(args) > 0 {
			words := make([]string, len(args))
			for i := range words {
				words[i] = string(args[i])
			}
			got.all = append(got.all, words)
		}
		b = rest
	}
	got.rest = len(b)
	return got
}

// common cuts a stream before the first command that redcon means to read otherwise than Redis, and
// so than we: an inline command with a blank other than a space, with quotes or with a dollar at
// its beginning; and an array of less than no arguments.
func common(b []byte) []byte {
	var p resp.Parser
	for rest := slices.Clone(b); len(rest) > 0; {
		at := len(b) - len(rest)
		line, _, _ := bytes.Cut(b[at:], []byte("\n"))
		if b[at] == '$' || bytes.HasPrefix(line, []byte("*-")) ||
			b[at] != '*' && bytes.ContainsAny(bytes.TrimSuffix(line, []byte("\r")), "\t\v\f\r\"'") {
			return b[:at]
		}
		n, err := p.Next(rest)
		if err != nil || n == 0 {
			break
		}
		rest = rest[n:]
	}
	return b
}

// FuzzAgainstRedcon: both parsers find the same commands in the same bytes, and what is good for
// ours is good for theirs. Ours refuses more: lengths that Redis refuses too, and what is over its
// bounds.
func FuzzAgainstRedcon(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = common(b)
		our, their := ours(b), theirs(b)
		n := len(our.all)
		if n > len(their.all) || !slices.EqualFunc(our.all, their.all[:n], slices.Equal) ||
			our.rest >= 0 && (n != len(their.all) || our.rest != their.rest) {
			t.Fatalf("%q: ours %q, theirs %q, left %d and %d", b, our.all, their.all, our.rest, their.rest)
		}
	})
}

var seeds = []string{
	"*1\r\n$4\r\nPING\r\n",
	"*2\r\n$4\r\nINCR\r\n$6\r\norders\r\n*2\r\n$4\r\nINCR\r\n$6\r\norders\r\n",
	"*3\r\n$6\r\nINCRBY\r\n$12\r\nwith\r\n\x00blank\r\n$2\r\n10\r\n*1\r\n$4\r\nPI",
	"PING\r\nINCR orders\r\n  GET \t orders  \r\n\r\n",
	"INCR \"two words\"\r\nECHO 'it\\'s'\r\nECHO \"\\x41\\n\"\r\n",
	"ECHO \"open\r\n", "ECHO a\"b\r\n", "*0\r\nPING\r\n", "*-1\r\nPING\r\n", "*1\r\n$0\r\n\r\n",
	"*1\r\n:1\r\n", "*a\r\n", "*1\r\n$-1\r\n", "*1\r\n$4\r\nPINGxx", "$4 PING\r\n", "*1\r\n$-2\r\n",
	"PING\r\n*+1\r\n$04\r\nPING\r\n",
	"*12\r\n" + strings.Repeat("$1\r\ny\r\n", 12), "*1\r\n$100\r\n" + strings.Repeat("x", 100) + "\r\n",
	"*2\r\n$4\r\nINCR\r\n$65000\r\n" + string(bytes.Repeat([]byte("é"), 32500)) + "\r\n",
}
