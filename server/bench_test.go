package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"gcd/server"
	"gcd/store"
)

// BenchmarkCount measures a COUNT through raw sockets of this process, over a store in memory: with
// TCP a connection for each, with UDP a socket for each client. Clients and server share the
// processors.
func BenchmarkCount(b *testing.B) {
	for _, d := range dispatches {
		for _, network := range []string{"tcp", "udp"} {
			for _, clients := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%s/%s/clients=%d", d, network, clients), func(b *testing.B) {
					st, err := store.Open("", store.Options{})
					if err != nil {
						b.Fatal(err)
					}
					defer st.Close()
					s, err := server.New(st, server.Options{Dispatch: d, TCP: "127.0.0.1:0", UDP: "127.0.0.1:0"})
					if err != nil {
						b.Fatal(err)
					}
					if err := s.Listen(); err != nil {
						b.Fatal(err)
					}
					served := make(chan error, 1)
					go func() { served <- s.Serve() }()
					benchmarkClients(b, s, network, clients)
					if err := s.Shutdown(context.Background()); err != nil {
						b.Error(err)
					}
					if err := <-served; err != nil {
						b.Error(err)
					}
				})
			}
		}
	}
}

// benchmarkClients makes b.N requests by as many clients at once.
func benchmarkClients(b *testing.B, s *server.Server, network string, clients int) {
	one := countByTCP
	if network == "udp" {
		one = countByUDP
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range clients {
		n := b.N / clients
		if i < b.N%clients {
			n++
		}
		wg.Go(func() {
			if err := one(s, count(fmt.Sprintf("topic%d", i)), n); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

func countByTCP(s *server.Server, msg []byte, n int) error {
	buf := make([]byte, 16)
	for range n {
		c, err := net.Dial("tcp", s.TCPAddr().String())
		if err != nil {
			return err
		}
		if _, err := c.Write(msg); err != nil {
			return err
		}
		got := 0
		for err == nil { // to the end, so that the server closes first
			var m int
			m, err = c.Read(buf[got:])
			got += m
		}
		c.Close()
		if err != io.EOF || sum(buf[:got]) == 0 {
			return fmt.Errorf("answer % x, %v", buf[:got], err)
		}
	}
	return nil
}

func countByUDP(s *server.Server, msg []byte, n int) error {
	c, err := net.Dial("udp", s.UDPAddr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 16)
	for range n {
		if _, err := c.Write(msg); err != nil {
			return err
		}
		m, err := c.Read(buf)
		if err != nil {
			return err
		}
		if sum(buf[:m]) == 0 {
			return fmt.Errorf("answer % x", buf[:m])
		}
	}
	return nil
}
