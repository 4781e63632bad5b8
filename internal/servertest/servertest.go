// Package servertest has servers for the tests of what talks to them. They are made of raw sockets,
// and say the bytes that a test writes out, so that a mistake in an encoder of ours cannot hide in
// both ends at once. Each ends with its test, which fails if the server's clients do not.
package servertest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is for waits that must succeed: how long they take is not tested.
const Patience = time.Minute

// Within runs what must end, and fails the test when it does not.
func Within(t testing.TB, what string, run func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run()
	}()
	select {
	case <-done:
	case <-time.After(Patience):
		t.Errorf("%s: not ended after %v", what, Patience)
	}
}

// TCP calls handle for each connection, on a goroutine of its own, closes the connection when
// handle returns, and returns the server's address.
func TCP(t testing.TB, handle func(*net.TCPConn)) (addr string) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, listener, func(conn net.Conn) { handle(conn.(*net.TCPConn)) })
	return listener.Addr().String()
}

// Serve is TCP on a listener of the test's own, of any network.
func Serve(t testing.TB, listener net.Listener, handle func(net.Conn)) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(Patience))
				handle(conn)
			})
		}
	})
	endWith(t, listener, &running)
}

// Datagram is one that a server got.
type Datagram struct {
	Bytes string
	From  netip.AddrPort     // the client's socket
	Reply func(bytes string) // sends one datagram
}

// UDP calls handle for each datagram, on one goroutine, and returns the server's address.
func UDP(t testing.TB, handle func(Datagram)) (addr string) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			reply := func(bytes string) { _, _ = conn.WriteToUDPAddrPort([]byte(bytes), from) }
			handle(Datagram{string(buf[:n]), from, reply})
		}
	})
	endWith(t, conn, &running)
	return conn.LocalAddr().String()
}

func endWith(t testing.TB, socket io.Closer, running *sync.WaitGroup) {
	t.Cleanup(func() {
		_ = socket.Close()
		Within(t, "the server of the test, which waits for its clients", running.Wait)
	})
}

// Absent returns an address that is taken, so that no other test gets it, and where nobody listens:
// it is of a connection's own end, TCP or UDP.
func Absent(t testing.TB, network string) (addr string) {
	t.Helper()
	var peer string
	if network == "udp" {
		peer = UDP(t, func(Datagram) {})
	} else {
		peer = TCP(t, func(conn *net.TCPConn) { _, _ = io.Copy(io.Discard, conn) })
	}
	conn, err := net.Dial(network, peer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// Command reads a command of RESP, and returns its words.
func Command(from *bufio.Reader) ([]string, error) {
	n, err := number(from, '*')
	var words []string
	for ; err == nil && n > 0; n-- {
		var size int
		if size, err = number(from, '$'); err != nil {
			break
		}
		word := make([]byte, size+2)
		if _, err = io.ReadFull(from, word); err == nil && string(word[size:]) != "\r\n" {
			err = fmt.Errorf("an argument of %d bytes goes on with %q", size, word[size:])
		}
		words = append(words, string(word[:size]))
	}
	return words, err
}

func number(from *bufio.Reader, kind byte) (int, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(line[1:], "\r\n"))
	if line[0] != kind || err != nil || n < 0 || !strings.HasSuffix(line, "\r\n") {
		return 0, fmt.Errorf("got line %q, want one of kind %q", line, kind)
	}
	return n, nil
}
