package cmdline

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// Choice is the value of a flag that takes one of a few words.
type Choice struct {
	value   string
	allowed []string
}

// NewChoice makes a Choice whose default is the first word.
func NewChoice(allowed ...string) *Choice {
	return &Choice{value: allowed[0], allowed: allowed}
}

// Default makes another of the words the value, or none of them (""), which cannot be given then.
func (c *Choice) Default(word string) *Choice {
	c.value = word
	return c
}

// Word is the value of a flag that is a Choice.
func Word(c *cli.Context, flag string) string { return c.Generic(flag).(*Choice).value }

// Bytes is the value of a flag that is a ByteSize.
func Bytes(c *cli.Context, flag string) int64 { return int64(*c.Generic(flag).(*ByteSize)) }

// String is the word.
func (c *Choice) String() string { return c.value }

// Set takes one of the words.
func (c *Choice) Set(value string) error {
	for _, a := range c.allowed {
		if value == a {
			c.value = value
			return nil
		}
	}
	return fmt.Errorf("it takes %s", strings.Join(c.allowed, " or "))
}

// Words is the value of a flag that may be given several times. It takes each as it is, commas and
// blanks included.
type Words []string

// String is what the flag has before it is given: nothing.
func (w *Words) String() string { return "" }

// Set takes one more.
func (w *Words) Set(value string) error {
	*w = append(*w, value)
	return nil
}

// AllWords is the value of a flag that is Words.
func AllWords(c *cli.Context, flag string) []string { return *c.Generic(flag).(*Words) }

// ByteSize is the value of a flag that takes a number of bytes, with or without a unit.
type ByteSize int64

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String writes the size with the largest unit that divides it.
func (b *ByteSize) String() string {
	for _, unit := range byteUnits {
		if n := int64(*b); n != 0 && n%unit.size == 0 {
			return fmt.Sprintf("%d%s", n/unit.size, unit.name)
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Set takes a number of bytes.
func (b *ByteSize) Set(value string) error {
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
	*b = ByteSize(n * unitSize)
	return nil
}
