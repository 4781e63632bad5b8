package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"
)

// TestWaitForRoom: a start without room waits and tries again, says so once, at level error, and
// ends with what ends it.
func TestWaitForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		wait := waitForRoom(ctx, settings{log: hclog.New(&hclog.LoggerOptions{Output: &said})})
		for range 3 {
			if err := wait(syscall.ENOSPC); err != nil {
				t.Errorf("it ends by itself: %v", err)
			}
		}
		stop()
		if err := wait(syscall.ENOSPC); !errors.Is(err, context.Canceled) {
			t.Errorf("when it is to end: %v", err)
		}
		if n := strings.Count(said.String(), "[ERROR] the disk has no room for what a start writes"); n != 1 {
			t.Errorf("said %d times:\n%s", n, said.String())
		}
	})
}
