package main

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"gcd/internal/cmdline"
	"gcd/internal/diagnosis"
	"gcd/internal/owner"
	"gcd/store"
	"gcd/tools"
)

// report prints err, when there is one, and returns the exit code.
func report(stderr io.Writer, err error) int {
	if errors.Is(err, context.Canceled) {
		err = interrupted("")
	}
	return cmdline.Report(stderr, "gcd-tool", err, classify, "tools", "store", "wal")
}

// interrupted is the error of a command that a signal has ended. what says what became of a file or
// a directory, and may be empty.
func interrupted(what string) error {
	text := "interrupted"
	if what != "" {
		text += ": " + what
	}
	return cmdline.Fail(cmdline.ExitInterrupted, errors.New(text), "")
}

// hints are what somebody is advised who runs gcd-tool.
func hints() diagnosis.Hints {
	return diagnosis.Hints{
		Damage:     "keep a copy of the directory",
		Locked:     "stop the server that has the directory",
		Busy:       "try again when the other gcd-tool has ended, or wait longer with --lock-wait",
		Moved:      "find out who removed, renamed or covered it, and try again",
		NotRegular: "gcd's files are regular files; find out what put this there, nothing was changed",
		Version:    "a newer gcd wrote this; use its gcd-tool",
		NotOurs:    "gcd did not write this",
	}
}

// classify finds the exit code and the hint for an error of any of the parts.
func classify(err error) *cmdline.Failure {
	var (
		known   *cmdline.Failure
		usage   *cmdline.UsageError
		badDump *tools.DumpError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &usage):
		return cmdline.Fail(cmdline.ExitUsage, err, usage.Hint)
	case errors.As(err, &badDump):
		return cmdline.Fail(cmdline.ExitCorruption, err, "nothing was changed; use another dump")
	case errors.Is(err, tools.ErrPartial):
		return cmdline.Fail(cmdline.ExitFailure, err, "restore a dump that was made without --prefix")
	case errors.Is(err, tools.ErrLayer):
		return cmdline.Fail(cmdline.ExitFailure, err,
			"restore into a new directory, or have the data in a volume and not in the image; nothing was changed")
	case errors.Is(err, tools.ErrMountPoint):
		return cmdline.Fail(cmdline.ExitFailure, err,
			"restore into a directory below it, and give \"gcd serve --data\" that one; nothing was changed")
	}
	if f := diagnosis.Of(err, hints()); f != nil {
		return f
	}
	switch {
	case errors.Is(err, tools.ErrTemp):
		return cmdline.Fail(cmdline.ExitFailure, err,
			"name a directory for temporary files with --temp-dir, or in TMPDIR")
	case errors.Is(err, store.ErrNoStore), errors.Is(err, fs.ErrNotExist):
		return cmdline.Fail(cmdline.ExitFailure, err, "name the directory that \"gcd serve --data\" was given")
	}
	return cmdline.Fail(cmdline.ExitFailure, err, owner.Explain(err))
}
