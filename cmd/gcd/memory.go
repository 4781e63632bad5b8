package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// garbageAllowance is how many bytes of garbage may gather before a collection.
	garbageAllowance = 64 << 20
	minGCPercent     = 10
	gcPercentEvery   = 10 * time.Second
)

// boundGarbage makes the garbage collector run more often the more topics there are, until ctx
// ends. Go lets garbage grow as large as the memory in use: with millions of topics, which are
// never freed, that would double the memory. A collection is cheap here, because topics hold no
// pointers. GOGC, if set, is left alone.
func boundGarbage(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(gcPercentEvery)
	defer tick.Stop()
	for {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		if live[0].Value.Kind() == metrics.KindUint64 {
			debug.SetGCPercent(gcPercent(live[0].Value.Uint64()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// gcPercent is the GOGC that lets garbageAllowance gather beside so many live bytes: never above
// Go's default of 100.
func gcPercent(live uint64) int {
	return int(min(100, max(minGCPercent, 100*garbageAllowance/max(live, 1))))
}
