package server

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"time"

	"gcd/codec"
)

// datagram is a UDP request with a goroutine of its own.
type datagram struct {
	*request
	peer    netip.AddrPort
	control []byte // for the answer: from which address
}

// lastMail is the time to take the datagrams that have come when nothing comes any more.
const lastMail = 50 * time.Millisecond

// receive runs until the dispatch has drained. It reads each datagram and starts a goroutine for
// it.
func (d *goroutines) receive() {
	defer d.wg.Done()
	var failing backoff
	buf := make([]byte, maxRead)
	oob := make([]byte, 128)
	last := false
	for {
		for d.s.overfull(time.Since(d.s.began)) && d.pause(overfullPause) {
		}
		n, oobn, _, peer, err := d.udp.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			switch {
			case errors.Is(err, net.ErrClosed), last && isTimeout(err):
				return
			case isTimeout(err):
				last = true
				d.shut(d.udp, closeBox)
				d.udp.SetReadDeadline(time.Now().Add(lastMail))
				continue
			}
			d.s.journal.happened(receiveError, netip.AddrPort{}, err)
			if !d.pause(failing.next()) {
				return
			}
			continue
		}
		failing.reset()
		d.s.traffic.took(n)
		if !d.s.answerable(buf[:n], peer) {
			continue
		}
		control := answerControl(oob[:oobn])
		one := claim{from: d.s.shares.of(peer.Addr()), requests: 1, bytes: n}
		if !d.s.admit(one) {
			d.send(d.s.appendDatagramRefusal(nil, codec.CodeTooManyRequests, peer, buf[:n]), control, peer)
			continue
		}
		now := time.Since(d.s.began)
		d.s.noteRates(now)
		d.s.askers.note(now, false)
		r := d.requests.Get().(*request)
		r.claim = one
		r.own = append(r.own[:0], buf[:n]...)
		r.msg = r.own
		d.wg.Add(1)
		go d.serveDatagram(&datagram{request: r, peer: peer, control: bytes.Clone(control)})
	}
}

// serveDatagram has an admitted datagram done and answers it.
func (d *goroutines) serveDatagram(g *datagram) {
	defer d.wg.Done()
	decoded := false
	d.s.guard(g.peer, func() {
		if err := d.s.decode(g.msg, &g.ops[0]); err != nil {
			g.out = d.s.appendDatagramRefusal(g.out[:0], refusal(err).Code, g.peer, g.msg)
			d.send(g.out, g.control, g.peer)
			return
		}
		decoded = true
	})
	if !decoded {
		d.s.done(g.claim)
	} else {
		if !d.commit(g.request) {
			return // the request is the backend's still
		}
		d.s.guard(g.peer, func() { d.answerDatagram(g) })
	}
	d.recycle(g.request)
}

func (d *goroutines) answerDatagram(g *datagram) {
	op := &g.ops[0]
	if op.Err == nil {
		g.out = appendAnswer(g.out[:0], op)
		if d.send(g.out, g.control, g.peer) {
			d.s.answered.Add(1)
		}
		return
	}
	code, known := codeOf(op.Err)
	if !known {
		d.s.journal.happened(unknownOutcome, g.peer, op.Err)
		return
	}
	g.out = d.s.appendDatagramRefusal(g.out[:0], code, g.peer, g.msg)
	d.send(g.out, g.control, g.peer)
}

// send sends an answer, if there is one.
func (d *goroutines) send(b, control []byte, peer netip.AddrPort) bool {
	if len(b) == 0 {
		return false
	}
	n, _, err := d.udp.WriteMsgUDPAddrPort(b, control, peer)
	d.s.traffic.gave(n)
	if err != nil {
		d.s.journal.happened(lostAnswer, peer, err)
		return false
	}
	return true
}
