package server

import (
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/store"
)

const (
	// packetBatch is how many datagrams one call receives or sends.
	packetBatch = 64
	// controlSize is room for the control message that says to which address a datagram was sent.
	controlSize = 64
	// sendPatience is how long an answer may wait for room in the socket's buffer.
	sendPatience = 10 * time.Millisecond
)

// packetDoor is a loop's part of the UDP socket.
type packetDoor struct {
	l  *loop
	fd int

	// What a receiving call fills: message i has names[i], controls[i] and bytes[i*maxRead:].
	messages []message
	vectors  []unix.Iovec
	names    []unix.RawSockaddrInet6
	controls [][controlSize]byte
	bytes    []byte

	// What a refusal is sent from. The kernel gets pointers into it.
	refusal struct {
		bytes   [answerSize]byte
		to      sender
		vector  unix.Iovec
		message [1]message
	}

	free        []*packets
	outstanding int // batches that the backend has

	room func() bool // waitForRoom, except in a test
}

// packets is a batch of datagrams that is one group.
type packets struct {
	door    *packetDoor
	group   store.Group
	ops     []store.Op
	senders []sender // of each op
	bytes   []byte   // the messages, which the ops' topics are parts of

	// What a sending call takes: the answers of those ops that get one.
	messages []message
	vectors  []unix.Iovec
	answers  [][answerSize]byte
}

// answerSize is room for a COUNT reply of the widest sum.
const answerSize = 9

// sender is where a datagram came from and where it was sent to.
type sender struct {
	name       unix.RawSockaddrInet6
	nameLen    uint32
	claim      claim
	control    [controlSize]byte
	controlLen int
}

func newPacketDoor(l *loop, fd int) *packetDoor {
	d := &packetDoor{
		l: l, fd: fd,
		messages: make([]message, packetBatch),
		vectors:  make([]unix.Iovec, packetBatch),
		names:    make([]unix.RawSockaddrInet6, packetBatch),
		controls: make([][controlSize]byte, packetBatch),
		bytes:    make([]byte, packetBatch*maxRead),
	}
	d.room = d.waitForRoom
	for i := range d.messages {
		d.vectors[i].Base = &d.bytes[i*maxRead]
		d.vectors[i].SetLen(maxRead)
		m := &d.messages[i]
		m.Name = (*byte)(unsafe.Pointer(&d.names[i]))
		m.Iov = &d.vectors[i]
		m.SetIovlen(1)
		m.Control = &d.controls[i][0]
	}
	return d
}

// receive takes what has arrived and hands it over as one group. It returns true if there may be more.
func (d *packetDoor) receive() (more bool) {
	b := d.newBatch()
	for left := d.l.s.receivesAtOnce(d.l.now); left > 0; {
		room := d.messages[:min(left, packetBatch)]
		for i := range room {
			m := &d.messages[i]
			m.Namelen = unix.SizeofSockaddrInet6
			m.SetControllen(controlSize)
		}
		n, err := receiveMessages(d.fd, room)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			d.l.s.journal.happened(receiveError, netip.AddrPort{}, err)
			break
		}
		for i := range n {
			d.l.in += int(d.messages[i].length)
			d.take(b, i)
		}
		if n < len(room) {
			break
		}
		left -= n
		more = left == 0
	}
	if len(b.ops) == 0 {
		d.keep(b)
		return more
	}
	b.group.Ops = b.ops
	d.outstanding++
	d.l.s.askers.note(d.l.now, false)
	d.l.groups = append(d.l.groups, &b.group)
	return more
}

// take adds the datagram that was received as message i to the batch, or refuses it, or drops it.
func (d *packetDoor) take(b *packets, i int) {
	s := d.l.s
	m := &d.messages[i]
	msg := d.bytes[i*maxRead:][:m.length]
	peer := addrPort(&d.names[i])
	if !s.answerable(msg, peer) {
		return
	}
	from := sender{name: d.names[i], nameLen: m.Namelen}
	from.claim = claim{from: s.shares.of(peer.Addr()), requests: 1, bytes: len(msg)}
	from.controlLen = copy(from.control[:], answerControl(d.controls[i][:m.Controllen]))

	at := len(b.bytes)
	b.bytes = append(b.bytes, msg...)
	var op store.Op
	taken := false
	s.guard(peer, func() {
		if err := s.decode(b.bytes[at:], &op); err != nil {
			d.refuse(&from, refusal(err).Code, msg)
		} else if !d.l.tally.admit(from.claim) {
			d.refuse(&from, codec.CodeTooManyRequests, msg)
		} else {
			taken = true
		}
	})
	if !taken {
		b.bytes = b.bytes[:at]
		return
	}
	b.ops = append(b.ops, op)
	b.senders = append(b.senders, from)
}

// refuse answers a datagram that reached no group.
func (d *packetDoor) refuse(from *sender, code codec.Code, msg []byte) {
	peer := addrPort(&from.name)
	r := &d.refusal
	b := d.l.s.appendDatagramRefusal(r.bytes[:0], code, peer, msg)
	if len(b) == 0 {
		return
	}
	r.to = *from
	r.vector.Base = &r.bytes[0]
	r.vector.SetLen(len(b))
	r.to.address(&r.message[0], &r.vector)
	if _, err := sendMessages(d.fd, r.message[:]); err == nil {
		d.l.out += len(b)
	} else {
		d.l.s.journal.happened(lostAnswer, peer, err)
	}
}

// address makes m an answer to the sender.
func (from *sender) address(m *message, v *unix.Iovec) {
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

func (d *packetDoor) newBatch() *packets {
	if n := len(d.free); n > 0 {
		b := d.free[n-1]
		d.free = d.free[:n-1]
		return b
	}
	b := &packets{door: d}
	b.group.Done = b.done
	return b
}

// done runs on the goroutine that owns the commit.
func (b *packets) done(*store.Group) {
	if !b.door.l.mail.put(b) {
		b.drop()
	}
}

func (b *packets) drop() {
	for i := range b.senders {
		b.door.l.s.done(b.senders[i].claim)
	}
}

// finish is called when the group has its outcomes.
func (b *packets) finish() {
	d := b.door
	d.outstanding--
	for i := range b.senders {
		d.l.tally.done(b.senders[i].claim)
	}
	b.prepare()
	b.send()
	clear(b.ops)
	b.ops, b.senders, b.bytes = b.ops[:0], b.senders[:0], b.bytes[:0]
	if cap(b.bytes) > maxRead {
		b.bytes = nil
	}
	d.keep(b)
}

// keep keeps a batch for later use, if there are not enough already: while the disk is slow each
// turn makes one, and most are small.
func (d *packetDoor) keep(b *packets) {
	if len(d.free) < packetBatch {
		d.free = append(d.free, b)
	}
}

// prepare makes the answers of the ops that get one.
func (b *packets) prepare() {
	d := b.door
	// Reserved first: the kernel gets pointers into these.
	if cap(b.answers) < len(b.ops) {
		n := max(len(b.ops), packetBatch)
		b.answers = make([][answerSize]byte, n)
		b.vectors = make([]unix.Iovec, n)
		b.messages = make([]message, n)
	}
	b.answers, b.vectors, b.messages = b.answers[:len(b.ops)], b.vectors[:len(b.ops)], b.messages[:len(b.ops)]
	n := 0
	for i := range b.ops {
		answer := d.answer(b.answers[n][:0], &b.ops[i], &b.senders[i])
		if len(answer) == 0 {
			continue
		}
		b.vectors[n].Base = &b.answers[n][0]
		b.vectors[n].SetLen(len(answer))
		b.senders[i].address(&b.messages[n], &b.vectors[n])
		n++
	}
	b.messages = b.messages[:n]
}

// answer appends the answer to an op; nothing if it gets none.
func (d *packetDoor) answer(dst []byte, op *store.Op, from *sender) []byte {
	if op.Err == nil {
		return appendAnswer(dst, op)
	}
	peer := addrPort(&from.name)
	code, known := codeOf(op.Err)
	if !known {
		d.l.s.journal.happened(unknownOutcome, peer, op.Err)
		return dst
	}
	return d.l.s.appendDatagramRefusal(dst, code, peer, op.Topic)
}

// send sends the answers.
func (b *packets) send() {
	d := b.door
	for sent := 0; sent < len(b.messages); {
		rest := b.messages[sent:min(len(b.messages), sent+packetBatch)]
		n, err := sendMessages(d.fd, rest)
		if err == unix.EAGAIN && d.room() {
			continue
		}
		if err != nil {
			d.l.s.journal.happened(lostAnswer, addrPort((*unix.RawSockaddrInet6)(unsafe.Pointer(rest[0].Name))), err)
			n = 1 // the first of the rest is what failed
		} else {
			for i := range n {
				d.l.out += int(b.vectors[sent+i].Len)
				if b.answers[sent+i][0] != byte(codec.OpRefusal) {
					d.l.s.answered.Add(1)
				}
			}
		}
		sent += n
	}
}

// waitForRoom waits until the socket's buffer takes more, or for sendPatience. It is full only when datagrams are made faster than the network takes
// them, so there is nothing better to do, for a moment.
func (d *packetDoor) waitForRoom() bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLOUT}}, int(sendPatience/time.Millisecond))
	return n > 0
}
