package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// memoryEvery is the time between two looks at a command's memory.
const memoryEvery = 5 * time.Millisecond

// usage is what a command has used, from its start to its end.
type usage struct {
	took   time.Duration
	cpu    time.Duration // user and system, of all its threads, and of the server that it asked
	memory int64         // anonymous, the most at any look: heap and stacks, and no pages of files
}

// used runs a command to its end and tells what that took. server is the one that it asks, which does nothing else, or nil.
func (b *bench) used(path string, args []string, server *instance) (usage, error) {
	var before, after time.Duration
	var err error
	if server != nil {
		if before, err = cpuTime(server.pid()); err != nil {
			return usage{}, err
		}
	}
	begun := time.Now()
	p, err := startProcess(path, args, processOptions{})
	if err != nil {
		return usage{}, err
	}
	u, err := b.watch(p)
	if err != nil {
		return usage{}, err
	}
	u.took = time.Since(begun)
	if p.err != nil {
		return usage{}, fmt.Errorf("%s %s: %w\n%s", p.name, strings.Join(args, " "), p.err, p.output())
	}
	state := p.command.ProcessState
	u.cpu = state.UserTime() + state.SystemTime()
	if server != nil {
		if after, err = cpuTime(server.pid()); err != nil {
			return usage{}, err
		}
		u.cpu += after - before
	}
	return u, nil
}

// watch looks at a command's memory until it ends.
func (b *bench) watch(p *process) (u usage, err error) {
	ticker := time.NewTicker(memoryEvery)
	defer ticker.Stop()
	for {
		n, err := anonymousBytes(p.command.Process.Pid)
		if err != nil {
			p.kill()
			return u, err
		}
		u.memory = max(u.memory, n)
		select {
		case <-ticker.C:
		case <-p.ended:
			return u, nil
		case <-b.ctx.Done():
			p.kill()
			return u, b.ctx.Err()
		}
	}
}

// anonymousBytes is the memory of a process that is in RAM and is of no file; 0 of one that has ended.
func anonymousBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kB << 10, err
		}
	}
	return 0, nil // it has ended, and nobody has asked how
}
