package server_test

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"gcd/store"
	"gcd/store/core"
)

// fake is a backend in memory whose commits a test can hold up, fail and look at. It keeps the
// contract of server.Backend, with one committer goroutine for what no caller owns.
type fake struct {
	full    atomic.Bool   // what Stats and Refusing say
	version atomic.Uint64 // what WholeVersion says, and it grows by pace each time
	pace    atomic.Uint64

	mu      sync.Mutex
	cond    sync.Cond
	outcome func(op *core.Op) error // nil: every op succeeds
	queue   []*core.Group
	sums    map[string]uint64
	epochs  map[string]uint64
	topics  []string // in the order in which they appeared
	held    bool     // somebody owns the commit
	handed  bool     // it is the committer
	blocked bool     // commits wait
	closed  bool
	stuck   bool // a round has begun and waits
	rounds  int
	failed  chan struct{}
	ended   chan struct{}
}

func newFake() *fake {
	f := &fake{sums: make(map[string]uint64), epochs: make(map[string]uint64), failed: make(chan struct{}),
		ended: make(chan struct{})}
	f.cond.L = &f.mu
	go f.committer()
	return f
}

func (f *fake) Submit(g *core.Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, g)
	if !f.held {
		f.held, f.handed = true, true
		f.cond.Broadcast()
	}
}

func (f *fake) Enqueue(gs ...*core.Group) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, gs...)
	owner := !f.held
	f.held = true
	return owner
}

func (f *fake) Round() {
	f.mu.Lock()
	for f.blocked && !f.closed {
		f.stuck = true
		f.cond.Wait()
	}
	f.stuck = false
	groups := f.queue
	f.queue = nil
	f.rounds++
	for _, g := range groups {
		for i := range g.Ops {
			f.apply(&g.Ops[i])
		}
	}
	f.mu.Unlock()
	for _, g := range groups {
		g.Done(g)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held, f.handed = len(f.queue) > 0, len(f.queue) > 0
	f.cond.Broadcast()
}

func (f *fake) apply(op *core.Op) {
	op.Err = nil
	if f.outcome != nil {
		if op.Err = f.outcome(op); op.Err != nil {
			return
		}
	}
	if op.Kind == core.Size {
		op.Sum, op.Epoch = uint64(f.live()), 0
		return
	}
	topic := string(op.Topic)
	sum, known := f.sums[topic]
	op.Sum, op.Epoch = sum, f.epochs[topic]
	switch op.Kind {
	case core.Count:
		n, most := max(op.N, 1), op.Max
		if most == 0 {
			most = math.MaxUint64
		}
		if sum > most || n > most-sum {
			op.Err = core.ErrOverflow
			return
		}
		op.Sum += n
		f.sums[topic] = op.Sum
	case core.Delete, core.Reset:
		if sum == 0 && op.Kind == core.Delete {
			return
		}
		f.sums[topic] = 0
		f.epochs[topic]++
	default:
		return
	}
	if !known {
		f.topics = append(f.topics, topic)
	}
}

func (f *fake) GetBytes(topic []byte) (core.Value, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum, ok := f.sums[string(topic)]
	return core.Value{Sum: sum, Epoch: f.epochs[string(topic)]}, ok
}

func (f *fake) Live() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.live()
}

// live is Live with mu held.
func (f *fake) live() (n int) {
	for _, sum := range f.sums {
		if sum > 0 {
			n++
		}
	}
	return n
}

func (f *fake) Scan(cursor uint64, limit int, each func([]byte, core.Value)) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; limit > 0 && cursor < uint64(len(f.topics)); limit-- {
		topic := f.topics[cursor]
		each([]byte(topic), core.Value{Sum: f.sums[topic], Epoch: f.epochs[topic]})
		cursor++
	}
	if cursor >= uint64(len(f.topics)) {
		return 0
	}
	return cursor
}

func (f *fake) Stats() store.Stats {
	st := store.Stats{Live: f.Live(), Topics: len(f.state()), Full: f.full.Load()}
	if st.Full {
		st.RefusingSince = time.Now()
	}
	return st
}

func (f *fake) Fits(ops []core.Op) bool {
	bytes := 0
	for i := range ops {
		bytes += len(ops[i].Topic)
	}
	return bytes < 512<<10
}

func (f *fake) WholeVersion() uint64 { return f.version.Add(f.pace.Load()) }

func (f *fake) Options() store.Options { return store.Options{} }

// Refusing says so if the fake is full or has failed; outcome is to say the same.
func (f *fake) Refusing() error {
	select {
	case <-f.failed:
		return core.ErrFailed
	default:
	}
	if f.full.Load() {
		return core.ErrLogFull
	}
	return nil
}

func (f *fake) Failed() <-chan struct{} { return f.failed }

func (f *fake) committer() {
	defer close(f.ended)
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		for !f.handed && !f.closed {
			f.cond.Wait()
		}
		if f.closed && !f.handed {
			return
		}
		f.mu.Unlock()
		f.Round()
		f.mu.Lock()
	}
}

// decide lets outcome say what becomes of each op from now on: nil is success. Rounds call it one
// after another.
func (f *fake) decide(outcome func(op *core.Op) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outcome = outcome
}

// block holds up commits until unblock.
func (f *fake) block() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blocked = true
}

// committed is how many rounds there were.
func (f *fake) committed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rounds
}

// isStuck tells that somebody is in a round that is held up. Before that a loop that is about to
// commit may still accept a connection, whose request it would read only after the commit.
func (f *fake) isStuck() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stuck
}

func (f *fake) unblock() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blocked = false
	f.cond.Broadcast()
}

func (f *fake) setSum(topic string, sum uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.sums[topic]; !known {
		f.topics = append(f.topics, topic)
	}
	f.sums[topic] = sum
}

// state is a copy of all sums.
func (f *fake) state() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := make(map[string]uint64, len(f.sums))
	for t, s := range f.sums {
		m[t] = s
	}
	return m
}

func (f *fake) close() {
	f.mu.Lock()
	f.closed = true
	f.cond.Broadcast()
	f.mu.Unlock()
	<-f.ended
}
