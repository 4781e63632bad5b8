package cmdline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// The exit codes of gcd's programs, each of which uses some of them. docs/operations.md says what
// the operator does about each.
//
// 2 is not among them: Go's runtime ends a program with it that panics, finds no memory or gets
// SIGQUIT. Such a server should be started again, and one with a wrong command line should not. 124
// to 128 belong to shells, and to programs that run others.
const (
	ExitOK           = 0
	ExitFailure      = 1   // it failed, or the server refused
	ExitNoTopic      = 3   // there is no such topic
	ExitNotSent      = 4   // the server was not reached: surely not counted
	ExitUnknown      = 6   // sent, and no answer came: may have been counted
	ExitCorruption   = 7   // the data directory, or a dump, is damaged
	ExitLocked       = 8   // the data directory belongs to another process
	ExitForeign      = 9   // the data directory is not ours, or of a newer version
	ExitNotPermitted = 10  // the server does not know who asks, or has given no right to this
	ExitUsage        = 64  // the command line is wrong: EX_USAGE of sysexits.h
	ExitInterrupted  = 130 // by a signal
	ExitNobodyReads  = 141 // the reader of the output ended first, as "head" does: what SIGPIPE would end it with
)

// Failure is an error that knows the exit code and has a hint for the person who reads it.
type Failure struct {
	Code int
	Err  error
	Hint string // may be empty
}

// Fail makes a Failure.
func Fail(code int, err error, hint string) *Failure { return &Failure{code, err, hint} }

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error.
func (f *Failure) Unwrap() error { return f.Err }

// Report prints err, when there is one, with the hint that classify has for it, and returns the
// exit code. The names of packages in front of the text are left out.
func Report(stderr io.Writer, program string, err error, classify func(error) *Failure, packages ...string) int {
	if err == nil {
		return ExitOK
	}
	if nobodyReads(err) {
		return ExitNobodyReads
	}
	f := classify(err)
	fmt.Fprintf(stderr, "%s: %s\n", program, OneLine(err, packages...))
	if f.Hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", f.Hint)
	}
	return f.Code
}

// nobodyReads says whether err only means that nobody reads stdout any more. An error with a hint
// says more than that, and one of a connection is about something else.
func nobodyReads(err error) bool {
	var explained *Failure
	var write *fs.PathError
	return errors.Is(err, syscall.EPIPE) && !errors.As(err, &explained) && errors.As(err, &write) &&
		write.Path == os.Stdout.Name()
}
