package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startWithin = time.Minute      // for a server to answer
	stopWithin  = 30 * time.Second // for a server to end after it was asked to
	lastLines   = 20               // of a process's output that are kept to explain a failure
)

// process is a program that this one started. It does not outlive this one.
type process struct {
	name    string
	command *exec.Cmd
	ended   chan struct{} // closed when it has ended and its output was read
	err     error         // how it ended

	mu    sync.Mutex
	lines []string // the last ones of its output
	wait  map[chan string]*regexp.Regexp
}

// options of a process beyond its arguments.
type processOptions struct {
	dir  string // where it runs
	user *syscall.Credential
	env  []string
}

// startProcess starts a program. The caller's goroutine must be locked to a thread that lives as long as this program: the
// system kills the children of a thread that ends.
func startProcess(path string, args []string, o processOptions) (*process, error) {
	p := &process{
		name:    filepath.Base(path),
		command: exec.Command(path, args...),
		ended:   make(chan struct{}),
		wait:    make(map[chan string]*regexp.Regexp),
	}
	p.command.Dir = o.dir
	p.command.Env = append(os.Environ(), o.env...)
	p.command.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true, // an interrupt from the terminal is for this program, which stops the others in order
		Pdeathsig:  syscall.SIGKILL,
		Credential: o.user,
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.command.Stdout, p.command.Stderr = writer, writer
	err = p.command.Start()
	writer.Close()
	if err != nil {
		reader.Close()
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	go p.follow(reader)
	return p, nil
}

// follow reads what the process writes, until it ends.
func (p *process) follow(output *os.File) {
	defer close(p.ended)
	defer output.Close()
	for lines := bufio.NewReader(output); ; {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			p.heard(line)
		}
		if err != nil {
			break
		}
	}
	p.err = p.command.Wait()
}

func (p *process) heard(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line[:min(len(line), 4096)])
	if len(p.lines) > lastLines {
		p.lines = p.lines[1:]
	}
	for found, pattern := range p.wait {
		if pattern.MatchString(line) {
			found <- line
			delete(p.wait, found)
		}
	}
}

// line returns a channel that gets the next line of output that matches, one of the last that are there already included.
func (p *process) line(pattern string) <-chan string {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, compiled := make(chan string, 1), regexp.MustCompile(pattern)
	for _, line := range p.lines {
		if compiled.MatchString(line) {
			found <- line
			return found
		}
	}
	p.wait[found] = compiled
	return found
}

// output is what the process wrote last, to explain what went wrong.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// await waits for a line of output and returns its submatches.
func (p *process) await(ctx context.Context, pattern string) ([]string, error) {
	timer := time.NewTimer(startWithin)
	defer timer.Stop()
	found := p.line(pattern)
	var why string
	select {
	case line := <-found:
		return regexp.MustCompile(pattern).FindStringSubmatch(line), nil
	case <-p.ended:
		select {
		case line := <-found:
			return regexp.MustCompile(pattern).FindStringSubmatch(line), nil
		default:
		}
		why = "it ended"
	case <-timer.C:
		why = fmt.Sprintf("not within %v", startWithin)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%s did not say %q: %s:\n%s", p.name, pattern, why, p.output())
}

// awaitAnswer waits until try succeeds.
func (p *process) awaitAnswer(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(startWithin)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer within %v: %w:\n%s", p.name, startWithin, err, p.output())
		}
		select {
		case <-ticker.C:
		case <-p.ended:
			return fmt.Errorf("%s ended: %v:\n%s", p.name, p.err, p.output())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop asks the process to end, and makes it end if it does not.
func (p *process) stop(signal syscall.Signal) error {
	_ = p.command.Process.Signal(signal) // fails when it has ended already
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-p.ended:
		return nil
	case <-timer.C:
	}
	p.kill()
	return fmt.Errorf("%s did not end within %v of %v and was killed", p.name, stopWithin, signal)
}

func (p *process) kill() {
	_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL) // its whole group
	<-p.ended
}

// run runs a program to its end and returns its output.
func run(ctx context.Context, path string, args []string, o processOptions) (string, error) {
	command := exec.CommandContext(ctx, path, args...)
	command.Dir, command.Env = o.dir, append(os.Environ(), o.env...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: o.user}
	command.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(path), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// freeAddr returns an address of the loopback network on which nothing listens.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// ticksPerSecond is the unit of times in /proc (USER_HZ), the same on every Linux that Go runs on.
const ticksPerSecond = 100

// cpuTime is the processor time, user and system, that a process and all its children have used.
func cpuTime(pid int) (time.Duration, error) {
	ticks, err := cpuTicks(pid)
	return time.Duration(ticks) * time.Second / ticksPerSecond, err
}

func cpuTicks(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// pid (name) state …; the name may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return 0, fmt.Errorf("/proc/%d/stat has only %d fields", pid, len(fields))
	}
	var sum int64
	for _, field := range fields[11:15] { // utime, stime, and those of children that have ended
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		sum += n
	}
	for _, child := range children(pid) {
		n, err := cpuTicks(child)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) { // it may have ended a moment ago
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// children are the processes that a process has started and that have not ended.
func children(pid int) []int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var pids []int
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// residentBytes is the memory of a process that is in RAM.
func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: %q", pid, text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(unix.Getpagesize()), err
}

// treeSize is the size of all files in a directory.
func treeSize(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		sum += info.Size()
		return nil
	})
	return sum, err
}
