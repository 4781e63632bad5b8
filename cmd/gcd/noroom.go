package main

import (
	"context"
	"time"
)

// roomPause is the time between two tries of a start that has no room for what it must write.
const roomPause = time.Second

// waitForRoom is the function for store.Options.NoRoom: it says once that the start waits, and then
// pauses, until ctx ends.
func waitForRoom(ctx context.Context, s settings) func(error) error {
	said := false
	return func(err error) error {
		if !said {
			s.log.Error("the disk has no room for what a start writes; it waits, and goes on by itself when there is "+
				"room", "error", err)
			said = true
		}
		s.manager.starting("waiting for room on the disk")
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
