//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcd/internal/cmdline"
)

// TestInterruptedInit: an init that waits for a directory is ended by a signal, and makes nothing.
func TestInterruptedInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	held, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"gcd", "init", "--lock-wait", "1h", dir}, &stdout, &stderr) }()
	select {
	case code := <-ended:
		if want := "gcd: interrupted\nhint: nothing was made\n"; code != cmdline.ExitInterrupted ||
			stderr.String() != want || stdout.Len() > 0 {
			t.Errorf("code %d, %q, %q", code, stdout.String(), stderr.String())
		}
	case <-time.After(hang):
		t.Fatal("it does not end")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is there, %v", left, err)
	}
}
