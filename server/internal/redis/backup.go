package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gcd/codec"
	"gcd/internal/access"
	"gcd/resp"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
)

// GCD.BACKUP: a backup is made by Options.Backup and sent as a streamed string, so long as it
// takes, by a goroutine that may wait for its client. Meanwhile the connection takes no commands.

// backups is what the backups of a server share.
type backups struct {
	under atomic.Bool // one is under way
	done  atomic.Uint64
	last  atomic.Int64    // when the last was done, in seconds since 1970; 0: none was
	ctx   context.Context // of all of them
	end   context.CancelFunc
}

// The formats of a backup.
const (
	backupNDJSON = "ndjson"
	backupCSV    = "csv"
)

// Backups is how many were sent.
func (d *Door) Backups() uint64 { return d.backups.done.Load() }

// IsBackingUp tells whether one is under way.
func (d *Door) IsBackingUp() bool { return d.backups.under.Load() }

const errBackupUnderWay = "BUSY another backup is under way: there is one at a time"

// backupCommand asks for a backup, which begins when what was answered before is written.
func (x *exchange) backupCommand() {
	o := &x.door.opts
	format := backupNDJSON
	switch {
	case x.parser.Len() == 1:
	case x.parser.Len() != 3 || !is(x.parser.Arg(1), "format"):
		x.fail(errSyntax)
		return
	case is(x.parser.Arg(2), backupCSV):
		format = backupCSV
	case !is(x.parser.Arg(2), backupNDJSON):
		x.fail("ERR unknown format of a backup: use ndjson or csv")
		return
	}
	switch {
	case o.Backup == nil:
		x.fail("ERR there is nothing to back up: the server keeps its counters in memory only")
	case !x.client.who.HasRules() && !o.AllowBackup && !x.client.peer.IsLocal():
		x.fail("NOPERM backups are for clients on the server's own machine, unless it is started with --allow-backup")
	default:
		x.backup, x.over = format, true
	}
}

// Backup sends a backup, or says why there is none. It returns false if the connection has to end,
// because a part of a backup was sent and the rest cannot be.
func (d *Door) Backup(conn session.Conn, who gate.Who, peer gate.Peer, format string) bool {
	ctx, cancel := context.WithCancel(d.backups.ctx)
	defer cancel()
	w := &backupWriter{door: d, ctx: ctx, conn: conn, who: who, peer: peer}
	if !d.backups.under.CompareAndSwap(false, true) {
		return w.refuse(errBackupUnderWay) == nil
	}
	over := sync.OnceFunc(func() { d.backups.under.Store(false) })
	defer over()
	interrupted := make(chan struct{})
	interrupt := context.AfterFunc(ctx, func() {
		conn.SetWriteDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	defer interrupt()
	began := time.Now()
	err := d.opts.Backup(ctx, w, format)
	over() // before the client hears of it, who may ask for the next at once
	if err == nil {
		err = w.close()
	}
	d.gate.BackedUp(&who, peer, err)
	if err == nil {
		d.backups.done.Add(1)
		d.backups.last.Store(time.Now().Unix())
		d.opts.Logger.Info("sent a backup", "peer", peer.String(), "format", format, "bytes", w.sent, "took_seconds",
			time.Since(began).Round(time.Millisecond).Seconds())
		return true
	}
	d.gate.Happened(gate.BrokenBackup, peer, err)
	switch {
	case w.begun:
		return false
	case ctx.Err() != nil:
		if !interrupt() { // nothing is to undo the deadline
			<-interrupted
		}
		conn.SetWriteDeadline(time.Now().Add(min(d.opts.WriteTimeout, stoppingPatience)))
		_, _ = conn.Write(w.failed(codec.CodeShuttingDown.RedisError())) // and then it ends
		return false
	}
	return w.refuse("ERR backup failed: "+err.Error()) == nil
}

// stoppingPatience is how long a client may take to hear that there is no backup because the server
// stops. A line fits into any socket.
const stoppingPatience = time.Second

// backupChunk is how much of a backup is sent at once, in bytes: little, since a client on the same
// machine works on it while others count.
const backupChunk = 16 << 10

// backupWriter sends what is written to it in chunks of a streamed string.
type backupWriter struct {
	door    *Door
	ctx     context.Context
	conn    session.Conn
	who     gate.Who // gets it
	peer    gate.Peer
	pending []byte // of the next chunk
	frame   []byte
	begun   bool
	sent    int64
	failure error // of the connection
}

func (w *backupWriter) Write(p []byte) (n int, err error) {
	if w.pending == nil {
		w.pending = make([]byte, 0, backupChunk)
	}
	for n < len(p) && err == nil {
		part := p[n:min(len(p), n+backupChunk-len(w.pending))]
		w.pending = append(w.pending, part...)
		n += len(part)
		if len(w.pending) == backupChunk {
			err = w.flush()
		}
	}
	return n, err
}

func (w *backupWriter) flush() error {
	w.frame = w.frame[:0]
	if !w.begun {
		w.frame = append(w.frame, resp.StreamHead...)
	}
	if len(w.pending) > 0 {
		w.frame = resp.AppendChunk(w.frame, w.pending)
	}
	w.sent += int64(len(w.pending))
	w.pending = w.pending[:0]
	w.begun = true
	return w.send(w.frame)
}

// close ends the string, which is whole then.
func (w *backupWriter) close() error {
	if err := w.flush(); err != nil {
		return err
	}
	return w.send([]byte(resp.StreamEnd))
}

// refuse answers with an error instead.
func (w *backupWriter) refuse(why string) error { return w.send(w.failed(why)) }

// failed is the answer to the command instead of a backup.
func (w *backupWriter) failed(why string) []byte {
	w.door.gate.Errors.Note(why)
	w.door.commands["gcd.backup"].use.failed.Add(1)
	return resp.AppendError(nil, why)
}

// send gives the client the write timeout to take b. When the backup is to end, or the client has
// the right to it no more, it does not begin.
func (w *backupWriter) send(b []byte) error {
	if w.failure != nil {
		return w.failure
	}
	if w.door.gate.Renew(&w.who, w.peer) && !w.who.Everything(access.Backup) {
		w.failure = errors.New("server: the right to a backup was taken away")
		return w.failure
	}
	w.conn.SetWriteDeadline(time.Now().Add(w.door.opts.WriteTimeout))
	// After the deadline that it may just have replaced: either this sees that ctx has ended, or
	// the interruption is still to come.
	if w.ctx.Err() != nil {
		w.failure = errors.New("server: shutting down")
		return w.failure
	}
	n, err := w.conn.Write(b)
	w.door.gate.Account(time.Since(w.door.gate.Began), 0, n)
	if err != nil {
		w.failure = fmt.Errorf("server: sending a backup: %w", err)
	}
	return w.failure
}
