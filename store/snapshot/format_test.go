package snapshot

import (
	"bytes"
	"strings"
	"testing"

	"gcd/store/core"
)

// TestEntries: what is encoded decodes, for every kind of topic; what makes no sense does not.
func TestEntries(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"", "a", strings.Repeat("k", 1024), strings.Repeat("k", 1025),
		strings.Repeat("k", core.MaxTopicLen)} {
		e := Entry{Topic: []byte(topic), Value: core.Value{Sum: 1<<64 - 1, Epoch: core.MaxEpoch}, Last: 300}
		k, v := e.key(nil), e.encode(nil)
		got, err := decodeEntry(k, v)
		if err != nil || string(got.Topic) != topic || got.Value != e.Value || got.Last != e.Last {
			t.Errorf("topic of %d bytes: %+v, %v", len(topic), got.Value, err)
		}
		if _, err := decodeEntry(k, append(v, 'x')); err == nil {
			t.Errorf("topic of %d bytes: a value with something after it was taken", len(topic))
		}
		if _, err := decodeEntry(k[:0], v); err == nil {
			t.Errorf("topic of %d bytes: an empty key was taken", len(topic))
		}
	}
}

// TestCompareTopics compares as the keys of the snapshot do.
func TestCompareTopics(t *testing.T) {
	t.Parallel()
	topics := []string{"", "\x00", "\x01", "a", "a\x00", "aa", "b", "\xff", strings.Repeat("\xff", 1024),
		strings.Repeat("a", 1025), strings.Repeat("b", 1025), strings.Repeat("c", 65535)}
	for _, a := range topics {
		for _, b := range topics {
			x, y := Entry{Topic: []byte(a)}, Entry{Topic: []byte(b)}
			if got, want := core.CompareTopics(x.Topic, y.Topic), bytes.Compare(x.key(nil), y.key(nil)); got != want {
				t.Errorf("%.8q (%d), %.8q (%d): %d, want %d", a, len(a), b, len(b), got, want)
			}
		}
	}
}

// TestDigestBytes: Meta has the digest big-endian, as the documentation says.
func TestDigestBytes(t *testing.T) {
	t.Parallel()
	d := digest{hi: 0x0102030405060708, lo: 0x090a0b0c0d0e0f10}
	b := d.bytes()
	if want := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}; b != want || digestOf(b) != d {
		t.Errorf("%x, and back %x; want %x", b, digestOf(b), want)
	}
}
