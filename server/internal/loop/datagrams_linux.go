package loop

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/internal/epoll"
	"gcd/server/internal/counter"
	"gcd/server/internal/gate"
	"gcd/server/internal/socket"
	"gcd/store/core"
)

const (
	// batchSize is how many datagrams one call receives or sends.
	batchSize = 64
	// controlSize is room for the control message that says to which address a datagram was sent.
	controlSize = 64
	// sendPatience is how long an answer may wait for room in the socket's buffer.
	sendPatience = 10 * time.Millisecond
)

// datagramDoor is a loop's part of the UDP socket.
type datagramDoor struct {
	l  *loop
	fd int

	// What a receiving call fills: message i has names[i], controls[i] and
	// bytes[i*counter.MaxRead:].
	messages []epoll.Message
	vectors  []unix.Iovec
	names    []unix.RawSockaddrInet6
	controls [][controlSize]byte
	bytes    []byte

	// What a refusal is sent from. The kernel gets pointers into it.
	refusal struct {
		bytes   [answerSize]byte
		to      sender
		vector  unix.Iovec
		message [1]epoll.Message
	}

	filling     *batch // that has no datagram yet, or nil
	free        []*batch
	outstanding int // batches that the backend has

	room func() bool // waitForRoom, except in a test
}

// batch is a number of datagrams that is one group.
type batch struct {
	door    *datagramDoor
	group   core.Group
	ops     []core.Op
	senders []sender // of each op
	bytes   []byte   // the messages, which the ops' topics are parts of

	// What a sending call takes: the answers of those ops that get one.
	messages []epoll.Message
	vectors  []unix.Iovec
	answers  [][answerSize]byte
}

// answerSize is room for a COUNT reply of the widest sum.
const answerSize = 9

// sender is where a datagram came from and where it was sent to.
type sender struct {
	name       unix.RawSockaddrInet6
	nameLen    uint32
	claim      gate.Claim
	control    [controlSize]byte
	controlLen int
}

func newDatagramDoor(l *loop, fd int) *datagramDoor {
	d := &datagramDoor{
		l: l, fd: fd,
		messages: make([]epoll.Message, batchSize),
		vectors:  make([]unix.Iovec, batchSize),
		names:    make([]unix.RawSockaddrInet6, batchSize),
		controls: make([][controlSize]byte, batchSize),
		bytes:    make([]byte, batchSize*counter.MaxRead),
	}
	d.room = d.waitForRoom
	for i := range d.messages {
		d.vectors[i].Base = &d.bytes[i*counter.MaxRead]
		d.vectors[i].SetLen(counter.MaxRead)
		m := &d.messages[i]
		m.Name = (*byte)(unsafe.Pointer(&d.names[i]))
		m.Iov = &d.vectors[i]
		m.SetIovlen(1)
		m.Control = &d.controls[i][0]
	}
	return d
}

// receive takes what has arrived, so many datagrams at most, and hands it over as one group. It
// returns true if there may be more.
func (d *datagramDoor) receive(most int) (more bool) {
	if n := len(d.free); n > 0 && d.filling == nil {
		d.filling, d.free = d.free[n-1], d.free[:n-1]
	} else if d.filling == nil {
		d.filling = d.newBatch()
	}
	b, g := d.filling, d.l.p.o.Gate
	for left := most; left > 0; {
		room := d.messages[:min(left, batchSize)]
		for i := range room {
			m := &d.messages[i]
			m.Namelen = unix.SizeofSockaddrInet6
			m.SetControllen(controlSize)
		}
		n, err := epoll.ReceiveMessages(d.fd, room, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			g.Happened(gate.ReceiveError, gate.Peer{}, err)
			break
		}
		for i := range n {
			d.l.in += int(d.messages[i].Length)
			d.take(b, i)
		}
		if n < len(room) {
			break
		}
		left -= n
		more = left == 0
	}
	if len(b.ops) == 0 {
		return more
	}
	b.group.Ops, d.filling = b.ops, nil
	d.outstanding++
	g.NoteLittle(d.l.now, false)
	d.l.groups = append(d.l.groups, &b.group)
	return more
}

// take adds the datagram that was received as message i to the batch, or refuses it, or drops it. A
// panic costs this datagram alone.
func (d *datagramDoor) take(b *batch, i int) {
	o := &d.l.p.o
	m := &d.messages[i]
	msg := d.bytes[i*counter.MaxRead:][:m.Length]
	peer := gate.Peer{Addr: epoll.AddrPort(&d.names[i])}
	if !o.Counter.IsAnswerable(msg, peer) || !d.l.p.isOpen.Load() {
		return
	}
	from := sender{name: d.names[i], nameLen: m.Namelen}
	from.claim = gate.Claim{From: o.Gate.Source(peer), Requests: 1, Bytes: len(msg)}
	from.controlLen = copy(from.control[:], socket.AnswerControl(d.controls[i][:m.Controllen]))

	at := len(b.bytes)
	b.bytes = append(b.bytes, msg...)
	var op core.Op
	taken := false
	defer func() {
		if with := recover(); with != nil {
			o.Gate.Panicked(peer, with)
		}
		if !taken {
			b.bytes = b.bytes[:at]
		}
	}()
	if err := o.Counter.Decode(b.bytes[at:], &op); err != nil {
		d.refuse(&from, peer, counter.Refusal(err).Code, msg)
	} else if !d.l.tally.Admit(from.claim) {
		d.refuse(&from, peer, codec.CodeTooManyRequests, msg)
	} else {
		taken = true
		b.ops = append(b.ops, op)
		b.senders = append(b.senders, from)
	}
}

// refuse answers a datagram that reached no group.
func (d *datagramDoor) refuse(from *sender, peer gate.Peer, code codec.Code, msg []byte) {
	r := &d.refusal
	b := d.l.p.o.Counter.AppendRefusal(r.bytes[:0], code, peer, msg)
	if len(b) == 0 {
		return
	}
	r.to = *from
	r.vector.Base = &r.bytes[0]
	r.vector.SetLen(len(b))
	r.to.address(&r.message[0], &r.vector)
	if _, err := epoll.SendMessages(d.fd, r.message[:], unix.MSG_DONTWAIT); err == nil {
		d.l.out += len(b)
	} else {
		d.l.p.o.Gate.Happened(gate.LostAnswer, peer, err)
	}
}

// address makes m an answer to the sender.
func (from *sender) address(m *epoll.Message, v *unix.Iovec) {
	m.Name = (*byte)(unsafe.Pointer(&from.name))
	m.Namelen = from.nameLen
	m.Iov = v
	m.SetIovlen(1)
	if from.controlLen > 0 {
		m.Control = &from.control[0]
		m.SetControllen(from.controlLen)
	} else {
		m.Control = nil
		m.SetControllen(0)
	}
}

func (d *datagramDoor) newBatch() *batch {
	b := &batch{door: d}
	b.group.Done = func(*core.Group) { // runs on the goroutine that owns the commit
		if !d.l.completions.put(b) {
			b.drop()
		}
	}
	return b
}

func (b *batch) drop() {
	for i := range b.senders {
		b.door.l.p.o.Gate.Done(b.senders[i].claim)
	}
}

// finish is called when the group has its outcomes: it answers the ops that get an answer.
func (b *batch) finish() {
	d := b.door
	d.outstanding--
	// Reserved first: the kernel gets pointers into these.
	if cap(b.answers) < len(b.ops) {
		n := max(len(b.ops), batchSize)
		b.answers = make([][answerSize]byte, n)
		b.vectors = make([]unix.Iovec, n)
		b.messages = make([]epoll.Message, n)
	}
	b.answers, b.vectors, b.messages = b.answers[:len(b.ops)], b.vectors[:len(b.ops)], b.messages[:len(b.ops)]
	n := 0
	for i := range b.ops {
		op, from := &b.ops[i], &b.senders[i]
		d.l.tally.Done(from.claim)
		answer := b.answers[n][:0]
		if op.Err == nil {
			answer = counter.AppendAnswer(answer, op)
		} else {
			answer = d.l.p.o.Counter.AppendFailure(answer, op, gate.Peer{Addr: epoll.AddrPort(&from.name)})
		}
		if len(answer) == 0 {
			continue
		}
		b.vectors[n].Base = &b.answers[n][0]
		b.vectors[n].SetLen(len(answer))
		from.address(&b.messages[n], &b.vectors[n])
		n++
	}
	b.messages = b.messages[:n]
	b.send()
	clear(b.ops)
	b.ops, b.senders, b.bytes = b.ops[:0], b.senders[:0], b.bytes[:0]
	if cap(b.bytes) > counter.MaxRead {
		b.bytes = nil
	}
	// While the disk is slow each turn makes a batch, and most are small.
	if len(d.free) < batchSize {
		d.free = append(d.free, b)
	}
}

// send sends the answers.
func (b *batch) send() {
	d := b.door
	for sent := 0; sent < len(b.messages); {
		rest := b.messages[sent:min(len(b.messages), sent+batchSize)]
		n, err := epoll.SendMessages(d.fd, rest, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN && d.room() {
			continue
		}
		if err != nil {
			to := (*unix.RawSockaddrInet6)(unsafe.Pointer(rest[0].Name))
			d.l.p.o.Gate.Happened(gate.LostAnswer, gate.Peer{Addr: epoll.AddrPort(to)}, err)
			n = 1 // the first of the rest is what failed
		} else {
			for i := range n {
				d.l.out += int(b.vectors[sent+i].Len)
				if b.answers[sent+i][0] != byte(codec.OpRefusal) {
					d.l.p.o.Gate.Answered.Add(1)
				}
			}
		}
		sent += n
	}
}

// waitForRoom waits until the socket's buffer takes more, or for sendPatience. It is full only when
// datagrams are made faster than the network takes them, so there is nothing better to do, for a
// moment.
func (d *datagramDoor) waitForRoom() bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLOUT}}, int(sendPatience/time.Millisecond))
	return n > 0
}
