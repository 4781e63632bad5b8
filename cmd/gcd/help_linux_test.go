package main

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcd/internal/cmdline"
)

// TestHelpThatNobodyReads: help that waits for its reader is ended by signals, also that of serve.
func TestHelpThatNobodyReads(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help", "serve"}, {"serve", "--help"}, {"serve", "--tcp", "x", "-h"}} {
		ends := newPipe(t)
		s := &stuckServer{t: t, r: ends[0], w: ends[1], exited: make(chan struct{})}
		s.fill()
		out := os.NewFile(uintptr(ends[1]), "pipe")
		s.cmd = exec.Command("gcd", args...)
		s.cmd.Stdout = out
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(s.exited)
			_ = s.cmd.Wait() // how it ended is in ProcessState
		}()
		again := time.NewTicker(100 * time.Millisecond) // the second one that counts ends it
		late := time.NewTimer(hang)
	signals:
		for {
			select {
			case <-s.exited:
				break signals
			case <-late.C:
				_ = s.cmd.Process.Kill()
				<-s.exited
				t.Fatalf("gcd %v does not end", args)
			case <-again.C:
				_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
			}
		}
		again.Stop()
		late.Stop()
		// Before it catches signals the first one ends it.
		status := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if status.ExitStatus() != cmdline.ExitInterrupted && status.Signal() != syscall.SIGTERM {
			t.Errorf("gcd %v ended with %v, want exit code %d", args, s.cmd.ProcessState, cmdline.ExitInterrupted)
		}
		out.Close()
		unix.Close(ends[0])
	}
}
