package tools

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// watchFor watches directories for anything but reading. The function that it returns gives what
// was noticed.
func watchFor(t testing.TB, dirs ...string) func() []string {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	for _, dir := range dirs {
		// IN_CLOSE_WRITE comes of every file that was open for writing, written or not.
		if _, err := unix.InotifyAddWatch(fd, dir,
			unix.IN_MODIFY|unix.IN_CLOSE_WRITE|unix.IN_ATTRIB|unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVE); err != nil {
			t.Fatal(err)
		}
	}
	return func() (events []string) {
		b := make([]byte, 64<<10)
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		for b = b[:n]; len(b) >= unix.SizeofInotifyEvent; {
			size := int(binary.NativeEndian.Uint32(b[12:]))
			name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], []byte{0})
			events = append(events, string(name))
			b = b[unix.SizeofInotifyEvent+size:]
		}
		return events
	}
}

// watchSpare watches for the store's next segment. The function that it returns waits until the one
// that the last rotation left to be made is written. That the file has its size is too early: the
// system notices a write after that, and a watch that begins in between would see it.
func watchSpare(t testing.TB, dir string) func() {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_MOVED_FROM); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		rotated, made := false, false
		for b := make([]byte, 64<<10); !rotated || !made; {
			ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			switch n, err := unix.Poll(ready, int(timeout.Milliseconds())); {
			case errors.Is(err, unix.EINTR):
				continue
			case err == nil && n == 0:
				t.Fatalf("no segment was made ready within %v", timeout)
			}
			n, err := unix.Read(fd, b) // all that was noticed of the rotations is there already
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for e := b[:n]; len(e) >= unix.SizeofInotifyEvent; {
				size := int(binary.NativeEndian.Uint32(e[12:]))
				name, _, _ := bytes.Cut(e[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], []byte{0})
				if string(name) == "spare" {
					made = binary.NativeEndian.Uint32(e[4:])&unix.IN_MODIFY != 0 // in one write
					rotated = rotated || !made
				}
				e = e[unix.SizeofInotifyEvent+size:]
			}
		}
	}
}
