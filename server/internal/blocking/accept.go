package blocking

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"gcd/codec"
	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
	"gcd/server/internal/socket"
)

// accept runs until the dispatch has drained, and takes all who came before the end.
func (d *Dispatcher) accept(l Listener) {
	defer func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) { // Abort has
			d.o.Logger.Warn("cannot close a listening socket", "error", err)
		}
	}()
	select {
	case <-d.open:
	case <-d.draining:
	}
	var failing gate.Backoff
	for {
		d.waitForRoom()
		var nc net.Conn
		var err error
		if d.o.BeforeAccept != nil {
			err = d.o.BeforeAccept()
		}
		if err == nil {
			nc, err = l.Accept()
		}
		switch {
		case err == nil:
			failing = gate.Backoff{}
			tcp, _ := nc.RemoteAddr().(*net.TCPAddr)
			d.letIn(nc, tcp.AddrPort())
		case errors.Is(err, net.ErrClosed):
			return
		case isTimeout(err): // Drain's
			d.lastCall(l)
			return
		default:
			d.o.Gate.Happened(gate.AcceptError, gate.Peer{}, err)
			if !gate.AcceptGoesOn(err) && !d.pause(failing.Next()) {
				d.lastCall(l)
				return
			}
		}
	}
}

// lastCall closes the door, and lets those in who have come by then.
func (d *Dispatcher) lastCall(l Listener) {
	d.shut(l, socket.CloseDoor)
	if err := socket.AcceptQueued(l, d.letIn); err != nil {
		d.o.Gate.Happened(gate.AcceptError, gate.Peer{}, err)
	}
}

// shut closes a shared socket to whoever comes from now on.
func (d *Dispatcher) shut(c syscall.Conn, how func(fd int) error) {
	if err := socket.Apply(c, how); err != nil {
		d.o.Logger.Debug("a socket goes on to take what comes until it is closed", "error", err)
	}
}

// letIn starts a goroutine for a new connection: to serve it if a place is free, else to refuse it.
func (d *Dispatcher) letIn(nc net.Conn, addr netip.AddrPort) {
	peer := gate.Peer{Addr: addr}
	_, peer.Unix = nc.(*net.UnixConn)
	from, code, lingers := d.o.Gate.Enter(peer)
	if code != 0 && !lingers {
		d.turnAway(nc, peer, code)
		return
	}
	c := d.conns.Get().(*conn)
	c.begin(nc, peer, from, code)
	if d.enter(c) {
		d.wg.Go(c.run)
	} else {
		c.leave()
	}
}

// turnAway refuses a connection for which not even a place to linger is free.
func (d *Dispatcher) turnAway(nc net.Conn, peer gate.Peer, code codec.Code) {
	// What was sent already says in which language to answer, and would else reset the connection.
	b := make([]byte, firstRead)
	in, _ := socket.ReadAvailable(nc, b)
	// This does not block: the connection's buffer is empty.
	out, _ := nc.Write(d.o.Refuser(peer, code).Append(nil, b[:in]))
	d.o.Gate.Account(time.Since(d.o.Gate.Began), in, out)
	if half, is := nc.(interface{ CloseWrite() error }); is {
		half.CloseWrite()
	}
	nc.Close()
}

// Feeder announces somebody who calls Take, until he calls done. It comes before Run, which does
// not return meanwhile.
func (d *Dispatcher) Feeder() (done func()) {
	d.wg.Add(1)
	return d.wg.Done
}

// Take has a goroutine serve the connection, and waits for nothing.
func (d *Dispatcher) Take(t dispatch.Taken) {
	d.wg.Go(func() {
		nc, err := socket.Adopt(t.FD)
		if err != nil {
			d.o.Gate.Happened(gate.AcceptError, t.Peer, err)
			d.o.Gate.Leave(t.Peer)
			return
		}
		c := d.conns.Get().(*conn)
		c.begin(nc, t.Peer, d.o.Gate.Source(t.Peer), 0)
		c.came = d.o.Gate.Began.Add(t.Came)
		switch {
		case !d.enter(c):
			c.leave()
		case !c.secure(t.Said):
			c.worker.Tally.Flush()
			c.leave()
		default:
			c.run()
		}
	})
}

// enter makes c known to Drain and Abort; false means that it came too late.
func (d *Dispatcher) enter(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.aborting:
		return false
	default:
	}
	c.least = time.Now().Add(d.o.FirstByte)
	d.live[c] = struct{}{}
	return true
}

// readUntil sets c's deadline for reading, or the end that Drain has set if that is earlier.
func (d *Dispatcher) readUntil(c *conn, deadline time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.end.IsZero() {
		if end := d.endOf(c); deadline.IsZero() || end.Before(deadline) {
			deadline = end
		}
	}
	c.socket.SetReadDeadline(deadline)
}
