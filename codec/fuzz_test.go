package codec

import (
	"bytes"
	"errors"
	"math/big"
	"testing"
	"unicode"
	"unicode/utf8"
)

// fills are how many bytes stretch may put into a message: none, or enough that a few bytes more
// reach a limit.
var fills = []int{0, 531, 532, 533, 534, 535, 65534, 65535}

// stretch returns msg with a run of letters after its opcode. Long messages are made here, for the
// fuzzer spends all of its time on shortening an input when that has some ten thousand bytes.
func stretch(msg []byte, fill uint8) []byte {
	if len(msg) == 0 || int(fill) >= len(fills) {
		return msg
	}
	long := append([]byte{msg[0]}, bytes.Repeat([]byte("a"), fills[fill])...)
	return append(long, msg[1:]...)
}

// addSeeds gives the fuzzer the short messages of all tables, stretched in every way, and fails
// when a kind of outcome, as named by kind, has no seed.
func addSeeds(f *testing.F, kind func(msg []byte) string, want ...string) {
	seeds := []string{"\x80\x00\x00\x00\x00\x00\x00\x01\x00", "\x81", "\xff\x06at most 1000000 topics",
		"\xff\x04\x1b[2J", "\x00a\xe2\x82"}
	for _, c := range requests {
		seeds = append(seeds, c.msg)
	}
	for _, c := range refused {
		seeds = append(seeds, c.msg)
	}
	for _, c := range sums {
		seeds = append(seeds, c.msg)
	}
	for _, c := range notReplies {
		seeds = append(seeds, c.msg)
	}
	seen := make(map[string]int)
	for _, s := range seeds {
		if len(s) > 100 {
			continue
		}
		for fill := range fills {
			seen[kind(stretch([]byte(s), uint8(fill)))]++
			f.Add([]byte(s), uint8(fill))
		}
	}
	for _, k := range want {
		if seen[k] == 0 {
			f.Errorf("no seed for %q, there are %v", k, seen)
		}
	}
}

func requestKind(msg []byte) string {
	r, err := ParseRequest(msg)
	var refusal *RefusalError
	switch {
	case errors.As(err, &refusal):
		return refusal.Code.String()
	case r.Op == OpCount:
		return "count"
	case r.Op == OpReset:
		return "reset"
	}
	return "other"
}

// FuzzParseRequest: what decodes encodes to the same bytes; what does not, comes with nothing and
// cannot be encoded.
func FuzzParseRequest(f *testing.F) {
	addSeeds(f, requestKind, "count", "reset", "malformed request", "unknown opcode", "message too long",
		"topic is not UTF-8")
	f.Fuzz(func(t *testing.T, msg []byte, fill uint8) {
		msg = stretch(msg, fill)
		before := bytes.Clone(msg)
		r, err := ParseRequest(msg)
		if !bytes.Equal(msg, before) {
			t.Fatal("parsing changed the message")
		}
		valid := len(msg) >= 1 && len(msg) <= 65536 && msg[0] <= 1 && string([]rune(string(msg[1:]))) == string(msg[1:])
		if valid != (err == nil) {
			t.Fatalf("valid %v, but got %v", valid, err)
		}
		if err == nil {
			if r.Op != Op(msg[0]) || len(r.Topic) != len(msg)-1 || cap(r.Topic) > cap(msg) {
				t.Fatalf("got %+v", r)
			}
			again, err := AppendRequest([]byte("before"), r.Op, r.Topic)
			if err != nil || string(again) != "before"+string(msg) {
				t.Fatalf("encoded again: %q, %v", again, err)
			}
			again, err = AppendRequest([]byte(nil), r.Op, string(r.Topic))
			if err != nil || !bytes.Equal(again, msg) {
				t.Fatalf("encoded again from a string: %q, %v", again, err)
			}
			return
		}
		if r.Op != 0 || r.Topic != nil {
			t.Fatalf("an error came with %+v", r)
		}
		var refusal *RefusalError
		if !errors.As(err, &refusal) || refusal.Code < 1 || refusal.Code > 4 {
			t.Fatalf("got %v, want one of the first four codes", err)
		}
		if len(msg) > 0 {
			if again, err := AppendRequest([]byte("before"), Op(msg[0]), msg[1:]); err == nil ||
				string(again) != "before" {
				t.Fatalf("what is refused could be encoded: %q, %v", again, err)
			}
		}
	})
}

func replyKind(msg []byte) string {
	r, err := ParseReply(msg)
	switch {
	case err != nil:
		return "error"
	case r.Op == OpCountReply && len(msg) > 2 && msg[1] == 0:
		return "leading zeros"
	case r.Op == OpCountReply:
		return "sum"
	case r.Op == OpResetReply:
		return "reset"
	case r.Op == OpRefusal && r.Text != "":
		return "refusal with text"
	case r.Op == OpRefusal && len(msg) > 2:
		return "refusal with bad text"
	case r.Op == OpRefusal:
		return "refusal"
	}
	return "other"
}

// FuzzParseReply: what decodes encodes to the same value in the fewest bytes.
func FuzzParseReply(f *testing.F) {
	addSeeds(f, replyKind, "error", "leading zeros", "sum", "reset", "refusal", "refusal with text",
		"refusal with bad text")
	f.Fuzz(func(t *testing.T, msg []byte, fill uint8) {
		msg = stretch(msg, fill)
		r, err := ParseReply(msg)
		if err != nil {
			if r != (Reply{}) || !errors.Is(err, ErrBadReply) {
				t.Fatalf("got %+v, %v", r, err)
			}
			return
		}
		var again []byte
		switch r.Op {
		case OpCountReply:
			again = AppendCountReply(nil, r.Sum)
			value := new(big.Int).SetBytes(msg[1:])
			digits := value.Bytes()
			if len(digits) == 0 {
				digits = []byte{0}
			}
			if !value.IsUint64() || value.Uint64() != r.Sum || string(again) != "\x80"+string(digits) {
				t.Fatalf("% x: sum %d, encoded again % x", msg, r.Sum, again)
			}
			if r.Code != 0 || r.Text != "" {
				t.Fatalf("a sum came with %+v", r)
			}
		case OpResetReply:
			again = AppendResetReply(nil)
			if !bytes.Equal(again, msg) || r != (Reply{Op: OpResetReply}) {
				t.Fatalf("got %+v from % x", r, msg)
			}
		case OpRefusal:
			again = AppendRefusal(nil, r.Code, r.Text)
			if !bytes.HasPrefix(msg, again) || r.Sum != 0 {
				t.Fatalf("%q became %q", msg, again)
			}
			for _, c := range r.Text {
				if !unicode.IsPrint(c) {
					t.Fatalf("text %q", r.Text)
				}
			}
		default:
			t.Fatalf("got opcode %d", r.Op)
		}
		if len(again) > MaxReply || len(again) > len(msg) {
			t.Fatalf("% x became longer: % x", msg, again)
		}
		if twice, err := ParseReply(again); err != nil || twice != r {
			t.Fatalf("decoded again: %+v, %v; want %+v", twice, err, r)
		}
	})
}

// continuations has, for every way in which the second byte of a character may be restricted, one
// that is allowed.
var continuations = []byte{0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf}

// inCharacter tells whether bytes that may follow data make a character of its last bytes, by
// trying them.
func inCharacter(data []byte) bool {
	for len(data) > 0 && utf8.FullRune(data) {
		_, width := utf8.DecodeRune(data)
		data = data[width:]
	}
	return len(data) > 0 && canEnd(data)
}

func canEnd(data []byte) bool {
	if _, width := utf8.DecodeRune(data); width == len(data) && utf8.Valid(data) {
		return true
	}
	if len(data) >= utf8.UTFMax {
		return false
	}
	for _, c := range continuations {
		if canEnd(append(bytes.Clone(data), c)) {
			return true
		}
	}
	return false
}

// FuzzComplete compares the rule with one that reads from the front and tries what may follow.
func FuzzComplete(f *testing.F) {
	kind := func(msg []byte) string {
		if Complete(msg) {
			return "complete"
		}
		return "incomplete"
	}
	addSeeds(f, kind, "complete", "incomplete")
	f.Fuzz(func(t *testing.T, msg []byte, fill uint8) {
		msg = stretch(msg, fill)
		want := len(msg) >= 2 && len(msg) <= 535 && !inCharacter(msg[1:]) || len(msg) > 65536
		if got := Complete(msg); got != want {
			t.Fatalf("% x: got %v, want %v", msg, got, want)
		}
		if _, err := ParseRequest(msg); err == nil && len(msg) >= 2 && len(msg) <= 535 && !Complete(msg) {
			t.Fatalf("%q is a request of one segment and not complete", msg)
		}
	})
}
