package server_test

import (
	"sync"

	"gcd/store"
)

// fake is a backend in memory whose commits a test can hold up, fail and look at. It keeps the contract of
// server.Backend, with one committer goroutine for what no caller owns.
type fake struct {
	outcome func(op *store.Op) error // nil: every op succeeds; set before use

	mu      sync.Mutex
	cond    sync.Cond
	queue   []*store.Group
	sums    map[string]uint64
	held    bool // somebody owns the commit
	handed  bool // it is the committer
	blocked bool // commits wait
	closed  bool
	rounds  int
	failed  chan struct{}
	ended   chan struct{}
}

func newFake() *fake {
	f := &fake{sums: make(map[string]uint64), failed: make(chan struct{}), ended: make(chan struct{})}
	f.cond.L = &f.mu
	go f.committer()
	return f
}

func (f *fake) Submit(g *store.Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, g)
	if !f.held {
		f.held, f.handed = true, true
		f.cond.Broadcast()
	}
}

func (f *fake) Enqueue(gs ...*store.Group) bool {
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
		f.cond.Wait()
	}
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

func (f *fake) apply(op *store.Op) {
	if f.outcome != nil {
		if op.Err = f.outcome(op); op.Err != nil {
			return
		}
	}
	topic := string(op.Topic)
	switch op.Kind {
	case store.Count:
		f.sums[topic] += max(op.N, 1)
		op.Sum = f.sums[topic]
	case store.Reset:
		op.Sum = f.sums[topic]
		f.sums[topic] = 0
	}
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

// block holds up commits until unblock.
func (f *fake) block() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blocked = true
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
