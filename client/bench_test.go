package client

import (
	"io"
	"net"
	"strings"
	"testing"

	"gcd/internal/servertest"
)

// The servers answer without counting, so that this is the price of the client and of the loopback
// network.
func BenchmarkCount(b *testing.B) {
	udp := func(b *testing.B) string {
		return servertest.UDP(b, func(r servertest.Datagram) { r.Reply("\x80\x01") })
	}
	elsewhere := func(b *testing.B) string {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		return servertest.UDP(b, func(r servertest.Datagram) { conn.WriteToUDPAddrPort([]byte("\x80\x01"), r.From) })
	}
	tcp := func(b *testing.B) string {
		return servertest.TCP(b, func(conn *net.TCPConn) {
			conn.Read(make([]byte, 512))
			io.WriteString(conn, "\x80\x01")
		})
	}
	for _, bench := range []struct {
		name   string
		opts   Options
		server func(*testing.B) string
	}{
		{"tcp", Options{Network: "tcp"}, tcp},
		{"udp", Options{Network: "udp"}, udp},
		{"udp from any port", Options{Network: "udp", AnyPort: true}, elsewhere},
	} {
		b.Run(strings.ReplaceAll(bench.name, " ", "-"), func(b *testing.B) {
			c := newClient(b, bench.server(b), bench.opts)
			b.Run("alone", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Count(b.Context(), "orders"); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("parallel", func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(32)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						if _, err := c.Count(b.Context(), "orders"); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		})
	}
}

// What an asynchronous call costs that waits in the queue: every call after the first.
func BenchmarkQueuedCall(b *testing.B) {
	addr := servertest.TCP(b, func(conn *net.TCPConn) { io.Copy(io.Discard, conn) })
	c := newClient(b, addr, Options{Network: "tcp", MaxInFlight: 1})
	b.ReportAllocs()
	for b.Loop() {
		c.CountAsync(b.Context(), "orders")
	}
	b.StopTimer()
	c.Close()
}
