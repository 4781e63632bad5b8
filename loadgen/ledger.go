package loadgen

import (
	"fmt"
	"math/bits"
	"sync"
)

// Verification is what Options.Verify found out. Values are those of all requests, warm-up
// included.
type Verification struct {
	Topics uint64 `json:"topics"` // that were counted
	Values uint64 `json:"values"` // that came back

	// Explained is how many values nobody received although higher ones came back, where as many
	// requests have an unknown outcome.
	Explained uint64 `json:"explained_gaps"`

	// What a server must not do:

	Gaps       uint64 `json:"unexplained_gaps"` // values missing beyond those
	Duplicates uint64 `json:"duplicates"`       // values that came back once more
	Impossible uint64 `json:"impossible"`       // 0, or above the number of requests that were made by then
	Disorders  uint64 `json:"disorders"`        // values below one that was there before their request was sent

	Examples []string `json:"examples,omitempty"` // of the above, at most maxExamples
}

// OK reports whether the server did nothing that it must not do.
func (v *Verification) OK() bool { return v.Gaps+v.Duplicates+v.Impossible+v.Disorders == 0 }

const maxExamples = 10

// ledger holds against each other all values of all topics. Topics start at zero and nobody else
// counts on them, so of a topic with k values received and u outcomes unknown none is twice there,
// the highest is at most k+u, and each is higher than every value that had been received when its
// request was sent.
type ledger struct {
	prefix   string
	locks    [256]sync.Mutex
	accounts []account // by topic

	mu  sync.Mutex
	sum Verification
}

// account is one topic. Guarded by its lock.
type account struct {
	sent     uint64 // requests
	received uint64 // different values
	unknown  uint64 // outcomes
	highest  uint64 // value received
	first    uint64 // bits of the values 1 to 64
	more     []uint64
}

func newLedger(o *Options) *ledger {
	return &ledger{prefix: o.Prefix, accounts: make([]account, o.Topics)}
}

func (l *ledger) lock(topic uint64) (*account, *sync.Mutex) {
	mu := &l.locks[topic%uint64(len(l.locks))]
	mu.Lock()
	return &l.accounts[topic], mu
}

// sending takes note of a request, and returns the value that its answer must exceed.
func (l *ledger) sending(topic uint64) (floor uint64) {
	a, mu := l.lock(topic)
	defer mu.Unlock()
	a.sent++
	return a.highest
}

// received takes note of an answer to a request that was sent at this floor.
func (l *ledger) received(topic, value, floor uint64) {
	a, mu := l.lock(topic)
	defer mu.Unlock()
	switch {
	case value == 0 || value > a.sent:
		l.complain(&l.sum.Impossible, topic, "answered %d to the request of number %d", value, a.sent)
		return
	case a.mark(value):
		l.complain(&l.sum.Duplicates, topic, "handed out %d twice", value)
		return
	}
	a.received++
	if value <= floor {
		l.complain(&l.sum.Disorders, topic, "handed out %d after %d", value, floor)
	}
	a.highest = max(a.highest, value)
}

// lost takes note of a request whose outcome is unknown.
func (l *ledger) lost(topic uint64) {
	a, mu := l.lock(topic)
	defer mu.Unlock()
	a.unknown++
}

// mark remembers a value from 1 on and reports whether it was there already.
func (a *account) mark(value uint64) (again bool) {
	word, bit := &a.first, uint64(1)<<((value-1)%64)
	if i := (value - 1) / 64; i > 0 {
		for uint64(len(a.more)) < i { // bounded by the requests that were sent
			a.more = append(a.more, 0)
		}
		word = &a.more[i-1]
	}
	again = *word&bit != 0
	*word |= bit
	return again
}

func (l *ledger) complain(kind *uint64, topic uint64, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*kind++
	if len(l.sum.Examples) < maxExamples {
		name := appendDigits([]byte(l.prefix), topic)
		l.sum.Examples = append(l.sum.Examples, fmt.Sprintf("%q ", name)+fmt.Sprintf(format, args...))
	}
}

// verification closes the ledger: nothing is under way any more.
func (l *ledger) verification() *Verification {
	for topic := range l.accounts {
		a := &l.accounts[topic]
		if a.sent == 0 {
			continue
		}
		l.sum.Topics++
		l.sum.Values += a.received
		missing := a.highest - a.received
		explained := min(missing, a.unknown)
		l.sum.Explained += explained
		if gaps := missing - explained; gaps > 0 {
			l.complain(&l.sum.Gaps, uint64(topic), "%s; %d outcomes are unknown", a.gap(), a.unknown)
			l.sum.Gaps += gaps - 1
		}
	}
	return &l.sum
}

// gap describes what is missing below the highest value.
func (a *account) gap() string {
	first, word := uint64(0), a.first
	for i := 0; word == ^uint64(0) && i < len(a.more); i++ {
		first, word = first+64, a.more[i]
	}
	first += uint64(bits.TrailingZeros64(^word)) + 1
	return fmt.Sprintf("lacks %d of the values up to %d, from %d on", a.highest-a.received, a.highest, first)
}
