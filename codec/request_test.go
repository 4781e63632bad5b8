package codec

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// requests are messages that a server takes, byte for byte.
var requests = []struct {
	name  string
	msg   string
	op    Op
	topic string
}{
	{"count", "\x00orders", OpCount, "orders"},
	{"reset", "\x01orders", OpReset, "orders"},
	{"count of the empty topic", "\x00", OpCount, ""},
	{"reset of the empty topic", "\x01", OpReset, ""},
	{"two bytes a character", "\x00\xc3\xa9", OpCount, "é"},
	{"three bytes a character", "\x00\xe2\x82\xac", OpCount, "€"},
	{"four bytes a character", "\x01\xf0\x9f\x98\x80", OpReset, "😀"},
	{"zero bytes in the topic", "\x00\x00\x01\x00", OpCount, "\x00\x01\x00"},
	{"line end in the topic", "\x00a\r\n", OpCount, "a\r\n"},
	{"longest datagram", "\x00" + strings.Repeat("u", 65506), OpCount, strings.Repeat("u", 65506)},
	{"longest message", "\x00" + strings.Repeat("t", 65535), OpCount, strings.Repeat("t", 65535)},
	{"longest message of long characters", "\x01" + strings.Repeat("€", 21845), OpReset, strings.Repeat("€", 21845)},
}

// refused are messages that a server refuses, with the code that it answers.
var refused = []struct {
	name string
	msg  string
	code Code
}{
	{"empty", "", 1},
	{"first reserved opcode", "\x02orders", 2},
	{"last reserved opcode", "\x1forders", 2},
	{"RESP", "*2\r\n$4\r\nINCR\r\n$6\r\norders\r\n", 2},
	{"HTTP", "GET / HTTP/1.1\r\n\r\n", 2},
	{"last request opcode", "\x7f", 2},
	{"opcode of a reply", "\x80\x01", 2},
	{"opcode of a refusal", "\xff\x01", 2},
	{"unknown opcode and too long", "\x02" + strings.Repeat("t", 65536), 2},
	{"one byte too long", "\x00" + strings.Repeat("t", 65536), 3},
	{"one byte too long for a reset", "\x01" + strings.Repeat("t", 65536), 3},
	{"too long and not UTF-8", "\x00" + strings.Repeat("\xff", 65536), 3},
	{"Latin-1", "\x00caf\xe9", 4},
	{"lone continuation", "\x00\x80", 4},
	{"cut character", "\x00\xe2\x82", 4},
	{"overlong", "\x00\xc0\xaf", 4},
	{"surrogate", "\x00\xed\xa0\x80", 4},
	{"above U+10FFFF", "\x00\xf4\x90\x80\x80", 4},
}

func TestParseRequest(t *testing.T) {
	t.Parallel()
	for _, c := range requests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			msg := []byte(c.msg)
			r, err := ParseRequest(msg)
			if err != nil {
				t.Fatalf("got %v", err)
			}
			if r.Op != c.op || string(r.Topic) != c.topic {
				t.Fatalf("got opcode %d, topic %.40q; want %d, %.40q", r.Op, r.Topic, c.op, c.topic)
			}
			if len(r.Topic) > 0 && &r.Topic[0] != &msg[1] {
				t.Error("the topic is a copy")
			}
		})
	}
}

func TestParseRequestRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := ParseRequest([]byte(c.msg))
			if r.Op != 0 || r.Topic != nil {
				t.Errorf("an error came with %+v", r)
			}
			var refusal *RefusalError
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v, want a *RefusalError", err)
			}
			if refusal.Code != c.code {
				t.Errorf("got code %d (%v), want %d", refusal.Code, err, c.code)
			}
			answer := AppendRefusal(nil, refusal.Code, refusal.Text)
			if string(answer[2:]) != refusal.Text || refusal.Text == "" {
				t.Errorf("the text %q does not survive the wire: %q", refusal.Text, answer)
			}
		})
	}
}

func TestAppendRequest(t *testing.T) {
	t.Parallel()
	for _, c := range requests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, prefix := range []string{"", "before"} {
				got, err := AppendRequest([]byte(prefix), c.op, c.topic)
				if err != nil || string(got) != prefix+c.msg {
					t.Errorf("string after %q: got %.40q, %v", prefix, got, err)
				}
				got, err = AppendRequest([]byte(prefix), c.op, []byte(c.topic))
				if err != nil || string(got) != prefix+c.msg {
					t.Errorf("bytes after %q: got %.40q, %v", prefix, got, err)
				}
			}
		})
	}
}

// TestAppendRequestRefuses checks that nothing can be sent that a server would refuse.
func TestAppendRequestRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range refused {
		if c.msg == "" {
			continue // an appended request has an opcode
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code := c.code
			if len(c.msg) > MaxMessage {
				code = CodeMessageTooLong // before anything is copied, so before the opcode is looked at
			}
			got, err := AppendRequest([]byte("before"), Op(c.msg[0]), c.msg[1:])
			var refusal *RefusalError
			if !errors.As(err, &refusal) || refusal.Code != code {
				t.Errorf("got %v, want code %d", err, code)
			}
			if string(got) != "before" {
				t.Errorf("got %.40q back", got)
			}
		})
	}
	dst := make([]byte, 0, 16)
	if got, _ := AppendRequest(dst, OpCount, strings.Repeat("t", 1<<20)); cap(got) != cap(dst) {
		t.Errorf("a refused topic was copied: capacity %d", cap(got))
	}
	_, err := AppendRequest(nil, 7, "abc")
	if want := "opcode 7 with a topic of 3 bytes"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not name what was wrong: want %q in it", err, want)
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	a := func(n int) string { return strings.Repeat("a", n) }
	cases := []struct {
		name string
		msg  string
		want bool
	}{
		{"nothing", "", false},
		{"opcode alone", "\x00", false},
		{"opcode alone that is no request", "\x7f", false},
		{"two bytes", "\x00a", true},
		{"535 bytes", "\x00" + a(534), true},
		{"536 bytes", "\x00" + a(535), false},
		{"longest message", "\x00" + a(65535), false},
		{"too long", "\x00" + a(65536), true},
		{"535 bytes in the middle of a character", "\x00" + a(532) + "\xe2\x82", false},
		{"1 of 2", "\x00\xc3", false},
		{"2 of 2", "\x00\xc3\xa9", true},
		{"1 of 3", "\x00\xe2", false},
		{"2 of 3", "\x00\xe2\x82", false},
		{"3 of 3", "\x00\xe2\x82\xac", true},
		{"1 of 4", "\x00\xf0", false},
		{"2 of 4", "\x00\xf0\x9f", false},
		{"3 of 4", "\x00\xf0\x9f\x98", false},
		{"4 of 4", "\x00\xf0\x9f\x98\x80", true},
		{"1 of 3 after a whole character", "\x00\xc3\xa9\xe2", false},
		{"unknown opcode", "GET / HTTP/1.1\r\n\r\n", true},
		{"opcode that looks like the beginning of a character", "\xc3\xa9", true},
		{"opcode that looks like one of four bytes", "\xf0\x9f\x98", true},
		{"lone continuation", "\x00\x80", true},
		{"continuations", "\x00\x80\x80\x80\x80\x80", true},
		{"one continuation too many", "\x00\xc3\xa9\xa9", true},
		{"byte that is in no character", "\x00a\xff", true},
		{"overlong beginning", "\x00\xc0", true},
		{"overlong beginning of three", "\x00\xe0\x80", true},
		{"beginning of a surrogate", "\x00\xed\xa0", true},
		{"beginning above U+10FFFF", "\x00\xf4\x90", true},
		{"beginning above U+10FFFF, longer", "\x00\xf4\x90\x80", true},
		{"garbage, then the beginning of a character", "\x00\xff\xff\xe2\x82", false},
		{"broken character, then the beginning of one", "\x00\xf0\x9f\xe2", false},
	}
	for _, c := range cases {
		if got := Complete([]byte(c.msg)); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

// TestCompletePrefixes cuts messages of valid UTF-8 at every byte: a short beginning is complete
// exactly when it is a request by itself.
func TestCompletePrefixes(t *testing.T) {
	t.Parallel()
	for _, r := range []rune{0, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000,
		0x3ffff, 0x40000, 0x10ffff} {
		msg := append([]byte{0}, strings.Repeat("a"+string(r), 3)...)
		for n := 2; n <= len(msg); n++ {
			if got, want := Complete(msg[:n]), utf8.Valid(msg[1:n]); got != want {
				t.Errorf("% x: got %v", msg[:n], got)
			}
		}
	}
}

func TestRequestsAllocateNothing(t *testing.T) { // not parallel: it counts allocations
	for _, c := range requests {
		msg, dst := []byte(c.msg), make([]byte, 0, MaxMessage)
		if n := testing.AllocsPerRun(10, func() {
			r, err := ParseRequest(msg)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := AppendRequest(dst, r.Op, r.Topic); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("got %.40q, %v", got, err)
			}
			if got, err := AppendRequest(dst, c.op, c.topic); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("got %.40q, %v", got, err)
			}
			Complete(msg)
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
	for _, c := range refused {
		msg, dst := []byte(c.msg), make([]byte, 0, MaxReply)
		if n := testing.AllocsPerRun(10, func() {
			_, err := ParseRequest(msg)
			refusal, ok := err.(*RefusalError)
			if !ok {
				t.Fatal(err)
			}
			AppendRefusal(dst, refusal.Code, refusal.Text)
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
