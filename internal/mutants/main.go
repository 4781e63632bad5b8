// Command mutants betrays gcd's promises on purpose, one betrayal at a time, and looks whether a
// test goes red. Each file of betrayals/ is one; docs/testing.md, "Betrayals", has its form. The
// source is never touched: the go command compiles another text in the place of one file (its flag
// -overlay). No program that is shipped imports this one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"time"
)

// bound is how long the tests of a betrayal may take to go red, and with that how long a change
// that betrays the same may stay unnoticed.
const bound = 5 * time.Minute

func main() {
	flags := flag.NewFlagSet("mutants", flag.ExitOnError)
	list := flags.Bool("list", false, "say what the betrayals are, and try none")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: go run ./internal/mutants [-list] [PATTERN...]\n"+
			"A pattern, such as 'wal-*', chooses betrayals by their names; without one all are tried.")
		flags.PrintDefaults()
	}
	flags.Parse(os.Args[1:]) // which exits where it fails
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := do(ctx, *list, flags.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// do tries the betrayals whose names match a pattern, and prints a line for each. The error says
// that not every one went red.
func do(ctx context.Context, list bool, patterns []string) error {
	all, err := read(filepath.Join("internal", "mutants", "betrayals"))
	if err != nil {
		return fmt.Errorf("%w; run it in the directory of go.mod", err)
	}
	chosen, err := choose(all, patterns)
	if err != nil {
		return err
	}
	if list {
		for _, b := range chosen {
			fmt.Printf("%-*s %s: %s\n", nameWidth, b.name, b.file, b.betrays)
		}
		return nil
	}
	red := 0
	for _, b := range chosen {
		began := time.Now()
		out, err := b.try(ctx, ".", bound)
		said := out.String()
		if err != nil {
			said = "cannot be tried: " + err.Error()
		}
		fmt.Printf("%-*s %5.0f s  %s\n", nameWidth, b.name, time.Since(began).Seconds(), said)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if out.red {
			red++
		}
	}
	fmt.Printf("%d betrayals, %d red\n", len(chosen), red)
	if red < len(chosen) {
		return errors.New("what stays green lacks a test")
	}
	return nil
}

// nameWidth is the place for a betrayal's name in a line.
const nameWidth = 44

// choose returns the betrayals whose names match one of the patterns, all if there is none.
func choose(all []betrayal, patterns []string) ([]betrayal, error) {
	if len(patterns) == 0 {
		return all, nil
	}
	var chosen []betrayal
	for _, b := range all {
		for _, pattern := range patterns {
			match, err := path.Match(pattern, b.name)
			if err != nil {
				return nil, fmt.Errorf("pattern %q: %w", pattern, err)
			}
			if match {
				chosen = append(chosen, b)
				break
			}
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no betrayal is named as in %q; -list shows them", patterns)
	}
	return chosen, nil
}
