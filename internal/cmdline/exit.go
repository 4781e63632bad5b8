package cmdline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// The exit codes of gcd's programs, each of which has some of them. docs/operations.md says what each asks of the operator.
//
// 2 is none of them: with it Go's runtime ends a program that panics, finds no memory or gets
// SIGQUIT. Such a server is to be started again, and one with a wrong command line is not. 124 to
// 128 belong to shells, and to what runs commands for others.
const (
	ExitOK          = 0
	ExitFailure     = 1   // it failed, or the server refused
	ExitNoTopic     = 3   // there is no such topic
	ExitNotSent     = 4   // the server was not reached: surely not counted
	ExitUnknown     = 6   // sent, and no answer came: may have been counted
	ExitCorruption  = 7   // the data directory, or a dump, is damaged
	ExitLocked      = 8   // the data directory belongs to another process
	ExitForeign     = 9   // the data directory is not ours, or of a newer version
	ExitUsage       = 64  // the command line is wrong: EX_USAGE of sysexits.h
	ExitInterrupted = 130 // by a signal
	ExitNobodyReads = 141 // the reader of the output ended first, as "head" does: what SIGPIPE would end it with
)

// Failure is an error that knows the exit code and has a hint for the person who reads it.
type Failure struct {
	Code int
	Err  error
	Hint string // may be empty
}

// Fail makes one.
func Fail(code int, err error, hint string) *Failure { return &Failure{code, err, hint} }

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error.
func (f *Failure) Unwrap() error { return f.Err }

// Report prints err, when there is one, with the hint that classify has for it, and returns the exit code. The names of packages in
// front of the text are left out.
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

// nobodyReads says whether err is that of an output that nobody reads any more, and that is all
// there is to say: an error with a hint is not, nor one of a connection.
func nobodyReads(err error) bool {
	var explained *Failure
	var write *fs.PathError
	return errors.Is(err, syscall.EPIPE) && !errors.As(err, &explained) && errors.As(err, &write) && write.Path == os.Stdout.Name()
}
