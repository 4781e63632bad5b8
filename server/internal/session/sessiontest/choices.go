// Package sessiontest plays a dispatcher for sessions, without sockets and without time: bytes,
// outcomes, turns, answers that are taken and clocks that run out come in any order that they may
// come in, and each run can be had again.
package sessiontest

import (
	"fmt"
	"math/rand/v2"
)

// Choices decide what is next where more than one thing may be. The zero Choices always take the
// first.
type Choices struct {
	made, of []int
	at       int
	next     func(n int) int // for what was not chosen before; nil: the first
}

// Random makes choices that a seed decides.
func Random(seed uint64) *Choices { return &Choices{next: rand.New(rand.NewPCG(seed, 0)).IntN} }

// Chosen makes choices that bytes decide, and the first when there are no more of them.
func Chosen(by []byte) *Choices {
	return &Choices{next: func(n int) int {
		if len(by) == 0 {
			return 0
		}
		pick := int(by[0]) % n
		by = by[1:]
		return pick
	}}
}

// Of chooses one of n, from 0 on.
func (c *Choices) Of(n int) int {
	if n < 2 {
		return 0
	}
	if c.at == len(c.made) {
		pick := 0
		if c.next != nil {
			pick = c.next(n)
		}
		c.made, c.of = append(c.made, pick), append(c.of, n)
	}
	if c.of[c.at] != n {
		panic(fmt.Sprintf("sessiontest: choice %d is one of %d, and was one of %d: a run is not like the one before",
			c.at, n, c.of[c.at]))
	}
	c.at++
	return c.made[c.at-1]
}

// String is how to have the run again: the choices that were made.
func (c *Choices) String() string { return fmt.Sprint(c.made[:c.at]) }

// Each runs with all choices that there are, and returns how many runs that were. run returns false
// to end it.
func Each(run func(c *Choices) bool) (runs int) {
	c := new(Choices)
	for {
		c.at = 0
		runs++
		if !run(c) {
			return runs
		}
		last := c.at - 1
		for last >= 0 && c.made[last]+1 == c.of[last] {
			last--
		}
		if last < 0 {
			return runs
		}
		c.made, c.of = c.made[:last+1], c.of[:last+1]
		c.made[last]++
	}
}
