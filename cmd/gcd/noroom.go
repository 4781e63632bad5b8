package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// roomPause is the time between two tries of a start that has no room for what it must write.
const roomPause = time.Second

// waitForRoom is what store.Options.NoRoom does: it says once that the start waits, and pauses, until ctx ends.
func waitForRoom(ctx context.Context, s settings) func(error) error {
	said := false
	return func(err error) error {
		if !said {
			s.log.Error("the disk has no room for what a start writes; it waits, and goes on by itself when there is room", "error", err)
			said = true
		}
		s.manager.tell(fmt.Sprintf("STATUS=waiting for room on the disk\nEXTEND_TIMEOUT_USEC=%d\n%s", (10 * progressEvery).Microseconds(), daemon.SdNotifyWatchdog))
		pause := time.NewTimer(roomPause)
		defer pause.Stop()
		select {
		case <-pause.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
