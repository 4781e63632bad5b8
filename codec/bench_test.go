package codec

import (
	"math"
	"testing"
)

func BenchmarkParseRequest(b *testing.B) {
	for _, c := range []struct{ name, msg string }{
		{"short", "\x00orders"},
		{"characters", "\x00заказы/日本/😀"},
		{"longest", requests[len(requests)-1].msg},
		{"refused", "\x00caf\xe9"},
	} {
		b.Run(c.name, func(b *testing.B) {
			msg := []byte(c.msg)
			b.ReportAllocs()
			b.SetBytes(int64(len(msg)))
			for b.Loop() {
				ParseRequest(msg)
			}
		})
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		AppendRequest(dst, OpCount, "orders")
	}
}

func BenchmarkComplete(b *testing.B) {
	msg := []byte("\x00orders/日本")
	b.ReportAllocs()
	for b.Loop() {
		Complete(msg)
	}
}

func BenchmarkCountReply(b *testing.B) {
	for _, c := range []struct {
		name string
		sum  uint64
	}{{"one byte", 1}, {"three bytes", 1_000_000}, {"eight bytes", math.MaxUint64}} {
		msg, dst := AppendCountReply(nil, c.sum), make([]byte, 0, MaxReply)
		b.Run("append "+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				AppendCountReply(dst, c.sum)
			}
		})
		b.Run("parse "+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseReply(msg)
			}
		})
	}
}

func BenchmarkRefusal(b *testing.B) {
	dst := make([]byte, 0, MaxReply)
	b.ReportAllocs()
	for b.Loop() {
		AppendRefusal(dst, CodeTooManyTopics, "at most 1000000 topics")
	}
}
