//go:build unix

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// setBuffer sets the size in bytes of a socket's buffer, option SO_RCVBUF or SO_SNDBUF.
func setBuffer(raw syscall.RawConn, option, size int) error {
	var err error
	if controlErr := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, option, size)
	}); controlErr != nil {
		return controlErr
	}
	return err
}

// fullServer returns the address of a server that accepts nothing and whose queue is full.
func fullServer(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	var timeout net.Error
	for range 20 {
		conn, err := net.DialTimeout("tcp", addr, 500*time.Millisecond)
		if errors.As(err, &timeout) && timeout.Timeout() {
			return addr
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Skip("this system queues more connections than it was told to")
	return ""
}

// The server's queue of connections is full, so that connecting takes until the client gives up.
func TestTCPCanceledWhileConnecting(t *testing.T) {
	t.Parallel()
	c := newClient(t, fullServer(t), Options{Network: "tcp"})
	connecting := make(chan struct{})
	c.transport.(*tcp).dialer.Control = func(_, _ string, _ syscall.RawConn) error {
		close(connecting)
		return nil
	}
	ctx, cancel := context.WithCancel(patient(t))
	call := c.CountAsync(ctx, "orders")
	receive(t, connecting)
	cancel()
	receive(t, call.Done())
	_, err := outcome(t, call)
	wantClass(t, err, "not sent")
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTCPTimeoutWhileConnecting(t *testing.T) {
	t.Parallel()
	addr := fullServer(t)
	_, err := newClient(t, addr, Options{Network: "tcp", Timeout: impatience}).Count(patient(t), "orders")
	wantClass(t, err, "not sent")
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the client's own time-out: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), impatience)
	defer cancel()
	_, err = newClient(t, addr, Options{Network: "tcp"}).Count(ctx, "orders")
	wantClass(t, err, "not sent")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the caller's deadline: %v", err)
	}
}

func TestRESPWhileConnecting(t *testing.T) {
	t.Parallel()
	addr := fullServer(t)
	_, err := outcome(t, respClient(t, addr, Options{Timeout: impatience}).CountAsync(t.Context(), "orders"))
	wantClass(t, err, "not sent")
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the client's own time-out: %v", err)
	}
	c := respClient(t, addr, Options{})
	call := c.CountAsync(t.Context(), "orders")
	c.Close()
	_, err = outcome(t, call)
	wantClass(t, err, "not sent")
	if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// A message of which only a part was sent must not look whole to the server: the connection has to
// end in a reset.
func TestTCPPartWritten(t *testing.T) {
	t.Parallel()
	const small = 4096 // bytes: less than the topic, in the buffers of both sides together
	var config net.ListenConfig
	config.Control = func(_, _ string, raw syscall.RawConn) error {
		return setBuffer(raw, syscall.SO_RCVBUF, small)
	}
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun, canceled, end := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	servertest.Serve(t, listener, func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 1))
		close(begun)
		receive(t, canceled)
		_, err := io.Copy(io.Discard, conn)
		end <- err
	})
	c := newClient(t, listener.Addr().String(), Options{Network: "tcp"})
	c.transport.(*tcp).dialer.Control = func(_, _ string, raw syscall.RawConn) error {
		return setBuffer(raw, syscall.SO_SNDBUF, small)
	}
	ctx, cancel := context.WithCancel(patient(t))
	call := c.CountAsync(ctx, strings.Repeat("x", 65_535))
	receive(t, begun)
	cancel()
	_, err = outcome(t, call)
	close(canceled)
	wantClass(t, err, "unknown")
	if !errors.Is(err, context.Canceled) || !strings.Contains(fmt.Sprint(err), "of 65536 bytes were sent") {
		t.Error(err)
	}
	if err := receive(t, end); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server saw the end %v, want a reset", err)
	}
}
