package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// victim is a running server that is to be killed. Its log is JSON lines on stderr.
type victim struct {
	cmd      *exec.Cmd
	tcp, udp string
	lines    chan struct{} // one value a line, until serving
	serving  chan struct{}
	exited   chan struct{}
	err      error // after exited

	mu  sync.Mutex
	log []byte
}

func startVictim(t *testing.T, binary, data, dispatch string) *victim {
	t.Helper()
	return runVictim(t, exec.Command(binary, victimArgs(data, dispatch)...))
}

// victimArgs makes small segments and frequent snapshots, so that faults hit rotations and
// snapshots too.
func victimArgs(data, dispatch string) []string {
	return []string{"serve", "--data", data, "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--dispatch", dispatch,
		"--segment-size", "256KiB", "--snapshot-bytes", "8KiB", "--log-format", "json"}
}

func runVictim(t *testing.T, cmd *exec.Cmd) *victim {
	t.Helper()
	p := &victim{cmd: cmd, lines: make(chan struct{}, 100), serving: make(chan struct{}), exited: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill(t) })
	go func() {
		defer close(p.exited)
		p.read(stderr)
		p.err = p.cmd.Wait()
	}()
	return p
}

func (p *victim) read(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	serving := false
	for lines.Scan() {
		p.mu.Lock()
		p.log = append(append(p.log, lines.Bytes()...), '\n')
		p.mu.Unlock()
		var entry struct {
			Message string `json:"@message"`
			TCP     string `json:"tcp"`
			UDP     string `json:"udp"`
		}
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Message == "serving" && !serving {
			serving = true
			p.tcp, p.udp = entry.TCP, entry.UDP
			close(p.serving)
		}
		select {
		case p.lines <- struct{}{}:
		default:
		}
	}
}

func (p *victim) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.log)
}

func (p *victim) waitServing(t *testing.T) {
	t.Helper()
	select {
	case <-p.serving:
	case <-p.exited:
		t.Fatalf("the server did not start: %v\n%s", p.err, p.output())
	}
}

// killAfterLines kills the server when it has said so many lines: at once, after its first, or
// later in its start.
func (p *victim) killAfterLines(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-p.lines:
		case <-p.exited:
		case <-time.After(hang):
			t.Errorf("the server says less than %d lines:\n%s", n, p.output())
		}
	}
	_ = p.cmd.Process.Kill()
	receive(t, "the end of a server that was killed", p.exited)
}

// startOnWhatIsLeft starts the server on what the last kill left, and waits until it serves. One
// start in three is killed itself, somewhere in it, recovery included; it tells whether this was
// one.
func startOnWhatIsLeft(t *testing.T, r *rand.Rand, binary, data, dispatch string) (p *victim, early bool) {
	t.Helper()
	if early = r.IntN(3) == 0; early {
		startVictim(t, binary, data, dispatch).killAfterLines(t, r.IntN(3))
	}
	p = startVictim(t, binary, data, dispatch)
	p.waitServing(t)
	return p, early
}

// killUnderLoad kills the server when so many more calls of its clients were acknowledged. Each
// client goes on until the server is gone, and returns what it found wrong.
func (p *victim) killUnderLoad(t *testing.T, r *rand.Rand, clients int, acked *atomic.Int64, more int64,
	client func(i int, r *rand.Rand, acked func()) error) {
	t.Helper()
	target := acked.Load() + more
	reached := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for i := range clients {
		seed := r.Uint64()
		wg.Go(func() {
			err := client(i, rand.New(rand.NewPCG(seed, 0)), func() {
				if acked.Add(1) >= target {
					once.Do(func() { close(reached) })
				}
			})
			if err != nil {
				t.Error(err)
				once.Do(func() { close(reached) })
			}
		})
	}
	select {
	case <-reached:
	case <-p.exited:
		t.Errorf("the server ended by itself: %v\n%s", p.err, p.output())
	case <-time.After(2 * time.Minute):
		t.Errorf("%d of %d calls were acknowledged in two minutes\n%s", acked.Load(), target, p.output())
	}
	p.kill(t)
	ended(t, "clients of a server that was killed", &wg)
}

// kill sends SIGKILL, waits, and checks that this is what ended the process.
func (p *victim) kill(t *testing.T) {
	t.Helper()
	select {
	case <-p.exited:
		return
	default:
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	receive(t, "the end of a server that was killed", p.exited)
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && runtime.GOOS != "windows" &&
		!status.Signaled() {
		t.Errorf("the server was not killed but exited: %v\n%s", p.err, p.output())
	}
}
