package epoll

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience is for waits that must succeed: how long they take is not tested.
const patience = time.Minute

// bound makes a socket on a free port of the loopback network.
func bound(t *testing.T, kind int) (fd int, addr netip.AddrPort) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if addr = LocalAddr(fd); addr.Addr() != netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr.Port() == 0 {
		t.Fatalf("the socket's address is %v", addr)
	}
	return fd, addr
}

// connected returns both ends of a connection.
func connected(t *testing.T) (client, server int) {
	t.Helper()
	listener, addr := bound(t, unix.SOCK_STREAM)
	if err := unix.Listen(listener, 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Accept(listener); err != unix.EAGAIN {
		t.Fatalf("before anybody has come: %v, want EAGAIN", err)
	}
	client, from := bound(t, unix.SOCK_STREAM)
	to := &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}
	if err := unix.Connect(client, to); err != nil && err != unix.EINPROGRESS {
		t.Fatal(err)
	}
	p := poller(t)
	if err := p.Add(listener, unix.EPOLLIN, 0, 0); err != nil {
		t.Fatal(err)
	}
	next(t, p)
	server, peer, err := Accept(listener)
	if err != nil || peer != from {
		t.Fatalf("%v has come, %v, want %v", peer, err, from)
	}
	t.Cleanup(func() { _ = unix.Close(server) })
	status, err1 := unix.FcntlInt(uintptr(server), unix.F_GETFL, 0)
	flags, err2 := unix.FcntlInt(uintptr(server), unix.F_GETFD, 0)
	if status&unix.O_NONBLOCK == 0 || flags&unix.FD_CLOEXEC == 0 || err1 != nil || err2 != nil {
		t.Fatalf("the connection blocks, or a child would have it: %#x, %#x, %v, %v", status, flags, err1, err2)
	}
	return client, server
}

func poller(t *testing.T) *Poller {
	t.Helper()
	p, err := New(4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// next waits for an event, which must come.
func next(t *testing.T, p *Poller) unix.EpollEvent {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if events := p.Wait(patience); len(events) > 0 {
			return events[0]
		}
	}
	t.Fatalf("nothing was ready within %v", patience)
	panic("unreachable")
}

// TestPoller: an event has the token and the generation of its descriptor, as they were said last,
// and there are none before or after it is watched.
func TestPoller(t *testing.T) {
	t.Parallel()
	client, server := connected(t)
	p := poller(t)
	if events := p.Wait(0); len(events) != 0 {
		t.Errorf("%d events of nothing", len(events))
	}
	if err := p.Modify(server, unix.EPOLLIN, 7, 1); err != unix.ENOENT {
		t.Errorf("what is not watched was changed: %v, want ENOENT", err)
	}
	if err := p.Add(server, unix.EPOLLIN, 7, 1); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(server, unix.EPOLLIN, 7, 1); err != unix.EEXIST {
		t.Errorf("what is watched was added again: %v, want EEXIST", err)
	}
	if events := p.Wait(time.Nanosecond); len(events) != 0 {
		t.Errorf("%d events before anything came", len(events))
	}
	if n, err := Write(client, []byte("x"), false); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if e := next(t, p); e.Fd != 7 || e.Pad != 1 || e.Events != unix.EPOLLIN {
		t.Errorf("the event is %+v, want token 7 of generation 1", e)
	}
	if err := p.Modify(server, unix.EPOLLOUT, -3, 2); err != nil {
		t.Fatal(err)
	}
	if e := next(t, p); e.Fd != -3 || e.Pad != 2 || e.Events != unix.EPOLLOUT {
		t.Errorf("the event is %+v, want token -3 of generation 2", e)
	}
	p.Remove(server)
	if events := p.Wait(0); len(events) != 0 {
		t.Errorf("%d events of what is no longer watched", len(events))
	}
}

// TestReadAndWrite: neither call waits, what is written last leaves with the end, and a write after
// the end is an error and no signal.
func TestReadAndWrite(t *testing.T) {
	t.Parallel()
	client, server := connected(t)
	b := make([]byte, 64)
	if n, err := Read(server, b); n != -1 || err != unix.EAGAIN {
		t.Errorf("%d, %v, want EAGAIN", n, err)
	}
	if n, err := Write(client, []byte("last"), true); n != 4 || err != nil {
		t.Errorf("the last write: %d, %v, want 4", n, err)
	}
	if err := unix.Shutdown(client, unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	p := poller(t)
	if err := p.Add(server, unix.EPOLLRDHUP, 0, 0); err != nil {
		t.Fatal(err)
	}
	next(t, p)
	if n, err := Read(server, b); err != nil || string(b[:max(n, 0)]) != "last" {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := Read(server, b); n != 0 || err != nil {
		t.Errorf("%d, %v, want the end", n, err)
	}
	if n, err := Write(client, []byte("x"), false); n != -1 || err != unix.EPIPE {
		t.Errorf("%d, %v, want EPIPE", n, err)
	}
}

// TestMessages: datagrams come in their order, each with its length and where it is from, and the
// calls allocate nothing.
func TestMessages(t *testing.T) {
	from, addr := bound(t, unix.SOCK_DGRAM)
	to, at := bound(t, unix.SOCK_DGRAM)
	name := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: at.Addr().As4()}
	*(*[2]byte)(unsafe.Pointer(&name.Port)) = [2]byte{byte(at.Port() >> 8), byte(at.Port())}

	texts := [][]byte{[]byte("a"), []byte("bc"), []byte("def")}
	out, outVectors := make([]Message, len(texts)), make([]unix.Iovec, len(texts))
	for i := range out {
		outVectors[i].Base = &texts[i][0]
		outVectors[i].SetLen(len(texts[i]))
		out[i].Name, out[i].Namelen = (*byte)(unsafe.Pointer(&name)), unix.SizeofSockaddrInet4
		out[i].Iov = &outVectors[i]
		out[i].SetIovlen(1)
	}
	const room = 4
	in, vectors := make([]Message, room), make([]unix.Iovec, room)
	names, buffers := make([]unix.RawSockaddrInet6, room), make([][16]byte, room)
	receive := func() (int, error) {
		for i := range in {
			vectors[i].Base = &buffers[i][0]
			vectors[i].SetLen(len(buffers[i]))
			in[i].Name, in[i].Namelen = (*byte)(unsafe.Pointer(&names[i])), unix.SizeofSockaddrInet6
			in[i].Iov = &vectors[i]
			in[i].SetIovlen(1)
		}
		return ReceiveMessages(to, in, unix.MSG_DONTWAIT)
	}
	if n, err := receive(); n != 0 || err != unix.EAGAIN {
		t.Errorf("%d, %v, want EAGAIN", n, err)
	}
	allocated := testing.AllocsPerRun(10, func() {
		if n, err := SendMessages(from, out, unix.MSG_DONTWAIT); n != len(out) || err != nil {
			t.Fatal(n, err)
		}
		n, err := receive() // over loopback they are there
		if n != len(texts) || err != nil {
			t.Fatalf("%d datagrams, %v, want %d", n, err, len(texts))
		}
		for i, text := range texts {
			if got := buffers[i][:in[i].Length]; !bytes.Equal(got, text) || AddrPort(&names[i]) != addr {
				t.Fatalf("datagram %d is %q from %v, want %q from %v", i, got, AddrPort(&names[i]), text, addr)
			}
		}
	})
	if allocated != 0 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestAddrPortOfNoFamily(t *testing.T) {
	t.Parallel()
	if got := AddrPort(&unix.RawSockaddrInet6{Family: unix.AF_UNIX}); got.IsValid() {
		t.Errorf("the address of a unix socket is %v, want none", got)
	}
}
