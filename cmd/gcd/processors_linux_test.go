package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestServeAllowsWaiting: a server that runs has the room. Go's trace of its scheduler says so.
func TestServeAllowsWaiting(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("gcd") // TestMain has put it there
	if err != nil {
		t.Fatal(err)
	}
	var more, processors int
	_, err = fmt.Sscanf(allowedWaiting(t, "goroutine", ""), "%d more than %d", &more, &processors)
	if err != nil || more != 0 {
		t.Fatal(more, err)
	}
	cmd := exec.CommandContext(t.Context(), path, "serve", "--memory", "--tcp", "127.0.0.1:0", "--udp", "")
	cmd.Env = append(os.Environ(), "GODEBUG=schedtrace=20", "GOMAXPROCS=")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	lines, serves := 0, false
	for s := bufio.NewScanner(stderr); s.Scan(); {
		serves = serves || strings.Contains(s.Text(), "serving: ")
		_, text, ok := strings.Cut(s.Text(), "gomaxprocs=")
		var n int
		if _, err := fmt.Sscan(text, &n); !ok || err != nil {
			continue
		}
		if n == processors+waiting {
			return
		}
		if serves { // by then it has asked for the room
			lines++
		}
		if lines > 100 {
			break
		}
	}
	t.Errorf("there is not room for %d more than %d in %d looks", waiting, processors, lines)
}
