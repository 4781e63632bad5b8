//go:build linux

package clients

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildServer builds the real gcd.
func buildServer(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "gcd")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/gcd")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("gcd was not built: %v\n%s", err, out)
	}
	return binary
}

// process is a real server that can be killed and started again on the same directory and port.
type process struct {
	binary, dir, addr string
	flags             []string // of serve, beside those that every server has

	cmd    *exec.Cmd
	exited chan struct{}
	log    lockedBuffer // of all its lives
}

func startProcess(t *testing.T, binary string, flags ...string) *process {
	t.Helper()
	p := &process{binary: binary, dir: filepath.Join(t.TempDir(), "data"), addr: reservePort(t), flags: flags}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the server's log:\n%s", p.log.String())
		}
	})
	return p
}

// start starts the server and waits until it serves. It is called by one goroutine at a time, as
// kill is.
func (p *process) start() error {
	p.cmd = exec.Command(p.binary, append([]string{"serve", "--data", p.dir, "--tcp", p.addr, "--udp", "",
		"--log-format", "json"}, p.flags...)...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	serving := make(chan struct{})
	p.exited = make(chan struct{})
	go func() {
		defer close(p.exited)
		told := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&p.log, lines.Text())
			if !told && strings.Contains(lines.Text(), `"@message":"serving"`) {
				told = true
				close(serving)
			}
		}
		_ = p.cmd.Wait()
	}()
	select {
	case <-serving:
		return nil
	case <-p.exited:
		return fmt.Errorf("the server has ended:\n%s", p.log.String())
	case <-time.After(patience):
		return fmt.Errorf("the server does not serve after %v:\n%s", patience, p.log.String())
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// again kills the server and starts it anew.
func (p *process) again() error {
	p.kill()
	return p.start()
}

// reservePort finds a free port of the loopback address and keeps it to the end of the test: a
// socket is bound to it and does not listen. So whoever connects is refused while no server
// listens, and the system gives the port to nobody who wants any.
func reservePort(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.(*syscall.SockaddrInet4).Port))
}
