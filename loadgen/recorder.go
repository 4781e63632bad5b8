package loadgen

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// class is a kind of failure.
type class int

const (
	refused class = 0 // surely not counted: the server said so
	notSent class = 1 // surely not counted: no server got it
	unknown class = 2 // sent, and no answer says what became of it
	classes       = 3
)

// Errors counts failures by class.
type Errors struct {
	Refused uint64 `json:"refused"`  // surely not counted: the server said so
	NotSent uint64 `json:"not_sent"` // surely not counted: no server got it
	Unknown uint64 `json:"unknown"`  // sent, and no answer says what became of it
}

// Total is the number of failures.
func (e Errors) Total() uint64 { return e.Refused + e.NotSent + e.Unknown }

// longestLatency is what latencies are cut to.
const longestLatency = int64(time.Hour)

// NewHistogram makes a histogram of latencies in nanoseconds, three digits exact, like those of
// Result and Sample.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestLatency, 3) }

// tally is what was measured in a part of a run.
type tally struct {
	latency  *hdrhistogram.Histogram
	warm     uint64 // answers to requests that are not measured
	failures [classes]uint64
	first    [classes]error // of each class
	last     int64          // when the last measured answer came
}

// recorder takes what goroutines measure. It is locked once for each read from a socket, not for
// each answer.
type recorder struct {
	measure int64 // requests due before are not measured

	mu sync.Mutex
	tally
}

func newRecorder(measure int64) *recorder {
	return &recorder{measure: measure, tally: newTally()}
}

// answered takes note of an answer. The caller holds r.mu.
func (r *recorder) answered(due, now int64) {
	if due < r.measure {
		r.warm++
		return
	}
	_ = r.latency.RecordValue(min(max(now-due, 1), longestLatency)) // fails only outside of these bounds
	// another goroutine may have looked at its clock before, and come later
	r.last = max(r.last, now)
}

// failed takes note of a failure. The caller holds r.mu.
func (r *recorder) failed(c class, err error) {
	r.failures[c]++
	if r.first[c] == nil {
		r.first[c] = err
	}
}

// take returns what was recorded since the last call.
func (r *recorder) take() tally {
	fresh := newTally()
	r.mu.Lock()
	defer r.mu.Unlock()
	part := r.tally
	r.tally = fresh
	return part
}

func newTally() tally { return tally{latency: NewHistogram()} }

// merge adds what was recorded later.
func (t *tally) merge(part *tally) {
	t.latency.Merge(part.latency)
	t.warm += part.warm
	t.last = max(t.last, part.last)
	for c := range t.failures {
		t.failures[c] += part.failures[c]
		if t.first[c] == nil {
			t.first[c] = part.first[c]
		}
	}
}

// nothingCounted reports whether surely nothing was counted.
func (t *tally) nothingCounted() bool {
	return t.latency.TotalCount() == 0 && t.warm == 0 && t.failures[unknown] == 0
}

func (t *tally) errors() Errors {
	return Errors{Refused: t.failures[refused], NotSent: t.failures[notSent], Unknown: t.failures[unknown]}
}
