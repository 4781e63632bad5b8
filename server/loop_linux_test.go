package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/store"
)

// flood answers anything with more than sockets buffer.
type flood struct{ oneMessage }

const floodSize = 32 << 20

func (flood) readable(c *stream) {
	if _, err := readSocket(c.fd, c.l.scratch); err == unix.EAGAIN {
		c.await()
		return
	}
	c.deadline.stop()
	c.out = append(c.out, make([]byte, floodSize)...)
	c.flush()
}

// startFlood serves flood on a pool until the test ends.
func startFlood(t *testing.T, o Options) (*Server, net.Conn) {
	t.Helper()
	o.TCP, o.Workers = "127.0.0.1:0", 1
	s, err := New(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	d, err := newPool(s, s.tcp, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.(*pool).loops[0].handler = flood{}
	ran := make(chan struct{})
	go func() { defer close(ran); d.run() }()
	t.Cleanup(func() { d.drain(0); <-ran })
	c, err := net.Dial("tcp", s.TCPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write([]byte("\x00go")); err != nil {
		t.Fatal(err)
	}
	return s, c
}

// An answer that the socket does not take at once goes out as its client reads.
func TestSlowReaderGetsEverything(t *testing.T) {
	t.Parallel()
	s, c := startFlood(t, Options{WriteTimeout: time.Hour})
	n, err := io.Copy(io.Discard, c)
	if n != floodSize || err != nil {
		t.Errorf("read %d bytes (%v), want %d", n, err, floodSize)
	}
	if st := s.Stats(); st.LostAnswers != 0 {
		t.Errorf("%d answers lost", st.LostAnswers)
	}
}

// A client that does not take its answer is given up at the write deadline.
func TestWriteDeadline(t *testing.T) {
	t.Parallel()
	s, _ := startFlood(t, Options{WriteTimeout: 50 * time.Millisecond})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for s.Stats().LostAnswers == 0 || s.Stats().Connections != 0 {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never given up: %+v", s.Stats())
		}
	}
}

// fullPacketDoor is the UDP door of a loop whose socket has no room. A socket pair stands for the UDP socket, because it
// is the one that can be full.
func fullPacketDoor(t *testing.T) (d *packetDoor, other, sent int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	l := idleLoop(t, fds[0])
	for err == nil {
		err = unix.Send(fds[0], codec.AppendCountReply(nil, uint64(sent)), unix.MSG_DONTWAIT)
		sent++
	}
	return l.packets, fds[1], sent - 1
}

// finishBatch answers so many counts, with sums from first on.
func finishBatch(d *packetDoor, first, answers int) {
	b := d.newBatch()
	for n := range answers {
		b.ops = append(b.ops, store.Op{Kind: store.Count, Sum: uint64(first + n)})
		b.senders = append(b.senders, sender{})
	}
	d.outstanding++
	b.finish()
}

// receiveAnswers expects counts from zero on.
func receiveAnswers(fd, answers int, done chan<- error) {
	buf := make([]byte, 64)
	for want := range uint64(answers) {
		n, err := unix.Read(fd, buf)
		if err == nil {
			var r codec.Reply
			if r, err = codec.ParseReply(buf[:n]); err == nil && r.Sum != want {
				err = fmt.Errorf("sum %d, want %d", r.Sum, want)
			}
		}
		if err != nil {
			done <- err
			return
		}
	}
	done <- nil
}

// Answers for which the socket has no room wait for it, and go out in order.
func TestDatagramAnswersWaitForRoom(t *testing.T) {
	t.Parallel()
	d, other, sent := fullPacketDoor(t)
	const answers = 1000
	read := make(chan error, 1)
	d.room = sync.OnceValue(func() bool {
		go receiveAnswers(other, sent+answers, read)
		return true // from now on there is, again and again
	})
	finishBatch(d, sent, answers)
	if err := <-read; err != nil {
		t.Error(err)
	}
	if st := d.l.s.Stats(); st.Answered != answers || st.LostAnswers != 0 {
		t.Errorf("%d answers of %d went out, %d lost", st.Answered, answers, st.LostAnswers)
	}
}

// When no room comes, the answers are lost and counted, and the loop goes on.
func TestDatagramAnswersAreLostWhenNoRoomComes(t *testing.T) {
	t.Parallel()
	d, _, _ := fullPacketDoor(t)
	finishBatch(d, 0, 3)
	if st := d.l.s.Stats(); st.Answered != 0 || st.LostAnswers != 3 || d.outstanding != 0 {
		t.Errorf("%d answered, %d lost, %d outstanding; want 0, 3, 0", st.Answered, st.LostAnswers, d.outstanding)
	}
}

// noBackend is a backend of which nothing is wanted but a PONG.
type noBackend struct{ Backend }

func (noBackend) Refusing() error { return nil }

// A loop that nothing serves but the test.
func idleLoop(t *testing.T, packets int) *loop {
	t.Helper()
	s, err := New(noBackend{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLoop(&pool{s: s, listener: -1, packets: packets})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// idlePool is a pool of so many loops on real sockets, that nothing serves but the test. The first
// loop alone is a home of conversations.
func idlePool(t *testing.T, loops int) (*Server, *pool) {
	t.Helper()
	s, err := New(noBackend{}, Options{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Workers: loops})
	if err != nil {
		t.Fatal(err)
	}
	s.processors = 2
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	d, err := newPool(s, s.tcp, s.udp)
	if err != nil {
		t.Fatal(err)
	}
	p := d.(*pool)
	t.Cleanup(p.close)
	return s, p
}

// An event of a connection that has ended says nothing about the next one in its slot.
func TestStaleEvent(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	connect := func(msg string) (*stream, int) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fds[1], []byte(msg)); err != nil {
			t.Fatal(err)
		}
		return l.newStream(fds[0], netip.AddrPort{}), fds[1]
	}
	first, end := connect("\x00")
	l.step(first, first.ready)
	stale := unix.EpollEvent{Fd: first.slot, Pad: first.generation}
	unix.Close(end)
	first.close()
	second, end := connect("\x00orders")
	defer unix.Close(end)
	if second.slot != stale.Fd {
		t.Fatalf("slot %d is not used again: %d", stale.Fd, second.slot)
	}
	l.handle(stale)
	if len(l.groups) != 0 || len(second.in) != 0 {
		t.Fatal("a stale event was taken for the new connection's")
	}
	l.handle(unix.EpollEvent{Fd: second.slot, Pad: second.generation})
	if len(l.groups) != 1 {
		t.Fatal("the new connection's own event was not")
	}
	l.s.done(second.claim())
	second.close()
	if l.open != 0 || len(l.streams) != 1 || len(l.free) != 1 {
		t.Errorf("%d open, %d streams, %d free", l.open, len(l.streams), len(l.free))
	}
}

// What has arrived when the settle time is over belongs to the message, although the loop was late and has not read it.
func TestLateLoopStillReads(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	c := l.newStream(fds[0], netip.AddrPort{})
	write := func(part string) {
		if _, err := unix.Write(fds[1], []byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	write("\x00caf\xc3")
	c.ready()
	write("\xa9")
	l.now += l.s.opts.Settle
	l.expire()
	if len(l.groups) != 1 || string(l.groups[0].Ops[0].Topic) != "café" {
		t.Fatalf("%d groups", len(l.groups))
	}
	l.s.done(c.claim())
	c.close()
}

// What was refused takes no memory.
func TestRefusedDatagramsAreForgotten(t *testing.T) {
	t.Parallel()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fd, err := duplicate(c.(*net.UDPConn))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	l := idleLoop(t, fd)
	client, err := net.Dial("udp4", c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 50 {
		if _, err := client.Write([]byte("\x63" + strings.Repeat("x", 5000))); err != nil {
			t.Fatal(err)
		}
		for arrived := 0; arrived < 1; { // an interrupted poll says -1
			arrived, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		}
		l.packets.receive()
		if n := l.s.Stats().Datagrams; n != uint64(i+1) {
			t.Fatalf("%d datagrams received, want %d", n, i+1)
		}
	}
	if n := len(l.packets.free); n != 1 {
		t.Fatalf("%d batches were made, want 1", n)
	}
	if b := l.packets.free[0]; len(b.bytes) != 0 || cap(b.bytes) > 3*5001 {
		t.Errorf("the batch holds %d bytes of %d", len(b.bytes), cap(b.bytes))
	}
}

func TestTimers(t *testing.T) {
	t.Parallel()
	ts, other := timers{wait: 10}, timers{wait: 5}
	var c [4]stream
	for i := range c {
		c[i].deadline.c = &c[i]
		ts.start(&c[i].deadline, time.Duration(i))
	}
	c[1].deadline.stop()
	c[1].deadline.stop() // in no list: nothing happens
	other.start(&c[2].deadline, 3)
	ts.start(&c[0].deadline, 4) // behind c[3] now
	if got := ts.expired(12); got != nil {
		t.Error("expired too early")
	}
	for _, want := range []*stream{&c[3], &c[0], nil} {
		if got := ts.expired(14); got != want {
			t.Errorf("expired out of order")
		}
	}
	if got := other.expired(8); got != &c[2] || other.first != nil || other.last != nil || ts.last != nil {
		t.Error("the lists are not empty at the end")
	}
}

// A connection that waits, and a request, cost little.
func TestSizes(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(stream{}); n > 512 {
		t.Errorf("a stream has %d bytes", n)
	}
	if n := unsafe.Sizeof(request{}); n > 1024 {
		t.Errorf("a request has %d bytes", n)
	}
}

// testWatch is a watch over a socket, and three loops that nothing serves but the test.
func testWatch(t *testing.T) (w *watch, loops []*loop) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if w, err = newWatch(-1, fds[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.close()
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	loops = []*loop{idleLoop(t, -1), idleLoop(t, -1), idleLoop(t, -1)}
	if err := w.begin(loops); err != nil {
		t.Fatal(err)
	}
	return w, loops
}

// A loop keeps the watch while it commits, unless it is behind and another sleeps.
func TestWatch(t *testing.T) {
	t.Parallel()
	w, loops := testWatch(t)
	a, b, c := loops[0], loops[1], loops[2]
	holder := func(want *loop, when string) {
		t.Helper()
		if w.holder != want {
			t.Errorf("the wrong loop holds the watch %s", when)
		}
		for _, l := range loops {
			// What is watched already cannot be added: so the pollers say who watches.
			err := l.poll.add(w.packets, unix.EPOLLIN, packetsToken, 0)
			if watches := errors.Is(err, unix.EEXIST); watches != (l == want) {
				t.Errorf("%s: a loop watches: %v (%v)", when, watches, err)
			}
			if err == nil {
				l.poll.remove(w.packets)
			}
		}
	}
	w.sleep(c)
	w.commits(b, true)
	w.committed(b)
	holder(a, "after another committed")
	w.commits(a, false)
	w.since = w.since.Add(time.Hour) // the test may be late
	w.sleep(b)
	holder(a, "when it commits")
	w.committed(a)
	w.awake(c)
	w.awake(b)
	w.commits(a, true)
	holder(a, "when it is behind and nobody sleeps")
	w.committed(a)
	w.sleep(b)
	w.commits(a, true)
	holder(b, "when it is behind and one sleeps")
	w.awake(b)
	c.isHome = true
	w.sleep(c)
	holder(c, "when a home goes to sleep, and the holder is none")
	w.awake(c)
	b.isHome = true
	w.sleep(b)
	holder(c, "when another home does")
	w.awake(b)
	if len(w.sleepers) != 0 {
		t.Errorf("%d sleepers at the end", len(w.sleepers))
	}
	w.drain()
	w.sleep(c)
	w.commits(b, true)
	w.holder = nil // which nobody asks for any more
	holder(nil, "after the end")
}

// A loop that commits for long is relieved: by one that sleeps, which the alarm wakes, and by one that goes to sleep.
func TestWatchIsTakenFromALongCommit(t *testing.T) {
	t.Parallel()
	for _, asleep := range []bool{true, false} {
		w, loops := testWatch(t)
		a, b := loops[0], loops[1]
		if asleep {
			w.sleep(b)
		}
		w.commits(a, false)
		began := w.since
		w.since = began.Add(time.Hour) // the test may be late
		w.alarmed(b)
		if w.holder != a {
			t.Fatal("relieved at once")
		}
		w.since = began
		// Of the loops' pollers one hears of the alarm at least, when it is time.
		events := b.poll.wait(time.Minute)
		for len(events) == 0 { // a wait may end too soon
			events = b.poll.wait(time.Minute)
		}
		if len(events) != 1 || events[0].Fd != alarmToken {
			t.Fatalf("%d events", len(events))
		}
		if asleep {
			w.alarmed(b)
		} else {
			w.sleep(b)
		}
		if w.holder != b {
			t.Error("not relieved")
		}
		w.committed(a)
		w.alarmed(a)
		if w.holder != b {
			t.Error("a loop that does not commit is relieved")
		}
	}
}

// The alarm goes off behind every long commit, soon enough, and is not set for each.
func TestWatchSetsTheAlarmNowAndThen(t *testing.T) {
	t.Parallel()
	w, loops := testWatch(t)
	for _, in := range []time.Duration{-time.Hour, -1, longCommit / 2} {
		w.due = time.Now().Add(in)
		w.commits(loops[0], false)
		if got := w.due.Sub(w.since); got != 2*longCommit {
			t.Errorf("due in %v, and then %v behind the beginning of a commit", in, got)
		}
	}
	due := time.Now().Add(time.Hour)
	w.due = due
	w.commits(loops[0], false)
	if !w.due.Equal(due) {
		t.Error("set anew, though it goes off behind the commit")
	}
}

// A loop that is told to go round while it is awake does so before it sleeps.
func TestMailbox(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	m := &l.mail
	m.wake()
	if m.sleep() {
		t.Error("slept although it was told to go round")
	}
	if !m.sleep() {
		t.Fatal("did not sleep with nothing to do")
	}
	c := &stream{}
	m.put(c)
	if events := l.poll.wait(time.Minute); len(events) != 1 || events[0].Fd != wakeToken {
		t.Error("was not woken")
	}
	if m.sleep() {
		t.Error("slept on something to finish")
	}
	if items := m.take(nil); len(items) != 1 || items[0] != finisher(c) {
		t.Errorf("took %v", items)
	}
	if events := l.poll.ready(); len(events) != 0 {
		t.Error("was woken twice")
	}
	m.close()
	m.put(c)
	m.wake()
	if items := m.take(nil); len(items) != 0 {
		t.Error("a closed mailbox kept something")
	}
}
