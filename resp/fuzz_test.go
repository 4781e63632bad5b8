package resp

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzParser: no bytes make a parser panic or claim memory that they do not pay for; what it finds
// does not depend on how they were split; and a command that is written as an array says the same
// again.
func FuzzParser(f *testing.F) {
	for _, c := range commands {
		f.Add([]byte(c.in), uint(1), uint(len(c.in)/2))
	}
	for _, c := range malformed {
		if len(c.in) < 100 {
			f.Add([]byte("PING\r\n"+c.in), uint(3), uint(len(c.in)))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, i, j uint) {
		p := new(Parser)
		whole := parse(p, string(in))
		if n := cap(p.args); n > 2*len(in)+8 {
			t.Errorf("room for %d arguments of %d bytes", n, len(in))
		}
		i = min(i, uint(len(in)))
		j = max(i, min(j, uint(len(in))))
		split := parse(new(Parser), string(in[:i]), string(in[i:j]), string(in[j:]))
		if whole.String() != split.String() {
			t.Errorf("whole: %v\nsplit: %v", whole, split)
		}
		var e Error
		if whole.err != nil && !errors.As(whole.err, &e) {
			t.Errorf("error %T", whole.err)
		}
		var again []byte
		for _, args := range whole.commands {
			again = AppendArray(again, len(args))
			for _, arg := range args {
				again = AppendBulk(again, arg)
			}
		}
		if got := parse(new(Parser), string(again)); got.err != nil || got.rest != "" {
			t.Errorf("written again: %v", got)
		} else if got.err, got.rest = whole.err, whole.rest; got.String() != whole.String() {
			t.Errorf("first: %v\nagain: %v", whole, got)
		}
	})
}

// FuzzError: whatever a text holds, an error is one line.
func FuzzError(f *testing.F) {
	f.Add("ERR a\r\nb\n")
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendError(nil, s)
		if b[0] != '-' || bytes.IndexByte(b, '\r') != len(b)-2 || bytes.IndexByte(b, '\n') != len(b)-1 ||
			len(b) != len(s)+3 {
			t.Errorf("the error became %q, want one line that begins with -", b)
		}
	})
}
