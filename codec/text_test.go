package codec

import (
	"testing"
	"unicode/utf8"
)

// Every byte, at every place of texts of all lengths up to some words of the processor's.
func TestIsTextIsUTF8(t *testing.T) {
	t.Parallel()
	for n := range 40 {
		b := make([]byte, n)
		for at := range n {
			for c := range 256 {
				for i := range b {
					b[i] = 'a'
				}
				b[at] = byte(c)
				if got, want := isText(b), utf8.Valid(b); got != want {
					t.Fatalf("%q: %v, want %v", b, got, want)
				}
				if copy(b[at:], "é"); isText(b) != utf8.Valid(b) {
					t.Fatalf("%q: not %v", b, utf8.Valid(b))
				}
			}
		}
	}
}

func BenchmarkIsText(b *testing.B) {
	for _, topic := range []string{"orders", "bench:000000000042", "commandes:été:2026"} {
		b.Run(topic, func(b *testing.B) {
			bytes := []byte(topic)
			for b.Loop() {
				if !isText(bytes) {
					b.Fatal("not a text")
				}
			}
		})
	}
}
