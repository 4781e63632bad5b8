package cmdline

import (
	"errors"
	"io"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestNumbersAreDecimal, on the command line and in the environment.
func TestNumbersAreDecimal(t *testing.T) {
	for _, test := range []struct {
		text string
		want int // -1: refused
	}{
		{"0", 0}, {"100", 100}, {"0100", 100}, {"+7", 7}, {"08", 8},
		{"0x10", -1}, {"0o17", -1}, {"0b1", -1}, {"1_000", -1}, {"1e6", -1}, {"", -1}, {"1.5", -1},
		{"99999999999999999999", -1},
	} {
		for _, way := range []string{"word", "joined", "variable"} {
			got := -1
			p := &Program{Name: "p", Commands: []*cli.Command{{
				Name: "c",
				Flags: []cli.Flag{
					&cli.IntFlag{Name: "n", Aliases: []string{"number"}, EnvVars: []string{"GCD_TEST_NUMBER"}},
				},
				Action: func(c *cli.Context) error { got = c.Int("n"); return nil },
			}}}
			args := []string{"p", "c"}
			switch way {
			case "word":
				args = append(args, "--number", test.text)
			case "joined":
				args = append(args, "-n="+test.text)
			case "variable":
				if test.text == "" {
					continue // is none
				}
				t.Setenv("GCD_TEST_NUMBER", test.text)
			}
			err := p.Run(t.Context(), args, io.Discard, io.Discard)
			if got != test.want || (test.want < 0) != errors.As(err, new(*UsageError)) {
				t.Errorf("%q as a %s: %d, %v", test.text, way, got, err)
			}
		}
	}
}
