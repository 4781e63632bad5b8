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

	filling     *batch // of the datagrams that are received; nil, or empty, between two calls of receive
	refused     *batch // of those that reach no group, likewise: it is answered at once
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
	bytes   []byte   // the messages, which the ops' topics are parts of, unless they were refused

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
	claim      gate.Claim // zero if it was refused
	refused    codec.Code // with this; 0: it was not
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
	if d.filling == nil {
		d.filling = d.emptyBatch()
	}
	g := d.l.p.o.Gate
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
			d.l.tally.In += int(d.messages[i].Length)
			d.take(i)
		}
		if d.refused != nil {
			d.outstanding++
			d.refused.advance()
			d.refused = nil
		}
		if n < len(room) {
			break
		}
		left -= n
		more = left == 0
	}
	if b := d.filling; len(b.ops) > 0 {
		d.filling, b.group.Ops = nil, b.ops
		d.outstanding++
		d.l.groups = append(d.l.groups, &b.group)
	}
	return more
}

// take adds the datagram that was received as message i to those that are filled, or to those that
// are refused, or drops it. A panic costs this datagram alone.
func (d *datagramDoor) take(i int) {
	o := &d.l.p.o
	m := &d.messages[i]
	msg := d.bytes[i*counter.MaxRead:][:m.Length]
	peer := gate.Peer{Addr: epoll.AddrPort(&d.names[i])}
	defer func() {
		if with := recover(); with != nil {
			o.Gate.Panicked(peer, with)
		}
	}()
	o.Gate.Datagrams.Add(1)
	var op core.Op
	refused := o.Counter.Decode(msg, peer, gate.DoorUDP, &op)
	if (refused != nil || peer.Addr.Port() == 0) && !o.Counter.IsAnswerable(msg, peer) || !d.l.p.isOpen.Load() {
		return
	}
	from, b := sender{name: d.names[i], nameLen: m.Namelen}, d.filling
	if m.Controllen > 0 {
		from.controlLen = copy(from.control[:], socket.AnswerControl(d.controls[i][:m.Controllen]))
	}
	if refused != nil {
		from.refused = refused.Code
	} else {
		claim := gate.Claim{From: o.Gate.Source(peer), Requests: 1, Bytes: len(msg), Asker: gate.Modest}
		if d.l.tally.Admit(claim) {
			from.claim = claim
			at := len(b.bytes)
			b.bytes = append(b.bytes, op.Topic...)
			op.Topic = b.bytes[at:]
		} else {
			from.refused = codec.CodeTooManyRequests
		}
	}
	if from.refused != 0 {
		if d.refused == nil {
			d.refused = d.emptyBatch()
		}
		b, op = d.refused, core.Op{Topic: msg} // until the next call that receives
	}
	b.ops, b.senders = append(b.ops, op), append(b.senders, from)
}

// emptyBatch returns one that nobody uses.
func (d *datagramDoor) emptyBatch() *batch {
	if n := len(d.free); n > 0 {
		b := d.free[n-1]
		d.free = d.free[:n-1]
		return b
	}
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

// advance answers the datagrams that get an answer, when the group has its outcomes.
func (b *batch) advance() {
	d := b.door
	o := &d.l.p.o
	d.outstanding--
	// Reserved first: the kernel gets pointers into these.
	if cap(b.answers) < len(b.ops) {
		n := max(len(b.ops), batchSize)
		b.answers = make([][answerSize]byte, n)
		b.vectors = make([]unix.Iovec, n)
		b.messages = make([]epoll.Message, n)
	}
	b.answers, b.vectors, b.messages = b.answers[:len(b.ops)], b.vectors[:len(b.ops)], b.messages[:len(b.ops)]
	if o.Gate.Options.Audit != nil {
		for i := range b.senders { // each is somebody else
			o.Counter.Changed(b.senders[i].peer(), gate.DoorUDP, b.ops[i:i+1], b.group.Index)
		}
	}
	n := 0
	for i := range b.ops {
		op, from, answer := &b.ops[i], &b.senders[i], b.answers[n][:0]
		switch {
		case from.refused != 0:
			answer = o.Counter.AppendRefusal(answer, from.refused, from.peer(), op.Topic)
		case op.Err != nil:
			answer = o.Counter.AppendFailure(answer, op, from.peer())
		case op.Kind == core.Reset:
			answer = codec.AppendResetReply(answer)
		default:
			answer = codec.AppendCountReply(answer, op.Sum)
		}
		if from.refused == 0 {
			d.l.tally.Done(from.claim)
		}
		if len(answer) == 0 {
			continue
		}
		v, m := &b.vectors[n], &b.messages[n]
		v.Base = &answer[0]
		v.SetLen(len(answer))
		m.Name, m.Namelen = (*byte)(unsafe.Pointer(&from.name)), from.nameLen
		m.Iov, m.Control = v, nil
		m.SetIovlen(1)
		m.SetControllen(from.controlLen)
		if from.controlLen > 0 {
			m.Control = &from.control[0]
		}
		n++
	}
	b.messages = b.messages[:n]
	b.send()
	clear(b.ops)
	b.ops, b.senders, b.bytes = b.ops[:0], b.senders[:0], b.bytes[:0]
	if cap(b.bytes) > counter.MaxRead {
		b.bytes = nil
	}
	switch {
	case d.filling == nil:
		d.filling = b
	case len(d.free) < batchSize: // while the disk is slow each turn makes a batch, and most are small
		d.free = append(d.free, b)
	}
}

// peer is who it is.
func (from *sender) peer() gate.Peer { return gate.Peer{Addr: epoll.AddrPort(&from.name)} }

// send sends the answers.
func (b *batch) send() {
	d := b.door
	for sent := 0; sent < len(b.messages); {
		rest := b.messages[sent:min(len(b.messages), sent+batchSize)]
		n, err := epoll.SendMessages(d.fd, rest, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN && b.waits() {
			continue
		}
		if err != nil {
			to := (*unix.RawSockaddrInet6)(unsafe.Pointer(rest[0].Name))
			d.l.p.o.Gate.Happened(gate.LostAnswer, gate.Peer{Addr: epoll.AddrPort(to)}, err)
			n = 1 // the first of the rest is what failed
		} else {
			for i := range n {
				d.l.tally.Out += int(b.vectors[sent+i].Len)
				if b.answers[sent+i][0] != byte(codec.OpRefusal) {
					d.l.p.o.Gate.Answered.Add(1)
				}
			}
		}
		sent += n
	}
}

// waits waits for room in the socket, and returns false if none has come. A refusal is not worth
// the wait.
func (b *batch) waits() bool { return b != b.door.refused && b.door.room() }

// waitForRoom waits until the socket's buffer takes more, or for sendPatience. It is full only when
// datagrams are made faster than the network takes them, so there is nothing better to do, for a
// moment.
func (d *datagramDoor) waitForRoom() bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLOUT}}, int(sendPatience/time.Millisecond))
	return n > 0
}
