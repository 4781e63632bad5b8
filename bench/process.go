package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
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
	lines []string      // the last ones of its output
	news  chan struct{} // has an element when there may be a new line
}

// options of a process beyond its arguments.
type processOptions struct {
	dir  string // where it runs
	user *syscall.Credential
	env  []string
}

func (o processOptions) set(command *exec.Cmd) {
	command.Dir, command.Env = o.dir, append(os.Environ(), o.env...)
	command.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true, // an interrupt from the terminal is for this program, which stops the others in order
		Pdeathsig:  syscall.SIGKILL,
		Credential: o.user,
	}
}

// startProcess starts a program. The caller's goroutine must be locked to a thread that lives as
// long as this program: the system kills the children of a thread that ends.
func startProcess(path string, args []string, o processOptions) (*process, error) {
	p := &process{
		name:    filepath.Base(path),
		command: exec.Command(path, args...),
		ended:   make(chan struct{}),
		news:    make(chan struct{}, 1),
	}
	o.set(p.command)
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.command.Stderr = p.command.Stdout
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	go p.follow(output)
	return p, nil
}

// follow reads what the process writes, until it ends.
func (p *process) follow(output io.Reader) {
	defer close(p.ended)
	for lines := bufio.NewReader(output); ; {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			p.mu.Lock()
			p.lines = append(p.lines[max(0, len(p.lines)-lastLines+1):], line[:min(len(line), 4096)])
			p.mu.Unlock()
			select {
			case p.news <- struct{}{}:
			default:
			}
		}
		if err != nil {
			break
		}
	}
	p.err = p.command.Wait()
}

// output is what the process wrote last, to explain what went wrong.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// await waits for a line of output, which may be there already, and returns its submatches. One
// goroutine at a time may wait.
func (p *process) await(ctx context.Context, pattern string) ([]string, error) {
	line, late := regexp.MustCompile("(?m)"+pattern), time.After(startWithin)
	for why := ""; ; {
		output := p.output()
		if said := line.FindStringSubmatch(output); said != nil {
			return said, nil
		}
		if why != "" {
			return nil, fmt.Errorf("%s did not say %q: %s:\n%s", p.name, pattern, why, output)
		}
		select {
		case <-p.news:
		case <-p.ended:
			why = "it ended"
		case <-late:
			why = fmt.Sprintf("not within %v", startWithin)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// awaitAnswer waits until try succeeds.
func (p *process) awaitAnswer(ctx context.Context, try func() error) error {
	ticker, late := time.NewTicker(2*time.Millisecond), time.After(startWithin)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-late:
			return fmt.Errorf("%s does not answer within %v: %w:\n%s", p.name, startWithin, err, p.output())
		case <-p.ended:
			return fmt.Errorf("%s ended: %v:\n%s", p.name, p.err, p.output())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop asks the process to end, and makes it end if it does not.
func (p *process) stop() error {
	_ = p.command.Process.Signal(syscall.SIGTERM) // fails when it has ended already
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopWithin):
	}
	p.kill()
	return fmt.Errorf("%s did not end within %v and was killed", p.name, stopWithin)
}

func (p *process) kill() {
	_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL) // its whole group
	<-p.ended
}

// run runs a program to its end and returns its output.
func run(ctx context.Context, path string, args []string, o processOptions) (string, error) {
	command := exec.CommandContext(ctx, path, args...)
	o.set(command)
	command.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("%s %s: %w\n%s%s",
			filepath.Base(path), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// ticksPerSecond is the unit of times in /proc (USER_HZ), the same on every Linux that Go runs on.
const ticksPerSecond = 100

// cpuTime is the processor time, user and system, that a process and all its children have used.
func cpuTime(pid int) (time.Duration, error) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0, err
	}
	ticks := int(stat.UTime+stat.STime) + stat.CUTime + stat.CSTime // the last two are of children that have ended
	sum := time.Duration(ticks) * time.Second / ticksPerSecond
	for _, child := range children(pid) {
		used, err := cpuTime(child)
		if err != nil && !hasEnded(err) {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// hasEnded says whether a process could not be looked at because it has just ended.
func hasEnded(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

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

// memoryOf returns the memory of a process that is in RAM, in bytes.
func memoryOf(pid int) (procfs.ProcStatus, error) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStatus{}, err
	}
	return proc.NewStatus()
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
