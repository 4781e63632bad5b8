package loadgen

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestConnectedToItself: a socket that the system connected to itself, as it may where nobody
// listens, is no server.
func TestConnectedToItself(t *testing.T) {
	t.Parallel()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	here, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, here); err != nil {
		t.Fatal(err)
	}
	if !(&loop{peer: here}).isPeer(fd) {
		t.Error("not noticed")
	}
	if (&loop{peer: &unix.SockaddrInet4{Port: 1, Addr: [4]byte{127, 0, 0, 1}}}).isPeer(fd) {
		t.Error("another peer is taken for the socket itself")
	}
}
