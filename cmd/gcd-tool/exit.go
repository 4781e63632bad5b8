package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"gcd/internal/cmdline"
	"gcd/store"
	"gcd/tools"
	"gcd/wal"
)

// The exit codes, where gcd has the same. docs/operations.md says what each asks of the operator.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2   // the command line is wrong
	exitCorruption  = 7   // the data directory or the dump is damaged
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

// report prints err, when there is one, and returns the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	f := classify(err)
	fmt.Fprintf(stderr, "gcd-tool: %s\n", cmdline.OneLine(err, "tools", "store", "wal"))
	if f.hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", f.hint)
	}
	return f.code
}

// classify finds the exit code and the hint for an error of any of the parts.
func classify(err error) *failure {
	var (
		known      *failure
		usage      *cmdline.UsageError
		logDamage  *wal.CorruptionError
		dataDamage *store.CorruptionError
		badDump    *tools.DumpError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &usage):
		return &failure{exitUsage, err, usage.Hint}
	case errors.Is(err, context.Canceled):
		return &failure{exitInterrupted, err, ""}
	case errors.As(err, &badDump):
		return &failure{exitCorruption, err, "nothing was changed; use another dump"}
	case errors.Is(err, tools.ErrPartial):
		return &failure{exitFailure, err, "restore a dump that was made without --prefix"}
	case errors.As(err, &logDamage), errors.As(err, &dataDamage):
		return &failure{exitCorruption, err, "keep a copy of the directory, then read \"Damage\" in docs/operations.md"}
	case errors.Is(err, store.ErrLocked):
		return &failure{exitLocked, err, "stop the server first"}
	case errors.Is(err, wal.ErrVersion):
		return &failure{exitForeign, err, "a newer gcd wrote this; use its gcd-tool"}
	case errors.Is(err, wal.ErrNotOurs):
		return &failure{exitForeign, err, "gcd did not write this"}
	case errors.Is(err, store.ErrNoStore), errors.Is(err, fs.ErrNotExist):
		return &failure{exitFailure, err, "name the directory that \"gcd serve --data\" was given"}
	}
	return &failure{exitFailure, err, ""}
}
