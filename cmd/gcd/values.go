package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// choice is the value of a flag that takes one of a few words.
type choice struct {
	value   string
	allowed []string
}

// newChoice makes a choice whose default is the first word.
func newChoice(allowed ...string) *choice {
	return &choice{value: allowed[0], allowed: allowed}
}

func (c *choice) String() string { return c.value }

func (c *choice) Set(value string) error {
	for _, a := range c.allowed {
		if value == a {
			c.value = value
			return nil
		}
	}
	return fmt.Errorf("it takes %s", strings.Join(c.allowed, " or "))
}

// byteSize is the value of a flag that takes a number of bytes, with or without a unit.
type byteSize int64

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String writes the size with the largest unit that divides it.
func (b *byteSize) String() string {
	for _, unit := range byteUnits {
		if n := int64(*b); n != 0 && n%unit.size == 0 {
			return fmt.Sprintf("%d%s", n/unit.size, unit.name)
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *byteSize) Set(value string) error {
	digits, unitSize := value, int64(1)
	for _, unit := range byteUnits {
		if before, ok := strings.CutSuffix(value, unit.name); ok {
			digits, unitSize = before, unit.size
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unitSize {
		return fmt.Errorf("it takes bytes such as 1048576, 512KiB, 64MiB or 1GiB")
	}
	*b = byteSize(n * unitSize)
	return nil
}
