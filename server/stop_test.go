package server

import (
	"context"
	"testing"
	"time"
)

// A stop keeps half of its time for answers, however long it would like to listen.
func TestHalfOf(t *testing.T) {
	t.Parallel()
	if got := halfOf(t.Context(), time.Minute); got != time.Minute {
		t.Errorf("without a deadline it is %v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if got := halfOf(ctx, time.Second); got != time.Second {
		t.Errorf("with time enough it is %v", got)
	}
	if got := halfOf(ctx, 2*time.Hour); got > time.Hour/2 || got < time.Minute {
		t.Errorf("half of an hour is %v", got)
	}
	past, end := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer end()
	if got := halfOf(past, time.Second); got != 0 {
		t.Errorf("when the time is over it is %v", got)
	}
}
