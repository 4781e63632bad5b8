package main

import (
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
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcd/client"
	"gcd/internal/cmdline"
)

// A stuckServer is a "gcd serve" whose stderr is a pipe that nobody reads, and that is full.
type stuckServer struct {
	t        *testing.T
	cmd      *exec.Cmd
	r, w     int // the pipe; neither end blocks the test
	manager  *net.UnixConn
	exited   chan struct{}
	tcp, udp string
}

// startStuck starts one whose pipe was full before it started, and waits until it serves: the
// service manager hears of that. Where it listens is read out of the pipe, which is filled again.
func startStuck(t *testing.T, flags ...string) *stuckServer {
	t.Helper()
	return startStuckOn(t, newPipe(t), flags...)
}

// newPipe is a pipe as a shell makes it: the descriptor that the server gets blocks.
func newPipe(t *testing.T) (ends [2]int) {
	t.Helper()
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return ends
}

// newSocketPair is what a service has under systemd: a stream socket to the journal.
func newSocketPair(t *testing.T) [2]int {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ends
}

func startStuckOn(t *testing.T, ends [2]int, flags ...string) *stuckServer {
	t.Helper()
	s := &stuckServer{t: t, r: ends[0], w: ends[1]}
	t.Cleanup(func() { unix.Close(s.r); unix.Close(s.w) })
	s.fill()

	stderr := os.NewFile(uintptr(dup(t, s.w)), "stderr")
	defer stderr.Close()
	cmd := exec.Command("gcd", append([]string{"serve", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0"}, flags...)...)
	cmd.Stderr = stderr
	s.run(cmd)

	said := regexp.MustCompile(`serving: tcp=(\S+) udp=(\S+)`)
	for text, end := "", time.Now().Add(hang); ; {
		text += s.drain()
		if found := said.FindStringSubmatch(text); found != nil {
			s.tcp, s.udp = found[1], found[2]
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it does not say where it listens: %q", tail(text))
		}
	}
	s.fill()
	return s
}

// run starts the server and waits until it is ready.
func (s *stuckServer) run(cmd *exec.Cmd) {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "gcd") // t.TempDir() has too long a path for a socket
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "notify")
	if s.manager, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.manager.Close() })
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd, s.exited = cmd, make(chan struct{})
	go func() {
		defer close(s.exited)
		_ = cmd.Wait() // how it ended is in ProcessState
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails when it has ended, as it should
		<-s.exited
	})
	s.told("READY=1")
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fill fills the pipe, to its last byte, without changing how the server's descriptor of it
// behaves.
func (s *stuckServer) fill() {
	s.t.Helper()
	for size := 4096; size > 0; {
		err := unix.Send(s.w, bytes.Repeat([]byte{'.'}, size), unix.MSG_DONTWAIT)
		if err == unix.ENOTSOCK {
			s.fillPipe()
			return
		}
		if err == unix.EAGAIN {
			size /= 2
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stuckServer) fillPipe() {
	s.t.Helper()
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(s.w), Events: unix.POLLOUT}}, 0)
		if err == nil && ready == 0 {
			return
		}
		if err == nil { // a pipe that is ready has room for 4,096 bytes
			_, err = unix.Write(s.w, bytes.Repeat([]byte{'.'}, 4096))
		}
		if err != nil && err != unix.EINTR {
			s.t.Fatal(err)
		}
	}
}

// drain reads what is in the pipe.
func (s *stuckServer) drain() string {
	s.t.Helper()
	var text strings.Builder
	b := make([]byte, 64<<10)
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(s.r), Events: unix.POLLIN}}, 10)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if ready == 0 {
			return text.String()
		}
		n, err := unix.Read(s.r, b)
		if err != nil || n == 0 {
			return text.String()
		}
		text.Write(b[:n])
	}
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

// told waits until the service manager is told so.
func (s *stuckServer) told(want string) {
	s.t.Helper()
	if err := s.manager.SetReadDeadline(time.Now().Add(hang)); err != nil {
		s.t.Fatal(err)
	}
	for b := make([]byte, 4096); ; {
		n, err := s.manager.Read(b)
		if err != nil {
			s.t.Fatalf("the server does not tell %s: %v", want, err)
		}
		if strings.Contains(string(b[:n]), want) {
			return
		}
	}
}

// ends waits until the server has ended, and requires the exit code.
func (s *stuckServer) ends(code int) {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(hang):
		s.t.Fatal("the server does not end")
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("the server ended with %v, want exit code %d", s.cmd.ProcessState, code)
	}
}

func (s *stuckServer) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// badRequests sends a request that is refused, and so has a line in the log, to each door.
func (s *stuckServer) badRequests() {
	s.t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		addr := map[string]string{"tcp": s.tcp, "udp": s.udp}[network]
		conn, err := net.Dial(network, addr)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := conn.Write([]byte{0, 0xff}); err != nil {
			s.t.Fatal(err)
		}
		if half, ok := conn.(*net.TCPConn); ok {
			half.CloseWrite()
		}
		if err := conn.SetReadDeadline(time.Now().Add(hang)); err != nil {
			s.t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 64)); n == 0 && err != nil {
			s.t.Fatalf("a bad request over %s: %v", network, err)
		}
		conn.Close()
	}
}

// counts counts n times over each door, from one number on.
func (s *stuckServer) counts(topic string, n int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), hang)
	defer cancel()
	for _, network := range []string{"tcp", "udp", "resp"} {
		addr := map[string]string{"tcp": s.tcp, "udp": s.udp, "resp": s.tcp}[network]
		c, err := client.New(addr, client.Options{Network: network, Timeout: hang, Attempts: 1})
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range n {
			if got, err := c.Count(ctx, topic+network); err != nil || got != uint64(i)+1 {
				s.t.Fatalf("count %d over %s: %d, %v", i+1, network, got, err)
			}
		}
		c.Close()
	}
}

// TestNobodyReadsTheLog: a server whose stderr is full starts, counts over each door while refusals
// have their lines, and ends when it is told to, with 0.
func TestNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		ends func(*testing.T) [2]int
	}{
		{"pipe", newPipe}, {"socket", newSocketPair},
	} {
		for _, dispatch := range []string{"pool", "goroutine"} {
			t.Run(test.name+" "+dispatch, func(t *testing.T) {
				t.Parallel()
				s := startStuckOn(t, test.ends(t), "--data", t.TempDir(), "--dispatch", dispatch)
				s.counts("a", 3)
				s.badRequests()
				s.counts("b", 3)
				s.badRequests()
				s.counts("c", 3)
				s.signal(syscall.SIGTERM)
				s.told("STOPPING=1")
				s.ends(cmdline.ExitOK)
			})
		}
	}
}

// TestLogAgain: what waited is written when somebody reads again, the last line of a stop included.
func TestLogAgain(t *testing.T) {
	t.Parallel()
	s := startStuck(t, "--memory")
	s.badRequests()
	text := s.drain()
	s.signal(syscall.SIGTERM)
	s.ends(cmdline.ExitOK)
	text += s.drain()
	for _, want := range []string{"refused a client: code=", "shutting down: signal=terminated", "stopped: counts=0"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %q: %q", want, tail(text))
		}
	}
}

// TestRuntimeDumpEnds: Go's runtime writes to stderr itself when it ends the process.
func TestRuntimeDumpEnds(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(*testing.T) [2]int{"pipe": newPipe, "socket": newSocketPair} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startStuckOn(t, ends(t), "--memory")
			s.signal(syscall.SIGQUIT)
			s.ends(2)
		})
	}
}

// TestSharedPipeStaysAsItIs: the descriptor that others have of the same pipe goes on to block.
func TestSharedPipeStaysAsItIs(t *testing.T) {
	t.Parallel()
	s := startStuck(t, "--memory")
	flags, err := unix.FcntlInt(uintptr(s.w), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("the flags are %#x, %v", flags, err)
	}
}

// TestFatalLine: the error that a server ends with is the last line, also where the log waits; and
// nothing waits for it where nobody reads.
func TestFatalLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		code int
	}{
		{"usage", []string{"serve", "--frobnicate"}, cmdline.ExitUsage},
		{"flag's value", []string{"serve", "--workers", "-1"}, cmdline.ExitUsage},
		{"address", []string{"serve", "--memory", "--open", "--tcp", "203.0.113.1:1", "--udp", ""},
			cmdline.ExitFailure},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ends := newPipe(t)
			s := &stuckServer{t: t, r: ends[0], w: ends[1]}
			defer unix.Close(s.r)
			defer unix.Close(s.w)
			s.fill()
			ctx, cancel := context.WithTimeout(t.Context(), hang)
			defer cancel()
			cmd := exec.CommandContext(ctx, "gcd", test.args...)
			stderr := os.NewFile(uintptr(dup(t, s.w)), "stderr")
			defer stderr.Close()
			cmd.Stderr = stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != test.code {
				t.Errorf("it ended with %v, want exit code %d", err, test.code)
			}
		})
	}
}

// TestNoLog: a log file on a full disk, and a stderr that is closed, cost lines and nothing else.
func TestNoLog(t *testing.T) {
	t.Parallel()
	for name, redirect := range map[string]string{"full disk": "2>/dev/full", "closed": "2>&-"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat("/dev/full"); err != nil {
				t.Skipf("there is no /dev/full here: %v", err)
			}
			s := &stuckServer{t: t}
			s.run(exec.Command("sh", "-c", `exec gcd serve --data "$0" --tcp 127.0.0.1:0 --udp '' `+redirect,
				t.TempDir()))
			s.signal(syscall.SIGTERM)
			s.ends(cmdline.ExitOK)
		})
	}
}

// TestDeafManager: a service manager that does not read what it is told holds nothing up.
func TestDeafManager(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "gcd")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"}
	deaf, err := net.ListenUnixgram("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for err == nil {
		err = unix.Sendto(fd, []byte("full"), 0, &unix.SockaddrUnix{Name: socket.Name})
	}
	if err != unix.EAGAIN {
		t.Fatal(err)
	}
	cmd := exec.Command("gcd", victimArgs(t.TempDir(), "pool")...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket.Name)
	p := runVictim(t, cmd)
	p.waitServing(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(hang):
		t.Fatal("the server does not end")
	}
	if p.err != nil {
		t.Errorf("the server whose manager does not listen ended with %v\n%s", p.err, p.output())
	}
}

// ignored are the signals that a process ignores.
func ignored(t *testing.T, pid int) uint64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	var mask uint64
	for line := range strings.Lines(string(status)) {
		if n, _ := fmt.Sscanf(line, "SigIgn: %x", &mask); n == 1 {
			return mask
		}
	}
	t.Fatalf("no SigIgn in %s", status)
	return 0
}

// TestIgnoredSignals: a log that nobody wants, or that a terminal does not want, stops no server.
func TestIgnoredSignals(t *testing.T) {
	t.Parallel()
	s := startStuck(t, "--memory")
	mask := ignored(t, s.cmd.Process.Pid)
	for _, sig := range []syscall.Signal{syscall.SIGPIPE, syscall.SIGTTOU} {
		if mask&(1<<(uint(sig)-1)) == 0 {
			t.Errorf("%v is not ignored", sig)
		}
	}
}
