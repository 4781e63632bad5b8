package blocking

import (
	"bytes"
	"errors"
	"net"
	"time"

	"gcd/codec"
	"gcd/server/internal/counter"
	"gcd/server/internal/gate"
	"gcd/server/internal/socket"
	"gcd/store/core"
)

// datagram is a datagram with a goroutine of its own. It is used for one after the other, unless
// the backend has kept its group.
type datagram struct {
	d       *Dispatcher
	peer    gate.Peer
	control []byte // for the answer: from which address
	msg     []byte
	out     []byte
	claim   gate.Claim

	ops       [1]core.Op
	group     core.Group
	committed chan struct{} // gets one value for each submission
}

func newDatagram(d *Dispatcher) *datagram {
	g := &datagram{d: d, committed: make(chan struct{}, 1)}
	g.group.Done = func(*core.Group) {
		d.o.Gate.Done(g.claim)
		g.committed <- struct{}{} // has room: one submission at a time
	}
	return g
}

// lastMail is the time to take the datagrams that have come when nothing comes any more.
const lastMail = 50 * time.Millisecond

// receive runs until the dispatch has drained. It reads each datagram and starts a goroutine for
// it.
func (d *Dispatcher) receive() {
	var failing gate.Backoff
	buf := make([]byte, counter.MaxRead)
	oob := make([]byte, 128)
	last := false
	for {
		d.waitForRoom()
		n, oobn, _, addr, err := d.udp.ReadMsgUDPAddrPort(buf, oob)
		switch {
		case err == nil:
			failing = gate.Backoff{}
			d.take(buf[:n], oob[:oobn], gate.Peer{Addr: addr})
		case errors.Is(err, net.ErrClosed), last && isTimeout(err):
			return
		case isTimeout(err): // Drain's
			last = true
			d.shut(d.udp, socket.CloseBox)
			d.udp.SetReadDeadline(time.Now().Add(lastMail))
		default:
			d.o.Gate.Happened(gate.ReceiveError, gate.Peer{}, err)
			if !d.pause(failing.Next()) {
				return
			}
		}
	}
}

// take has a datagram done, refuses it, or drops it.
func (d *Dispatcher) take(msg, oob []byte, peer gate.Peer) {
	o, g := &d.o, d.o.Gate
	now := time.Since(g.Began)
	g.Account(now, len(msg), 0)
	g.Datagrams.Add(1)
	if !o.Counter.IsAnswerable(msg, peer) {
		return
	}
	select {
	case <-d.open:
	default:
		return
	}
	var control []byte
	if len(oob) > 0 {
		control = socket.AnswerControl(oob)
	}
	one := d.datagrams.Get().(*datagram)
	one.peer = peer
	one.msg, one.control = append(one.msg[:0], msg...), bytes.Clone(control)
	admitted := one.decode() // first: who may nothing takes no place from others
	if admitted {
		one.claim = gate.Claim{From: g.Source(peer), Requests: 1, Bytes: len(msg)}
		if admitted = g.Admit(one.claim); !admitted {
			d.send(o.Counter.AppendRefusal(nil, codec.CodeTooManyRequests, peer, msg), control, peer)
		}
	}
	if !admitted {
		one.ops[0] = core.Op{}
		d.datagrams.Put(one)
		return
	}
	g.NoteLittle(now, gate.Modest)
	d.wg.Go(one.run)
}

// run has an admitted datagram done and answers it.
func (g *datagram) run() {
	g.group.Ops = g.ops[:]
	g.d.o.Backend().Submit(&g.group)
	select {
	case <-g.committed:
	case <-g.d.aborting:
		return // the group is the backend's still
	}
	g.answer()
	g.ops[0] = core.Op{}
	g.d.datagrams.Put(g)
}

// decode makes an operation of the message, or refuses it and returns false. A panic in it or in
// answer costs this datagram alone.
func (g *datagram) decode() bool {
	defer func() {
		if with := recover(); with != nil {
			g.d.o.Gate.Panicked(g.peer, with)
		}
	}()
	o := &g.d.o
	refused := o.Counter.Decode(g.msg, g.peer, gate.DoorUDP, &g.ops[0])
	if refused == nil {
		return true
	}
	g.out = o.Counter.AppendRefusal(g.out[:0], refused.Code, g.peer, g.msg)
	g.d.send(g.out, g.control, g.peer)
	return false
}

// answer tells the outcome.
func (g *datagram) answer() {
	defer func() {
		if with := recover(); with != nil {
			g.d.o.Gate.Panicked(g.peer, with)
		}
	}()
	o, op := &g.d.o, &g.ops[0]
	if o.Gate.Options.Audit != nil {
		o.Counter.Changed(g.peer, gate.DoorUDP, g.ops[:], g.group.Index)
	}
	switch {
	case op.Err != nil:
		g.out = o.Counter.AppendFailure(g.out[:0], op, g.peer)
	case op.Kind == core.Reset:
		g.out = codec.AppendResetReply(g.out[:0])
	default:
		g.out = codec.AppendCountReply(g.out[:0], op.Sum)
	}
	if g.d.send(g.out, g.control, g.peer) && op.Err == nil {
		o.Gate.Answered.Add(1)
	}
}

// send sends an answer, if there is one.
func (d *Dispatcher) send(b, control []byte, peer gate.Peer) bool {
	if len(b) == 0 {
		return false
	}
	g := d.o.Gate
	n, _, err := d.udp.WriteMsgUDPAddrPort(b, control, peer.Addr)
	g.Account(time.Since(g.Began), 0, n)
	if err != nil {
		g.Happened(gate.LostAnswer, peer, err)
		return false
	}
	return true
}
