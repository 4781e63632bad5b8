package client

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"testing"

	"gcd/internal/servertest"
)

// respEcho answers each command, all of which have size bytes, with the same number, as cheaply as
// it can be done.
func respEcho(b *testing.B, size int) string {
	return servertest.TCP(b, func(conn *net.TCPConn) {
		if !(&respConn{conn, bufio.NewReader(conn)}).greet() {
			return
		}
		const most = 1 << 18
		in, out := make([]byte, most), bytes.Repeat([]byte("$7\r\n1234567\r\n"), most/size+1)
		for rest := 0; ; {
			n, err := conn.Read(in)
			if err != nil {
				return
			}
			rest += n
			if _, err := conn.Write(out[:len("$7\r\n1234567\r\n")*(rest/size)]); err != nil {
				return
			}
			rest %= size
		}
	})
}

// Many calls in flight, of one goroutine that waits for the oldest when it has begun enough. An op
// is a call.
func BenchmarkRESPAsync(b *testing.B) {
	for name, ctx := range map[string]context.Context{"background": context.Background(), "cancelable": b.Context()} {
		b.Run(name, func(b *testing.B) {
			c := newClient(b, respEcho(b, len("*2\r\n$9\r\nGCD.COUNT\r\n$6\r\norders\r\n")), Options{Network: "resp"})
			b.ReportAllocs()
			var window [8192]*Call
			for i := 0; b.Loop(); i++ {
				if old := window[i%len(window)]; old != nil {
					if _, err := old.Result(); err != nil {
						b.Fatal(err)
					}
				}
				window[i%len(window)] = c.CountAsync(ctx, "orders")
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

func BenchmarkRESPSync(b *testing.B) {
	c := newClient(b, respEcho(b, len("*2\r\n$9\r\nGCD.COUNT\r\n$6\r\norders\r\n")), Options{Network: "resp"})
	count := func(b *testing.B) bool {
		_, err := c.Count(b.Context(), "orders")
		if err != nil {
			b.Error(err)
		}
		return err == nil
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() && count(b) {
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(128)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() && count(b) {
			}
		})
	})
}
