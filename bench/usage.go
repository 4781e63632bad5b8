package main

import (
	"fmt"
	"strings"
	"time"
)

// memoryEvery is the time between two looks at a command's memory.
const memoryEvery = 5 * time.Millisecond

// The units of what a command has used, beside the time that it took.
const (
	busy      = "cpu-sec" // user and system, of all its threads, and of the server that it asked
	anonymous = "anon-B"  // memory of no file, so heap and stacks, the most at any look
)

// used runs a command to its end and returns what that took. server is the one that it asks, which
// does nothing else, or nil.
func (b *bench) used(path string, args []string, server *instance) (values, error) {
	before, err := busyTime(server)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	p, err := startProcess(path, args, processOptions{})
	if err != nil {
		return nil, err
	}
	memory, err := b.peakMemory(p)
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(begun)
	if p.err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", p.name, strings.Join(args, " "), p.err, p.output())
	}
	after, err := busyTime(server)
	state := p.command.ProcessState
	worked := state.UserTime() + state.SystemTime() + after - before
	return values{took: elapsed.Seconds(), busy: worked.Seconds(), anonymous: float64(memory)}, err
}

// peakMemory looks at a command's memory until it ends, and returns the most that it had.
func (b *bench) peakMemory(p *process) (most uint64, err error) {
	ticker := time.NewTicker(memoryEvery)
	defer ticker.Stop()
	for {
		status, err := memoryOf(p.command.Process.Pid)
		if err != nil && !hasEnded(err) {
			p.kill()
			return 0, err
		}
		most = max(most, status.RssAnon)
		select {
		case <-ticker.C:
		case <-p.ended:
			return most, nil
		case <-b.ctx.Done():
			p.kill()
			return 0, b.ctx.Err()
		}
	}
}
