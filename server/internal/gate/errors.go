package gate

import (
	"errors"
	"strings"
	"sync/atomic"

	"gcd/codec"
	"gcd/store/core"
)

// ErrTooManyRequests is the outcome of operations for which Admit had no places.
var ErrTooManyRequests = errors.New("server: too many requests in flight")

// outcomes are the errors of the store that say why an operation was surely not done.
var outcomes = []struct {
	err  error
	code codec.Code
}{
	{core.ErrOverflow, codec.CodeSumAtMaximum},
	{core.ErrTopicTooLong, codec.CodeTopicTooLong},
	{core.ErrTooManyTopics, codec.CodeTooManyTopics},
	{core.ErrLogFull, codec.CodeNoRoom},
	{core.ErrClosed, codec.CodeShuttingDown},
	{core.ErrFailed, codec.CodeStoppedAfterError},
	{ErrTooManyRequests, codec.CodeTooManyRequests},
}

// CodeOf translates why an operation was not done. It returns false when that is not known, or is
// nothing that there is a code for: then nothing may be answered, for every answer would be a
// claim.
func CodeOf(err error) (codec.Code, bool) {
	if errors.Is(err, core.ErrUnknown) {
		return 0, false
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.code, true
		}
	}
	return 0, false
}

// Words are the first words of the errors of RESP that there are, by which programs tell them
// apart.
var Words = [...]string{"ERR", "BUSY", "EXECABORT", "LOADING", "MISCONF", "NOAUTH", "NOPERM", "NOPROTO",
	"OOM", "WRONGPASS"}

// Errors counts errors of RESP by their first word; it is the first of Words if it is none of them.
type Errors [len(Words)]atomic.Uint64

// Word is which of Words an error begins with, the first if none.
func Word(text string) int {
	first, _, _ := strings.Cut(text, " ")
	for i, word := range Words {
		if word == first {
			return i
		}
	}
	return 0
}

// Note counts one more.
func (e *Errors) Note(text string) { e[Word(text)].Add(1) }

// All is how many there were.
func (e *Errors) All() (n uint64) {
	for i := range e {
		n += e[i].Load()
	}
	return n
}
