//go:build linux

package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is a small program in another language that counts with a client library of that
// language. It is told what to do line by line (incr TOPIC N, pipeline TOPIC N, transaction TOPIC
// OTHER N, get TOPIC), and answers with a number a line, and at last with "." or with "! " and what
// went wrong. The first line that it says is the library's version.
type program struct {
	version string

	in     io.WriteCloser
	lines  chan string // closed when the program has ended
	stderr lockedBuffer
}

// startProgram starts a program for the server at an address. once tells it to set up its library
// so that nothing is sent a second time; otherwise the library has its defaults. options are more
// of the library's own, by its names for them.
func startProgram(t *testing.T, command []string, addr string, once bool, options map[string]any) *program {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	args := append(command[1:len(command):len(command)], host, port)
	if once {
		args = append(args, "once")
	}
	cmd := exec.Command(command[0], args...)
	if options != nil {
		text, err := json.Marshal(options)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), "OPTIONS="+string(text))
	}
	p := &program{lines: make(chan string)}
	cmd.Stderr = &p.stderr
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var read sync.WaitGroup
	stop := make(chan struct{})
	read.Go(func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case p.lines <- lines.Text():
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		p.in.Close()
		_ = cmd.Process.Kill()
		read.Wait()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%v on stderr:\n%s", command, p.stderr.String())
		}
	})
	if p.version, err = p.line(); err != nil {
		t.Fatalf("%v did not say its version: %v\n%s", command, err, p.stderr.String())
	}
	return p
}

func (p *program) line() (string, error) {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return "", errors.New("the program has ended")
		}
		return line, nil
	case <-time.After(patience):
		return "", fmt.Errorf("the program has said nothing for %v", patience)
	}
}

// told gives the program a command and hands on the numbers that it answers.
func (p *program) told(got func(int64), command ...any) error {
	if _, err := fmt.Fprintln(p.in, command...); err != nil {
		return err
	}
	for {
		line, err := p.line()
		if err != nil {
			return err
		}
		if line == "." {
			return nil
		}
		if text, wrong := strings.CutPrefix(line, "! "); wrong {
			return errors.New(text)
		}
		n, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return fmt.Errorf("the program has said %q", line)
		}
		got(n)
	}
}

func (p *program) all(command ...any) ([]int64, error) {
	var numbers []int64
	err := p.told(func(n int64) { numbers = append(numbers, n) }, command...)
	return numbers, err
}

func (p *program) incr(topic string, n int, got func(int64)) error {
	return p.told(got, "incr", topic, n)
}

func (p *program) pipeline(topic string, n int) ([]int64, error) {
	return p.all("pipeline", topic, n)
}

func (p *program) transaction(topic, other string, n int) ([]int64, error) {
	return p.all("transaction", topic, other, n)
}

func (p *program) get(topic string) (int64, error) {
	numbers, err := p.all("get", topic)
	if err == nil && len(numbers) != 1 {
		err = fmt.Errorf("%d answers to a GET", len(numbers))
	}
	if err != nil {
		return 0, err
	}
	return numbers[0], nil
}

// lockedBuffer keeps what a process says while others look at it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
