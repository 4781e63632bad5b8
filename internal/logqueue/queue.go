// Package logqueue puts a bounded queue in front of a writer that may block for ever, such as the
// stderr of a server whose reader has stopped. A writer to the queue never waits: what does not fit
// is dropped and counted.
package logqueue

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// DefaultBytes is how much may wait by default: some 5,000 lines.
	DefaultBytes = 1 << 20
	// lineOverhead is how many bytes a line takes in addition to its own.
	lineOverhead = 64
	// retryMin and retryMax bound the pause before the next try of a writer that would have
	// blocked.
	retryMin = time.Millisecond
	retryMax = 100 * time.Millisecond
)

// Options of a Queue. The zero value works.
type Options struct {
	Bytes int // how many may wait; default DefaultBytes
	// Lost makes the line, line end included, that says how many lines were dropped; nil: a plain
	// line. It is written where they are missing. Lost runs on the queue's goroutine, and must not
	// write to the queue.
	Lost func(lines uint64) []byte
}

// Queue is an io.Writer that takes a line with each Write, and writes them to another writer on a
// goroutine of its own, in their order. All of its methods may be called from any goroutine.
type Queue struct {
	w    io.Writer
	most int

	mu      sync.Mutex
	lost    func(uint64) []byte
	waiting []line
	bytes   int    // of waiting
	dropped uint64 // after the last line of waiting
	closed  bool

	work  chan struct{} // wakes the writer; has room for one
	hurry chan struct{} // closed when nobody waits for the writer any more
	done  chan struct{} // closed when it has ended

	lostLines atomic.Uint64

	// Used by the writing goroutine alone.
	missing uint64 // how many lines are missing at this place
	torn    bool   // a line lacks its end
}

type line struct {
	text    []byte
	dropped uint64 // just before this line
}

// New makes a queue in front of w and starts its goroutine, which Close ends.
func New(w io.Writer, o Options) *Queue {
	if o.Bytes <= 0 {
		o.Bytes = DefaultBytes
	}
	q := &Queue{
		w: w, most: o.Bytes, lost: o.Lost,
		work: make(chan struct{}, 1), hurry: make(chan struct{}), done: make(chan struct{}),
	}
	go q.run()
	return q
}

// SetLost replaces Options.Lost, for a caller who needs the queue before he knows the form of a
// line.
func (q *Queue) SetLost(lost func(lines uint64) []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lost = lost
}

// Write takes a copy of a line, or drops it. It never waits and never fails.
func (q *Queue) Write(text []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes+len(text)+lineOverhead > q.most {
		q.dropped++
		q.lostLines.Add(1)
	} else {
		q.put(text)
		q.wake()
	}
	return len(text), nil
}

// LostLines is how many lines were dropped, or could not be written, so far.
func (q *Queue) LostLines() uint64 { return q.lostLines.Load() }

func (q *Queue) put(text []byte) {
	q.waiting = append(q.waiting, line{append([]byte{}, text...), q.dropped})
	q.bytes += len(text) + lineOverhead
	q.dropped = 0
}

// Close takes one more line, last, which always has room and may be empty. Then it waits until
// everything is written, but at most for timeout, and says whether everything is. If not, the
// goroutine ends when its Write returns, perhaps never: the caller is about to end the process.
func (q *Queue) Close(last []byte, timeout time.Duration) bool {
	q.mu.Lock()
	q.closed = true
	if len(last) > 0 {
		q.put(last)
	}
	q.wake()
	q.mu.Unlock()
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-q.done:
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.waiting) == 0 && q.missing == 0
	case <-late.C:
		q.mu.Lock()
		defer q.mu.Unlock()
		select {
		case <-q.hurry:
		default:
			close(q.hurry)
		}
		return false
	}
}

func (q *Queue) wake() {
	select {
	case q.work <- struct{}{}:
	default:
	}
}

// run is the goroutine that writes.
func (q *Queue) run() {
	defer close(q.done)
	for {
		text, dropped, more := q.next()
		q.missing += dropped
		switch {
		case text != nil:
			if !q.sayMissing() || !q.write(text) {
				q.missing++
				q.lostLines.Add(1)
			}
		case dropped > 0:
			q.sayMissing()
		case more:
			<-q.work
		default:
			return
		}
	}
}

// next takes the first line that waits, and how many were dropped before it. If none waits, it
// returns how many were dropped after the last one. more says that other lines may come.
func (q *Queue) next() (text []byte, dropped uint64, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.hurry:
		return nil, 0, false
	default:
	}
	if len(q.waiting) == 0 {
		dropped, q.dropped = q.dropped, 0
		return nil, dropped, !q.closed
	}
	first := q.waiting[0]
	q.waiting[0] = line{}
	if q.waiting = q.waiting[1:]; len(q.waiting) == 0 {
		q.waiting = nil // gives the memory back
	}
	q.bytes -= len(first.text) + lineOverhead
	return first.text, first.dropped, true
}

// sayMissing writes how many lines are missing here, if any are, and says whether it has written
// that.
func (q *Queue) sayMissing() bool {
	if q.missing == 0 {
		return true
	}
	q.mu.Lock()
	lost := q.lost
	q.mu.Unlock()
	text := fmt.Appendf(nil, "%d lines lost\n", q.missing)
	if lost != nil {
		text = lost(q.missing)
	}
	if !q.write(text) {
		return false
	}
	q.missing = 0
	return true
}

// write writes a line, and says whether all of it was written. A writer that would block is tried
// again. After any other error, such as a full disk, the line is lost, and the part of it that was
// written gets its line end with the next line.
func (q *Queue) write(text []byte) bool {
	if len(text) == 0 {
		return true
	}
	if q.torn {
		text = append([]byte{'\n'}, text...)
	}
	pause := retryMin
	for begun := false; len(text) > 0; {
		n, err := q.w.Write(text)
		if n > 0 {
			begun, text, pause = true, text[n:], retryMin
		}
		switch {
		case len(text) == 0, err == nil && n > 0:
		case errors.Is(err, syscall.EAGAIN) && q.wait(pause):
			pause = min(2*pause, retryMax)
		default:
			q.torn = q.torn || begun
			return false
		}
	}
	q.torn = false
	return true
}

// wait waits, unless nobody waits for the writer any more.
func (q *Queue) wait(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-q.hurry:
		return false
	}
}
