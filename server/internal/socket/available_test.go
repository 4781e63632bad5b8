//go:build unix

package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestLook: what is there is seen however late the goroutine is, and nothing is waited for.
func TestLook(t *testing.T) {
	t.Parallel()
	door, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	client, err := net.DialTCP("tcp", nil, door.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := door.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, 8)
	if n, err := ReadAvailable(conn, b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nothing is there: %d, %v", n, err)
	}
	if _, err := client.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, b[:1]); err != nil { // then the second byte is there, too
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Unix(1, 0))
	if n, err := ReadAvailable(conn, b); n != 1 || b[0] != 'b' || err != nil {
		t.Errorf("a byte is there: %d, %v", n, err)
	}
	client.CloseWrite()
	if n, err := conn.Read(b); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	if n, err := ReadAvailable(conn, b); n != 0 || err != io.EOF {
		t.Errorf("the end: %d, %v", n, err)
	}
}
