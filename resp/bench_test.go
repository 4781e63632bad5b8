package resp

import (
	"strings"
	"testing"
)

func BenchmarkParser(b *testing.B) {
	for _, c := range []struct{ name, command string }{
		{"incr", "*2\r\n$4\r\nINCR\r\n$20\r\ncounter:000000123456\r\n"},
		{"inline", "INCR counter:000000123456\r\n"},
		{"many", "*1001\r\n$3\r\nDEL\r\n" + strings.Repeat("$20\r\ncounter:000000123456\r\n", 1000)},
	} {
		b.Run(c.name, func(b *testing.B) {
			var p Parser
			in := []byte(strings.Repeat(c.command, max(1, 10_000/len(c.command))))
			b.ReportAllocs()
			b.SetBytes(int64(len(c.command)))
			for rest := in; b.Loop(); {
				n, err := p.Next(rest)
				if n == 0 || err != nil {
					b.Fatal(n, err)
				}
				if rest = rest[n:]; len(rest) == 0 {
					rest = in
				}
			}
		})
	}
}

func BenchmarkParseReply(b *testing.B) {
	for name, reply := range map[string]string{"number": ":1234567\r\n", "digits": "$7\r\n1234567\r\n"} {
		b.Run(name, func(b *testing.B) {
			in := []byte(strings.Repeat(reply, 4096))
			b.ReportAllocs()
			b.SetBytes(int64(len(reply)))
			for rest := in; b.Loop(); {
				r, n, err := ParseReply(rest)
				if err != nil {
					b.Fatal(err)
				}
				if sum, err := r.Uint(); sum != 1234567 || err != nil {
					b.Fatal(sum, err)
				}
				if rest = rest[n:]; len(rest) == 0 {
					rest = in
				}
			}
		})
	}
}

func BenchmarkAppendInt(b *testing.B) {
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		AppendInt(dst, n)
	}
}
