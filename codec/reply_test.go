package codec

import (
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
)

// sums are the replies to a COUNT, byte for byte.
var sums = []struct {
	sum uint64
	msg string
}{
	{0, "\x80\x00"},
	{1, "\x80\x01"},
	{127, "\x80\x7f"},
	{128, "\x80\x80"},
	{255, "\x80\xff"},
	{256, "\x80\x01\x00"},
	{65535, "\x80\xff\xff"},
	{65536, "\x80\x01\x00\x00"},
	{1<<24 - 1, "\x80\xff\xff\xff"},
	{1 << 24, "\x80\x01\x00\x00\x00"},
	{1 << 32, "\x80\x01\x00\x00\x00\x00"},
	{1 << 40, "\x80\x01\x00\x00\x00\x00\x00"},
	{1 << 48, "\x80\x01\x00\x00\x00\x00\x00\x00"},
	{1 << 56, "\x80\x01\x00\x00\x00\x00\x00\x00\x00"},
	{0x0123456789abcdef, "\x80\x01\x23\x45\x67\x89\xab\xcd\xef"},
	{1 << 63, "\x80\x80\x00\x00\x00\x00\x00\x00\x00"},
	{math.MaxUint64, "\x80\xff\xff\xff\xff\xff\xff\xff\xff"},
}

func TestCountReply(t *testing.T) {
	t.Parallel()
	for _, c := range sums {
		if got := AppendCountReply([]byte("before"), c.sum); string(got) != "before"+c.msg {
			t.Errorf("%d: got % x, want % x", c.sum, got[6:], c.msg)
		}
		// Every width that the receiver has to take.
		for digits := c.msg[1:]; len(digits) <= 8; digits = "\x00" + digits {
			got, err := ParseReply([]byte("\x80" + digits))
			if want := (Reply{Op: 128, Sum: c.sum}); err != nil || got != want {
				t.Errorf("% x: got %+v, %v; want %+v", digits, got, err, want)
			}
		}
	}
}

func TestResetReply(t *testing.T) {
	t.Parallel()
	if got := AppendResetReply([]byte("before")); string(got) != "before\x81" {
		t.Errorf("got %q", got)
	}
	if got, err := ParseReply([]byte("\x81")); err != nil || got != (Reply{Op: 129}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	x := func(n int) string { return strings.Repeat("x", n) }
	cases := []struct {
		name string
		msg  string // as received
		code Code
		text string // as given to AppendRefusal, and as received
	}{
		{"no text", "\xff\x01", 1, ""},
		{"text", "\xff\x06at most 1000000 topics", 6, "at most 1000000 topics"},
		{"characters", "\xff\x04caf\xc3\xa9 \xe2\x82\xac", 4, "café €"},
		{"replacement character", "\xff\x04\xef\xbf\xbd", 4, "\ufffd"},
		{"longest text", "\xff\x02" + x(256), 2, x(256)},
		{"longest text ends with a character", "\xff\x02" + x(253) + "\xe2\x82\xac", 2, x(253) + "€"},
		{"unknown code", "\xff\xc8", 200, ""},
		{"code zero", "\xff\x00", 0, ""},
		{"last code", "\xff\xff", 255, ""},
	}
	for _, c := range cases {
		if got := AppendRefusal([]byte("before"), c.code, c.text); string(got) != "before"+c.msg {
			t.Errorf("%s: appended %.60q", c.name, got)
		}
		got, err := ParseReply([]byte(c.msg))
		if want := (Reply{Op: 255, Code: c.code, Text: c.text}); err != nil || got != want {
			t.Errorf("%s: parsed %+v, %v", c.name, got, err)
		}
	}
}

// TestRefusalText gives texts that do not pass as they are, to both sides.
func TestRefusalText(t *testing.T) {
	t.Parallel()
	x := func(n int) string { return strings.Repeat("x", n) }
	cases := []struct{ name, text, want string }{
		{"too long", x(257), x(256)},
		{"much too long", x(1 << 20), x(256)},
		{"cut inside two bytes", x(255) + "é", x(255)},
		{"cut inside three bytes", x(254) + "€" + x(9), x(254)},
		{"cut inside four bytes", x(253) + "😀" + x(9), x(253)},
		{"what is cut off does not matter", x(256) + "\xff\x1b\n", x(256)},
		{"not UTF-8", "caf\xe9", ""},
		{"ends in the middle of a character", "abc\xe2\x82", ""},
		{"nothing but continuations", strings.Repeat("\x80", 300), ""},
		{"escape sequence", "\x1b[2J", ""},
		{"line end", "one\ntwo", ""},
		{"carriage return", "one\rtwo", ""},
		{"zero byte", "one\x00", ""},
		{"C1 control", "\u009b2J", ""},
		{"direction override", "abc\u202edef", ""},
		{"line separator", "abc\u2028def", ""},
	}
	for _, c := range cases {
		if got := AppendRefusal(nil, 4, c.text); string(got) != "\xff\x04"+c.want {
			t.Errorf("%s: appended %.60q", c.name, got)
		}
		got, err := ParseReply([]byte("\xff\x04" + c.text))
		if err != nil || got != (Reply{Op: 255, Code: 4, Text: c.want}) {
			t.Errorf("%s: parsed %.60q, %v", c.name, got.Text, err)
		}
	}
}

// notReplies are messages that no server of the protocol sends.
var notReplies = []struct{ name, msg string }{
	{"empty", ""},
	{"sum of no bytes", "\x80"},
	{"sum of nine bytes", "\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
	{"sum of nine bytes, the first zero", "\x80\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
	{"sum of very many bytes", "\x80" + strings.Repeat("\x00", 1<<16)},
	{"data after the answer to a RESET", "\x81\x00"},
	{"refusal without a code", "\xff"},
	{"request", "\x00orders"},
	{"unknown opcode", "\x82\x01"},
	{"last opcode before the refusal", "\xfe\x01"},
}

func TestParseReplyRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range notReplies {
		got, err := ParseReply([]byte(c.msg))
		if !errors.Is(err, ErrBadReply) {
			t.Errorf("%s: got %v, want ErrBadReply", c.name, err)
		}
		if got != (Reply{}) {
			t.Errorf("%s: an error came with %+v", c.name, got)
		}
	}
}

func TestRepliesAllocateNothing(t *testing.T) { // not parallel: it counts allocations
	dst := make([]byte, 0, MaxReply)
	if n := testing.AllocsPerRun(10, func() {
		for _, c := range sums {
			if r, err := ParseReply(AppendCountReply(dst, c.sum)); err != nil || r.Sum != c.sum {
				t.Fatalf("got %+v, %v", r, err)
			}
		}
		if _, err := ParseReply(AppendResetReply(dst)); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseReply(AppendRefusal(dst, CodeLoading, "")); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestReplyTextIsBounded checks that a long text is not copied before it is cut.
func TestReplyTextIsBounded(t *testing.T) { // not parallel: it counts allocated bytes
	msg := []byte("\xff\x01" + strings.Repeat("x", 1<<20))
	const runs = 16
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		if _, err := ParseReply(msg); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / runs; n > uint64(len(msg))/2 {
		t.Errorf("%d bytes allocated for a text of at most %d", n, MaxText)
	}
}

// TestRedisErrors: a client of RESP knows the code by the error that it was refused with, but where
// RESP has one error for two codes.
func TestRedisErrors(t *testing.T) {
	t.Parallel()
	want := map[Code]Code{CodeTooManyConnsAddr: CodeTooManyConns, CodeTooManyRefusals: CodeMalformed}
	for _, c := range codes {
		code, also := want[c]
		if !also {
			code = c
		}
		if got := CodeOfRedisError([]byte(c.RedisError())); got != code {
			t.Errorf("code %d is %q over RESP, which is read as code %d, want %d", c, c.RedisError(), got, code)
		}
	}
	for text, want := range map[string]Code{
		"WRONGPASS invalid username-password pair or user is disabled.": CodeNotAuthenticated,
		"ERR TLS required": CodeNotAuthenticated,
		"NOPERM User web has no permissions to run the 'reset' command": CodeNotPermitted,
		"NOAUTHENTICATION is another word":                              CodeMalformed,
	} {
		if got := CodeOfRedisError([]byte(text)); got != want {
			t.Errorf("%q is read as code %d, want %d", text, got, want)
		}
	}
}
