package server_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"gcd/server"
)

// The socket's file has its mode and is gone after a stop, and who listens there already is not
// disturbed.
func TestUnixSocketFile(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Unix = socketPath(t)
		s, _ := serveFake(t, o)
		if info, err := os.Lstat(o.Unix); err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Fatalf("the file is %v, %v", info, err)
		}
		second, err := server.New(closedFake(t), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Listen(); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a second server gets %v", err)
		}
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 128, 1)
		s.stop(t)
		if _, err := os.Lstat(o.Unix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after the stop the file is there still: %v", err)
		}
	})
}

// A server over a unix socket alone; and what clients are told of each other.
func TestUnixSocketAlone(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Unix, o.MaxConns, o.MaxConnsPerSource = socketPath(t), 10, 1
		s, err := server.New(closedFake(t), o)
		if err != nil {
			t.Fatal(err)
		}
		r := serveThis(t, s, o)
		if s.TCPAddr() != nil || s.UDPAddr() != nil {
			t.Errorf("it listens at %v and %v", s.TCPAddr(), s.UDPAddr())
		}
		first := dialRESP(t, r, 2)
		say(t, first, "PING\r\n", "+PONG\r\n")
		say(t, dialRESP(t, r, 2), "PING\r\n", "+PONG\r\n") // the limit for one address is none for it
		send(t, first, []byte("CLIENT INFO\r\n"))
		want := " addr=" + o.Unix + ":0 laddr=" + o.Unix + ":0 "
		if got := readUntil(t, first, "lib-ver=\n\r\n"); !strings.Contains(got, want) {
			t.Errorf("CLIENT INFO says %q", got)
		}
	})
}

// What a server does not take for the path of a socket.
func TestUnixSocketOptions(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"@gcd", "/tmp/" + strings.Repeat("x", 200)} {
		if _, err := server.New(closedFake(t), server.Options{Unix: path}); err == nil {
			t.Errorf("%.20q is taken", path)
		}
	}
	if _, err := server.New(closedFake(t), server.Options{UnixMode: fs.ModeSetuid}); err == nil {
		t.Error("a mode with other bits than those of permission is taken")
	}
	if _, err := server.New(closedFake(t), server.Options{RequireTLS: true}); err == nil {
		t.Error("TLS is required without a certificate")
	}
}

// Who comes after the last look at the door is told that nobody listens.
func TestUnixSocketShutsWithoutALoss(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Unix = anySocket
		s, _ := serveFake(t, o)
		path := s.options.Unix
		ended := make(chan error, 1)
		go func() {
			for {
				c, err := net.Dial("unix", path)
				if err != nil {
					ended <- nil
					return
				}
				c.Write(count("orders"))
				b := make([]byte, 100)
				n, err := c.Read(b)
				c.Close()
				if n == 0 {
					ended <- err
					return
				}
			}
		}()
		eventually(t, "there is load", func() bool { return s.Stats().Answered > 100 })
		s.stop(t)
		if err := await(t, "the client ends", ended); err != nil {
			t.Errorf("a client that was let in heard nothing: %v", err)
		}
	})
}

// closedFake is a fake that is closed with the test.
func closedFake(t *testing.T) *fake {
	t.Helper()
	f := newFake()
	t.Cleanup(f.close)
	return f
}
