//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
)

// ended waits for the end of a program.
func ended(t *testing.T, command *exec.Cmd) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = command.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // fails when it has ended, as it should
		<-done
	})
	return done
}

// TestSignalsLeaveNoPart: each signal that ends a command has it remove what it has half made.
func TestSignalsLeaveNoPart(t *testing.T) {
	t.Parallel()
	scripttest.Hangups()
	base := t.TempDir()
	dir, dump := filepath.Join(base, "data"), filepath.Join(base, "dump")
	writeDump(t, dump, 60_000)
	if code, _, stderr := runTool(t, "restore", "--quiet", dump, dir); code != cmdline.ExitOK {
		t.Fatal(stderr)
	}
	for _, test := range []struct {
		name   string
		signal os.Signal
		part   string // is there while the command works
		args   []string
	}{
		{"dump HUP", syscall.SIGHUP, ".new.*.part", []string{"dump", "--output", "new", dir}},
		{"dump TERM", syscall.SIGTERM, ".new.*.part", []string{"dump", "--output", "new", dir}},
		{"dump INT", os.Interrupt, ".new.*.part", []string{"dump", "--output", "new", dir}},
		{"restore HUP", syscall.SIGHUP, "new.restore-*", []string{"restore", dump, "new"}},
		{"restore TERM", syscall.SIGTERM, "new.restore-*", []string{"restore", dump, "new"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for range 10 { // on a busy machine a command may be through before it is interrupted
				work := t.TempDir()
				code, stderr := interruptAt(t, work, test.part, test.signal, test.args)
				if code == cmdline.ExitOK {
					continue
				}
				if code != cmdline.ExitInterrupted {
					t.Errorf("exit code %d, want %d: %s", code, cmdline.ExitInterrupted, stderr)
				}
				if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
					t.Errorf("%v is left, %v", left, err)
				}
				return
			}
			t.Error("it was through before the signal came, each time")
		})
	}
}

// interruptAt runs a command in a directory and sends it a signal when a file appears there.
func interruptAt(t *testing.T, work, file string, signal os.Signal, args []string) (code int, said string) {
	t.Helper()
	tool := command(t, "gcd-tool", args...)
	tool.Dir = work
	var stderr bytes.Buffer
	tool.Stderr = &stderr
	if err := tool.Start(); err != nil {
		t.Fatal(err)
	}
	done := ended(t, tool)
	for end := time.Now().Add(hang); ; runtime.Gosched() {
		found, _ := filepath.Glob(filepath.Join(work, file))
		whole, _ := filepath.Glob(filepath.Join(work, "new"))
		if len(found)+len(whole) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not appear", file)
		}
	}
	_ = tool.Process.Signal(signal) // fails when it has ended
	select {
	case <-done:
	case <-time.After(hang):
		t.Fatal("the command does not end")
	}
	return tool.ProcessState.ExitCode(), stderr.String()
}

// TestSignalWhileNobodyReads: one signal ends a command that waits for whoever reads what it
// writes.
func TestSignalWhileNobodyReads(t *testing.T) {
	t.Parallel()
	dir := restoredDir(t, 20_000)
	tool := command(t, "gcd-tool", "dump", "--format", "ndjson", dir)
	stdout, err := tool.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tool.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReaderSize(stdout, 16).ReadString('\n'); err != nil { // it is at work
		t.Error(err)
	}
	done := make(chan struct{})
	var state *os.ProcessState
	go func() {
		defer close(done)
		state, _ = tool.Process.Wait() // unlike the command's Wait it leaves the pipe as it is
	}()
	t.Cleanup(func() {
		_ = tool.Process.Kill()
		<-done
	})
	if err := tool.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case <-done:
		if state.ExitCode() != cmdline.ExitInterrupted {
			t.Errorf("it ended with %v", state)
		}
	case <-time.After(hang):
		t.Fatal("the command does not end")
	}
}

// TestNobodyReads: an output that nobody reads ends a command without a word, and messages that
// nobody reads do not end it.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	dir, file := restoredDir(t, 1000), filepath.Join(t.TempDir(), "new")
	r, broken, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	r.Close()

	var said bytes.Buffer
	out := command(t, "gcd-tool", "dump", "--format", "csv", dir)
	out.Stdout, out.Stderr = broken, &said
	_ = out.Run() // how it ended is in ProcessState
	if code := out.ProcessState.ExitCode(); code != cmdline.ExitNobodyReads || said.Len() > 0 {
		t.Errorf("without a reader it ended with %v, and said %q", out.ProcessState, said.String())
	}

	messages := command(t, "gcd-tool", "dump", "--output", file, dir)
	messages.Stderr = broken
	if err := messages.Run(); err != nil {
		t.Errorf("without a reader of its messages it ended with %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// TestNohup: a command that was started not to mind the end of its terminal goes on.
func TestNohup(t *testing.T) {
	t.Parallel()
	dir := restoredDir(t, 20_000)
	tool := command(t, "sh", "-c", `trap '' HUP; exec gcd-tool dump --format ndjson "$0"`, dir)
	stdout, err := tool.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tool.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReaderSize(stdout, 16)
	if _, err := r.ReadString('\n'); err != nil { // it is at work, with far more to write than a pipe takes
		t.Error(err)
	}
	if err := tool.Process.Signal(syscall.SIGHUP); err != nil {
		t.Error(err)
	}
	if _, err := r.WriteTo(io.Discard); err != nil {
		t.Error(err)
	}
	if err := tool.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
