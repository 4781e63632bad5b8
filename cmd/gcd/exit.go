package main

import (
	"context"
	"errors"
	"io"

	"gcd/client"
	"gcd/internal/cmdline"
	"gcd/internal/diagnosis"
	"gcd/internal/owner"
	"gcd/store"
)

const (
	hintNotDone = "nothing was counted or reset"
	hintUnknown = "it may have been done, and doing it again may do it twice"
)

// packages are the packages whose names are left out in front of an error's text.
func packages() []string { return []string{"certs", "client", "loadgen", "server", "store", "wal"} }

// report prints err, when there is one, and returns the exit code.
func report(stderr io.Writer, err error) int {
	return cmdline.Report(stderr, programName, err, classify, packages()...)
}

// reportJSON is report for a log in JSON.
func reportJSON(stderr io.Writer, err error) int {
	if err == nil {
		return cmdline.ExitOK
	}
	f := classify(err)
	args := []any{"exit_code", f.Code}
	if f.Hint != "" {
		args = append(args, "hint", f.Hint)
	}
	jsonLog(stderr).Error(plain(err), args...)
	return f.Code
}

// plain is the text of an error on one line, without the name of the package that it comes from.
func plain(err error) string {
	return cmdline.OneLine(err, packages()...)
}

// hints are what the server's operator is advised.
func hints() diagnosis.Hints {
	return diagnosis.Hints{
		Damage:     "nothing was changed; keep a copy of the directory",
		Locked:     "one server at a time: stop the other one, or give this one its own --data",
		Busy:       "start again when that gcd-tool has ended, or wait longer with --lock-wait",
		Moved:      "find out who removed, renamed or covered it, put it back, and start again",
		NotRegular: "a store's files are regular files; find out what put this there, nothing was changed",
		Version:    "a newer gcd wrote this directory; run that version, nothing was changed",
		NotOurs:    "gcd did not write this; give --data a directory of its own, nothing was changed",
	}
}

// classify finds the exit code and the hint for an error of any of the parts.
func classify(err error) *cmdline.Failure {
	var (
		known   *cmdline.Failure
		usage   *cmdline.UsageError
		refused *client.RefusedError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &usage):
		return cmdline.Fail(cmdline.ExitUsage, err, usage.Hint)

	case errors.As(err, &refused):
		if no := denied(err, refused.Code); no != nil {
			return no
		}
		return cmdline.Fail(cmdline.ExitFailure, err, hintNotDone)
	case errors.Is(err, context.Canceled) && errors.Is(err, client.ErrUnknown):
		return cmdline.Fail(cmdline.ExitInterrupted, err, hintUnknown)
	case errors.Is(err, context.Canceled):
		return cmdline.Fail(cmdline.ExitInterrupted, err, hintNotDone)
	case errors.Is(err, client.ErrUnknown):
		return cmdline.Fail(cmdline.ExitUnknown, err, hintUnknown)
	case errors.Is(err, client.ErrNotSent):
		return cmdline.Fail(cmdline.ExitNotSent, err, hintNotDone+"; is the server running, and is --addr right?")
	}
	if f := diagnosis.Of(err, hints()); f != nil {
		return f
	}
	switch {
	case errors.Is(err, store.ErrUnfinished):
		return cmdline.Fail(cmdline.ExitForeign, err,
			"rename the right one (\"gcd-tool inspect\" looks into it) to that name; if a new store is wanted, move "+
				"what stands beside it elsewhere")
	case errors.Is(err, store.ErrNoStore):
		return cmdline.Fail(cmdline.ExitForeign, err,
			"is the right volume mounted there? \"gcd init DIR\" makes a store; nothing was changed")
	}
	return cmdline.Fail(cmdline.ExitFailure, err, owner.Explain(err))
}
