package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gcd/client"
	"gcd/internal/cmdline"
	"gcd/store"
	"gcd/wal"
)

// The exit codes. docs/operations.md says what each asks of the operator.
const (
	exitOK          = 0
	exitFailure     = 1   // it failed, or the server refused
	exitUsage       = 2   // the command line is wrong
	exitNotSent     = 4   // the server was not reached: surely not counted
	exitUnknown     = 6   // sent, and no answer came: may have been counted
	exitCorruption  = 7   // the data directory is damaged
	exitLocked      = 8   // the data directory belongs to another process
	exitForeign     = 9   // the data directory is not ours, or of a newer version
	exitInterrupted = 130 // by a signal
)

// failure is an error that knows the exit code and has a hint for the person who reads it.
type failure struct {
	code int
	err  error
	hint string // may be empty
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

const (
	hintNotDone = "nothing was counted or reset"
	hintUnknown = "it may have been done, and doing it again may do it twice"
)

// report prints err, when there is one, and returns the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	f := classify(err)
	fmt.Fprintf(stderr, "gcd: %s\n", plain(err))
	if f.hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", f.hint)
	}
	return f.code
}

// plain is the text of an error on one line, without the name of the package that it comes from.
func plain(err error) string {
	return cmdline.OneLine(err, "client", "loadgen", "server", "store", "wal")
}

// classify finds the exit code and the hint for an error of any of the parts.
func classify(err error) *failure {
	var (
		known      *failure
		usage      *cmdline.UsageError
		refused    *client.RefusedError
		logDamage  *wal.CorruptionError
		dataDamage *store.CorruptionError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &usage):
		return &failure{exitUsage, err, usage.Hint}

	case errors.As(err, &refused):
		return &failure{exitFailure, err, hintNotDone}
	case errors.Is(err, context.Canceled) && errors.Is(err, client.ErrUnknown):
		return &failure{exitInterrupted, err, hintUnknown}
	case errors.Is(err, context.Canceled):
		return &failure{exitInterrupted, err, hintNotDone}
	case errors.Is(err, client.ErrUnknown):
		return &failure{exitUnknown, err, hintUnknown}
	case errors.Is(err, client.ErrNotSent):
		return &failure{exitNotSent, err, hintNotDone + "; is the server running, and is --addr right?"}

	case errors.As(err, &logDamage), errors.As(err, &dataDamage):
		return &failure{exitCorruption, err, "nothing was changed; keep a copy of the directory, then read \"Damage\" in docs/operations.md"}
	case errors.Is(err, store.ErrLocked):
		return &failure{exitLocked, err, "one server at a time: stop the other one, or give this one its own --data"}
	case errors.Is(err, wal.ErrVersion):
		return &failure{exitForeign, err, "a newer gcd wrote this directory; run that version, nothing was changed"}
	case errors.Is(err, wal.ErrNotOurs):
		return &failure{exitForeign, err, "gcd did not write this; give --data a directory of its own, nothing was changed"}
	}
	return &failure{exitFailure, err, ""}
}
