package loop

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/store/core"
)

// fullDatagramDoor is a loop's part of a UDP socket that has no room. A socket pair stands for it,
// because it is the one that can be full.
func fullDatagramDoor(t *testing.T) (d *datagramDoor, other, sent int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	l, _ := idleLoop(t, fds[0])
	for err == nil {
		err = unix.Send(fds[0], codec.AppendCountReply(nil, uint64(sent)), unix.MSG_DONTWAIT)
		sent++
	}
	return l.datagrams, fds[1], sent - 1
}

// finishBatch answers so many counts, with sums from first on.
func finishBatch(d *datagramDoor, first, answers int) {
	b := d.emptyBatch()
	for n := range answers {
		b.ops = append(b.ops, core.Op{Kind: core.Count, Sum: uint64(first + n)})
		b.senders = append(b.senders, sender{})
	}
	d.outstanding++
	b.advance()
}

// receiveAnswers expects counts from zero on.
func receiveAnswers(fd, answers int) error {
	buf := make([]byte, 64)
	for want := range uint64(answers) {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return err
		}
		if r, err := codec.ParseReply(buf[:n]); err != nil || r.Sum != want {
			return fmt.Errorf("sum %d, want %d, %v", r.Sum, want, err)
		}
	}
	return nil
}

// Answers for which the socket has no room wait for it, and go out in order.
func TestDatagramAnswersWaitForRoom(t *testing.T) {
	t.Parallel()
	d, other, sent := fullDatagramDoor(t)
	const answers = 1000
	read := make(chan error, 1)
	d.room = sync.OnceValue(func() bool {
		go func() { read <- receiveAnswers(other, sent+answers) }()
		return true // from now on there is, again and again
	})
	finishBatch(d, sent, answers)
	if err := <-read; err != nil {
		t.Error(err)
	}
	if st := d.l.p.o.Gate.Stats(); st.Answered != answers || st.LostAnswers != 0 {
		t.Errorf("%d answers of %d went out, %d lost", st.Answered, answers, st.LostAnswers)
	}
}

// When no room comes, the answers are lost and counted, and the loop goes on.
func TestDatagramAnswersAreLostWhenNoRoomComes(t *testing.T) {
	t.Parallel()
	d, _, _ := fullDatagramDoor(t)
	finishBatch(d, 0, 3)
	if st := d.l.p.o.Gate.Stats(); st.Answered != 0 || st.LostAnswers != 3 || d.outstanding != 0 {
		t.Errorf("%d answered, %d lost, %d outstanding; want 0, 3, 0", st.Answered, st.LostAnswers, d.outstanding)
	}
}

// What was refused takes no memory.
func TestRefusedDatagramsAreForgotten(t *testing.T) {
	t.Parallel()
	box, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	fd, err := duplicate(box.(*net.UDPConn))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	l, _ := idleLoop(t, fd)
	l.p.isOpen.Store(true)
	client := dial(t, "udp4", box.LocalAddr().String())
	send := func(msg string, n uint64) {
		if _, err := client.Write([]byte(msg)); err != nil {
			t.Fatal(err)
		}
		for arrived := 0; arrived < 1; { // an interrupted poll says -1
			arrived, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
		}
		l.datagrams.receive(1)
		if got := l.p.o.Gate.Stats().Datagrams; got != n {
			t.Fatalf("%d datagrams received, want %d", got, n)
		}
	}
	for i := range 50 {
		send("\x63"+strings.Repeat("x", 5000), uint64(i+1))
	}
	send("\x00x", 51)
	b := l.groups[0].Done
	b(l.groups[0])
	l.commit()
	if n := len(l.datagrams.free); n != 1 {
		t.Fatalf("%d batches were made, want 1", n)
	}
	if b := l.datagrams.free[0]; len(b.bytes) != 0 || cap(b.bytes) > 3*5001 {
		t.Errorf("the batch holds %d bytes of %d", len(b.bytes), cap(b.bytes))
	}
}
