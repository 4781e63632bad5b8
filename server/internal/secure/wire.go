package secure

import (
	"io"
	"net"
	"time"

	"gcd/server/internal/socket"
)

// wire is the connection below, as TLS sees it.
type wire struct {
	net.Conn
	said    []byte  // what was read before
	records records // of what was read
	ended   bool    // nothing more comes

	turns   Turns // nil but in a handshake
	hasTurn bool

	dry    bool // only what TLS has already is wanted
	atOnce bool // only what is there already is wanted

	// What TLS sends of itself, in answer to what it reads, has a time of its own: the deadline of
	// the last answer has passed long since. timed says that whoever writes has set one.
	timed        bool
	writeTimeout time.Duration
}

func (w *wire) Read(b []byte) (n int, err error) {
	if w.dry {
		return 0, errDry
	}
	w.give()
	switch {
	case len(w.said) > 0:
		n = copy(b, w.said)
		w.said = w.said[n:]
	case w.atOnce:
		n, err = socket.ReadAvailable(w.Conn, b)
	default:
		n, err = w.Conn.Read(b)
	}
	w.records.pass(b[:n])
	w.ended = w.ended || err == io.EOF
	if err == nil && !w.records.within() {
		err = w.take()
	}
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	if !w.timed {
		if err := w.Conn.SetWriteDeadline(time.Now().Add(w.writeTimeout)); err != nil {
			return 0, err
		}
	}
	w.give()
	return w.Conn.Write(b)
}

// take waits for a turn, in a handshake.
func (w *wire) take() error {
	if w.turns == nil || w.hasTurn {
		return nil
	}
	err := w.turns.Take()
	w.hasTurn = err == nil
	return err
}

// give ends the turn, if there is one.
func (w *wire) give() {
	if w.hasTurn {
		w.hasTurn = false
		w.turns.Give()
	}
}

// headerLen is how many bytes a record has before its payload; the last two are its length.
const headerLen = 5

// records follows where records begin and end.
type records struct {
	header int // bytes of a header that are there
	left   int // bytes of the payload that are not
}

func (r *records) pass(b []byte) {
	for len(b) > 0 {
		if r.header == headerLen {
			n := min(r.left, len(b))
			r.left -= n
			b = b[n:]
		} else {
			if r.header >= headerLen-2 {
				r.left = r.left<<8 | int(b[0])
			}
			r.header++
			b = b[1:]
		}
		if r.header == headerLen && r.left == 0 {
			r.header = 0
		}
	}
}

// within tells whether a record has begun and not ended.
func (r *records) within() bool { return r.header > 0 }
