package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gcd/client"
	"gcd/internal/scripttest"
)

const (
	killClients = 24 // a third each over TCP, UDP and RESP
	killShared  = 4  // topics that all count and nobody resets
)

// TestKill kills the real server with SIGKILL under load, again and again on one directory, and
// holds what it recovers against the clients' own journal. GCD_CRASH_ROUNDS sets the rounds
// (default 5), GCD_CRASH_DISPATCH the dispatch (default both in turn).
func TestKill(t *testing.T) {
	t.Parallel()
	rounds, _ := strconv.Atoi(os.Getenv("GCD_CRASH_ROUNDS"))
	if rounds <= 0 {
		rounds = 5
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killTest{
		binary: scripttest.Build(t, t.TempDir(), "."), data: filepath.Join(t.TempDir(), "data"),
		rand:   rand.New(rand.NewPCG(seed, 0)),
		shared: make([]sharedTopic, killShared), own: make([]ownTopic, killClients),
	}
	for i := range k.shared {
		k.shared[i] = sharedTopic{name: fmt.Sprintf("shared-%d", i), seen: map[uint64]bool{}}
	}
	for i := range k.own {
		k.own[i].name = fmt.Sprintf("own-%d", i)
	}
	for round := range rounds {
		k.round(t, round)
		if t.Failed() {
			t.Fatalf("seed %d: failed in round %d", seed, round)
		}
	}
	unknown := uint64(0)
	for i := range k.shared {
		unknown += k.shared[i].unknown
	}
	if unknown == 0 {
		t.Error("no call was under way at any kill: the fault was not injected")
	}
	t.Logf("%d rounds, %d kills during recovery, %d acknowledged, %d unknown", rounds, k.early, k.acked.Load(), unknown)
}

type killTest struct {
	binary, data string
	rand         *rand.Rand
	shared       []sharedTopic
	own          []ownTopic
	acked        atomic.Int64
	early        int // kills before the server listened
}

// sharedTopic is the journal of a topic that is never reset.
type sharedTopic struct {
	name    string
	mu      sync.Mutex
	seen    map[uint64]bool // values that were acknowledged
	highest uint64
	unknown uint64 // calls whose outcome nobody knows: each may have taken a value
}

func (s *sharedTopic) note(value uint64, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(err, client.ErrUnknown):
		s.unknown++
	case err != nil: // surely not counted
	case s.seen[value]:
		return fmt.Errorf("%s: %d was handed out twice", s.name, value)
	default:
		s.seen[value] = true
		s.highest = max(s.highest, value)
	}
	return nil
}

// ownTopic is the journal of a topic with one sequential client: it knows which sums are possible.
type ownTopic struct {
	name     string
	possible []uint64 // sums that the topic may be at; empty stands for 0 alone
}

func (o *ownTopic) sums() []uint64 {
	if len(o.possible) == 0 {
		return []uint64{0}
	}
	return o.possible
}

func (o *ownTopic) counted(value uint64, err error) error {
	if errors.Is(err, client.ErrUnknown) {
		for _, sum := range o.sums() {
			o.possible = append(o.possible, sum+1)
		}
		if len(o.possible) == 1 { // it was at 0 and that was not written down
			o.possible = append(o.possible, 0)
		}
		return nil
	}
	if err != nil {
		return nil
	}
	for _, sum := range o.sums() {
		if value == sum+1 {
			o.possible = []uint64{value}
			return nil
		}
	}
	return fmt.Errorf("%s: counted to %d, but it could only be at one of %v", o.name, value, o.sums())
}

func (o *ownTopic) wasReset(err error) {
	switch {
	case errors.Is(err, client.ErrUnknown):
		o.possible = append(o.sums(), 0)
	case err == nil:
		o.possible = nil
	}
}

// round starts the server, sometimes kills it at once, checks what it recovered, puts it under load
// and kills it.
func (k *killTest) round(t *testing.T, round int) {
	dispatch := []string{"pool", "goroutine"}[round%2]
	if d := os.Getenv("GCD_CRASH_DISPATCH"); d != "" {
		dispatch = d
	}
	p, early := startOnWhatIsLeft(t, k.rand, k.binary, k.data, dispatch)
	if early {
		k.early++
	}
	k.check(t, p)
	p.killUnderLoad(t, k.rand, killClients, &k.acked, 50+k.rand.Int64N(1500),
		func(i int, r *rand.Rand, acked func()) error { return k.load(p, i, r, acked) })
}

// load counts and resets until the server is gone.
func (k *killTest) load(p *victim, i int, r *rand.Rand, acked func()) error {
	o, addr := client.Options{Network: "tcp", Timeout: time.Minute}, p.tcp
	switch i % 3 {
	case 1:
		o, addr = client.Options{Network: "udp", Timeout: time.Minute, Attempts: 1}, p.udp
	case 2:
		o.Network = "resp"
	}
	c, err := client.New(addr, o)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // a datagram that was lost with the server has no answer to wait for
		select {
		case <-p.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	own := &k.own[i]
	for ctx.Err() == nil {
		if r.IntN(2) == 0 {
			topic, pipeline := &k.shared[r.IntN(killShared)], make([]*client.Call, 1)
			if o.Network == "resp" {
				pipeline = make([]*client.Call, 1+r.IntN(20))
			}
			for i := range pipeline {
				pipeline[i] = c.CountAsync(ctx, topic.name)
			}
			var failure error
			for _, call := range pipeline {
				value, err := call.Result()
				if err := topic.note(value, err); err != nil {
					return err
				}
				failure = cmp.Or(failure, err)
			}
			if failure != nil {
				return nil
			}
		} else if r.IntN(10) == 0 {
			err := c.Reset(ctx, own.name)
			own.wasReset(err)
			if err != nil {
				return nil
			}
		} else {
			value, err := c.Count(ctx, own.name)
			if err := own.counted(value, err); err != nil {
				return err
			}
			if err != nil {
				return nil
			}
		}
		acked()
	}
	return nil
}

// check asks each topic for its next value while nobody else counts.
func (k *killTest) check(t *testing.T, p *victim) {
	t.Helper()
	c, err := client.New(p.tcp, client.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range k.shared {
		s := &k.shared[i]
		value, err := c.Count(t.Context(), s.name)
		if err != nil {
			t.Fatalf("a shared topic cannot be counted after the kill: %v\n%s", err, p.output())
		}
		if value <= s.highest {
			t.Errorf("%s: recovered at %d, but %d was acknowledged", s.name, value-1, s.highest)
		}
		if limit := uint64(len(s.seen)) + s.unknown; value-1 > limit {
			t.Errorf("%s: recovered at %d, but only %d counts were ever sent", s.name, value-1, limit)
		}
		if err := s.note(value, nil); err != nil {
			t.Error(err)
		}
	}
	for i := range k.own {
		value, err := c.Count(t.Context(), k.own[i].name)
		if err != nil {
			t.Fatalf("a client's own topic cannot be counted after the kill: %v\n%s", err, p.output())
		}
		if err := k.own[i].counted(value, nil); err != nil {
			t.Error(err)
		}
	}
}
