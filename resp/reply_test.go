package resp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// What is whole is a reply or an error, and what is not yet whole is neither, at every byte of it.
func TestParseReply(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		bytes string
		want  string // kind, number and text; "" for an error
	}{
		{"+OK\r\n", `+ 0 "OK"`},
		{"+\r\n", `+ 0 ""`},
		{"-ERR a \r in it\r\n", `- 0 "ERR a \r in it"`},
		{":0\r\n", `: 0 ""`},
		{":42\r\n", `: 42 ""`},
		{"$2\r\n42\r\n", `$ 0 "42"`},
		{"$0\r\n\r\n", `$ 0 ""`},
		{"$4\r\n\r\n\r\n\r\n", `$ 0 "\r\n\r\n"`},
		{"$-1\r\n", `_ 0 ""`},
		{"*2\r\n", `* 2 ""`},
		{"*-1\r\n", ""},
		{"$-2\r\n", ""},
		{"$262145\r\n", ""},
		{":18446744073709551609\r\n", `: 18446744073709551609 ""`},
		{":18446744073709551620\r\n", ""},
		{":28446744073709551615\r\n", ""},
		{":+1\r\n", ""},
		{":1 \r\n", ""},
		{":1_0\r\n", ""},
		{"$+1\r\n1\r\n", ""},
		{"$1\r\n1\n\n", ""},
		{"$1\r\n1\r\r", ""},
		{"\r\n", ""},
		{"\n", ""},
		{"+\n", ""},
		{"(1\r\n", ""},
		{"#t\r\n", ""},
	} {
		for cut := range len(test.bytes) {
			if r, size, err := ParseReply([]byte(test.bytes[:cut])); size != 0 || test.want != "" && err != nil {
				t.Errorf("%q: %+v, size %d, %v", test.bytes[:cut], r, size, err)
			}
		}
		r, size, err := ParseReply([]byte(test.bytes + "+more\r\n"))
		switch got := fmt.Sprintf("%c %d %q", r.Kind, r.Number, r.Text); {
		case test.want == "" && (err == nil || size != 0):
			t.Errorf("%q: %s, size %d, %v, want an error", test.bytes, got, size, err)
		case test.want != "" && (err != nil || got != test.want || size != len(test.bytes)):
			t.Errorf("%q: %s, size %d, %v, want %s, size %d", test.bytes, got, size, err, test.want, len(test.bytes))
		}
	}
}

// The bounds are those that the constants name: a byte more is an error as soon as it is claimed,
// or there.
func TestLargestReplies(t *testing.T) {
	t.Parallel()
	line := "+" + strings.Repeat("x", MaxReplyLine-3) + "\r\n"
	text := fmt.Sprintf("$%d\r\n%s\r\n", MaxReplyText, strings.Repeat("x", MaxReplyText))
	for _, most := range []string{line, text} {
		if r, n, err := ParseReply([]byte(most)); n != len(most) || err != nil {
			t.Errorf("%.20q: %d bytes of text, length %d of %d, %v", most, len(r.Text), n, len(most), err)
		}
	}
	for _, more := range []string{"+" + strings.Repeat("x", MaxReplyLine-1), fmt.Sprintf("$%d\r\n", MaxReplyText+1)} {
		if _, n, err := ParseReply([]byte(more)); n != 0 || err == nil {
			t.Errorf("%.20q: length %d, and no error", more, n)
		}
	}
}

func TestParseReplyDoesNotAllocate(t *testing.T) {
	replies := []byte("+OK\r\n-ERR no\r\n:42\r\n$2\r\n43\r\n$-1\r\n*2\r\n$5\r\nhal")
	allocations := testing.AllocsPerRun(100, func() {
		for rest := replies; ; {
			r, n, err := ParseReply(rest)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				return
			}
			if r.Kind == '$' {
				if _, err := r.Uint(); err != nil {
					t.Fatal(err)
				}
			}
			rest = rest[n:]
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// Two readings of any bytes agree: reading what is there so far never gives something else than
// reading all of it.
func FuzzParseReply(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n", "-ERR no\r\n", ":12\r\n", "$2\r\n12\r\n", "$20\r\n18446744073709551615\r\n",
		"$-1\r\n", "*1\r\n", "\xff\x02",
	} {
		f.Add([]byte(seed), 1)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole, size, err := ParseReply(b)
		if most := MaxReplyLine + MaxReplyText + len("\r\n"); size == 0 && err == nil && len(b) >= most {
			t.Fatalf("%d bytes are no whole reply, and more are asked for", len(b))
		}
		if size < 0 || size > len(b) || err != nil && size != 0 {
			t.Fatalf("%q: size %d, %v", b, size, err)
		}
		if cut < 0 || cut > len(b) {
			return
		}
		part, partSize, partErr := ParseReply(b[:cut])
		switch {
		case partErr != nil && err == nil, partSize != 0 && partSize != size:
			t.Fatalf("%q: %d, %v, but of %d bytes %d, %v", b, size, err, cut, partSize, partErr)
		case partSize != 0 && (part.Kind != whole.Kind || part.Number != whole.Number ||
			!bytes.Equal(part.Text, whole.Text)):
			t.Fatalf("%q: %+v, but of %d bytes %+v", b, whole, cut, part)
		}
		if size > 0 && whole.Kind == ':' && !bytes.Contains(b[:size], []byte(strconv.FormatUint(whole.Number, 10))) {
			t.Fatalf("%q is read as %d", b[:size], whole.Number)
		}
	})
}
