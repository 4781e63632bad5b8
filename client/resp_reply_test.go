package client

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"gcd/codec"
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
			if r, size, err := parseReply([]byte(test.bytes[:cut])); size != 0 || test.want != "" && err != nil {
				t.Errorf("%q: %+v, size %d, %v", test.bytes[:cut], r, size, err)
			}
		}
		r, size, err := parseReply([]byte(test.bytes + "+more\r\n"))
		switch got := fmt.Sprintf("%c %d %q", r.kind, r.number, r.text); {
		case test.want == "" && (err == nil || size != 0):
			t.Errorf("%q: %s, size %d, %v, want an error", test.bytes, got, size, err)
		case test.want != "" && (err != nil || got != test.want || size != len(test.bytes)):
			t.Errorf("%q: %s, size %d, %v, want %s, size %d", test.bytes, got, size, err, test.want, len(test.bytes))
		}
	}
}

// Two readings of any bytes agree: reading what is there so far never tells something else than reading all of it.
func FuzzParseReply(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "-ERR no\r\n", ":12\r\n", "$2\r\n12\r\n", "$20\r\n18446744073709551615\r\n", "$-1\r\n", "*1\r\n", "\xff\x02"} {
		f.Add([]byte(seed), 1)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole, size, err := parseReply(b)
		if size < 0 || size > len(b) || err != nil && size != 0 {
			t.Fatalf("%q: size %d, %v", b, size, err)
		}
		if cut < 0 || cut > len(b) {
			return
		}
		part, partSize, partErr := parseReply(b[:cut])
		switch {
		case partErr != nil && err == nil, partSize != 0 && partSize != size:
			t.Fatalf("%q: %d, %v, but of %d bytes %d, %v", b, size, err, cut, partSize, partErr)
		case partSize != 0 && (part.kind != whole.kind || part.number != whole.number || !bytes.Equal(part.text, whole.text)):
			t.Fatalf("%q: %+v, but of %d bytes %+v", b, whole, cut, part)
		}
		if size > 0 && whole.kind == ':' && !bytes.Contains(b[:size], []byte(strconv.FormatUint(whole.number, 10))) {
			t.Fatalf("%q is read as %d", b[:size], whole.number)
		}
	})
}

// The errors of servers, each with the code that the same refusal has in the protocol.
func TestRefusal(t *testing.T) {
	t.Parallel()
	for text, code := range map[string]codec.Code{
		"ERR unknown command 'GCD.COUNT', with args beginning with: 'orders' ":                                        2,
		"ERR topic is too long: it has at most 65535 bytes":                                                           3,
		"ERR topic is not UTF-8":                                                                                      4,
		"ERR topic is too long for this server":                                                                       5,
		"OOM too many topics: the server holds as many as it may":                                                     6,
		"ERR increment or decrement would overflow":                                                                   7,
		"BUSY too many requests in flight: try again later":                                                           8,
		"ERR max number of clients reached":                                                                           9,
		"MISCONF no room for the log: the disk is full":                                                               11,
		"LOADING the server is shutting down: try again when it is back":                                              12,
		"ERR Protocol error: the command was not complete in time":                                                    13,
		"LOADING gcd is loading its counters, try again soon":                                                         14,
		"MISCONF stopped after a disk error: the server counts no more and exits":                                     16,
		"ERR value is not an integer from 1 to 18446744073709551615":                                                  1,
		"EXECABORT Transaction discarded because what it changes may not fit into one record of the log: count fewer": 3,
		"ERR transaction is too long: its commands have at most 1048576 bytes":                                        3,
		"EXECABORT Transaction discarded because of previous errors.":                                                 1,
		"NOAUTH Authentication required.":                                                                             1,
		"":                                                                                                            1,
	} {
		var refusal *RefusedError
		if err := refusalOf(text); !errors.As(err, &refusal) || refusal.Code != code || refusal.Text != text {
			t.Errorf("%q: %v, want code %d", text, err, code)
		}
	}
}

func refusalOf(text string) error { return refusal([]byte(text)) }
