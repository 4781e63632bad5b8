//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
	"gcd/server"
)

// namedSignals are those that scripts send.
var namedSignals = map[string]os.Signal{
	"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT, "KILL": os.Kill,
	"PIPE": syscall.SIGPIPE, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "TTOU": syscall.SIGTTOU,
}

// TestSignalsLeaveNoBackup: each signal that ends a backup has it remove what it has of the file.
func TestSignalsLeaveNoBackup(t *testing.T) {
	t.Parallel()
	scripttest.Hangups()
	whole := dumpOf(t, "ndjson", 10_000)
	for _, name := range []string{"HUP", "TERM", "INT"} {
		addr := backupServer(t, server.Options{Backup: func(ctx context.Context, w io.Writer, _ string) error {
			_, err := io.WriteString(w, whole[:len(whole)/2])
			<-ctx.Done() // the rest never comes
			return errors.Join(err, ctx.Err())
		}})
		dir := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), hang)
		cmd := exec.CommandContext(ctx, "gcd", "backup", "--addr", addr, filepath.Join(dir, "backup"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for found := []string(nil); len(found) == 0 && ctx.Err() == nil; runtime.Gosched() {
			found, _ = filepath.Glob(filepath.Join(dir, ".backup.*.part"))
		}
		if err := cmd.Process.Signal(namedSignals[name]); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // how it ended is in ProcessState
		cancel()
		if code := cmd.ProcessState.ExitCode(); code != cmdline.ExitInterrupted {
			t.Errorf("%s: it ended with %v, want exit code %d", name, cmd.ProcessState, cmdline.ExitInterrupted)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
}

// TestCountThatNobodyReads: a number that was counted is said, although nobody reads the output.
func TestCountThatNobodyReads(t *testing.T) {
	t.Parallel()
	addr := backupServer(t, server.Options{})
	r, broken, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	r.Close()
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"count", "--addr", addr, "orders"}, cmdline.ExitFailure,
			`gcd: could not print "1": write /dev/stdout: broken pipe` + "\n"},
		{[]string{"help"}, cmdline.ExitNobodyReads, ""},
	} {
		cmd := exec.CommandContext(t.Context(), "gcd", test.args...)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = broken, &said
		_ = cmd.Run() // how it ended is in ProcessState
		if code := cmd.ProcessState.ExitCode(); code != test.code || said.String() != test.says {
			t.Errorf("%v: it ended with %v, and said %q; want %d, %q", test.args, cmd.ProcessState, said.String(),
				test.code, test.says)
		}
	}
}
