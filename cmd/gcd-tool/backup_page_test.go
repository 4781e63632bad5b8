//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBackupPage runs every command of docs/backup.md, in its order, as they stand there but for the paths. systemctl starts and stops a
// gcd of this source.
func TestBackupPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &pageRun{t: t, dir: t.TempDir()}
	p.bin = filepath.Join(p.dir, "bin")
	for _, name := range []string{"bin", "private", "backup"} {
		if err := os.Mkdir(filepath.Join(p.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.bin, ".", "../gcd").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(p.stop)
	p.start()
	for _, want := range []string{"1", "2", "3"} {
		if got := p.shell("gcd count orders", 0); got != want {
			t.Fatalf("counted %q, want %s", got, want)
		}
	}

	var counted []string
	commands := 0
	inBlock := false
	for n, line := range strings.Split(string(page), "\n") {
		p.line = n + 1
		switch {
		case strings.HasPrefix(line, "```"):
			inBlock = line == "```sh"
		case line == "<!-- here the test damages the log -->":
			p.damage()
		case inBlock && line != "":
			commands++
			if out := p.command(line); line == "gcd count orders" {
				counted = append(counted, out)
			}
		}
	}
	if commands < 30 {
		t.Errorf("%d commands were found", commands)
	}
	// Behind the restored backup, which has 3; behind the move of what --advance made of it.
	if want := []string{"4", "1000004"}; !slices.Equal(counted, want) {
		t.Errorf("the page counted %q, want %q", counted, want)
	}
	for _, name := range []string{"gcd.before-restore-*", "gcd.broken-*"} {
		if found, _ := filepath.Glob(filepath.Join(p.dir, "private", name)); len(found) == 0 {
			t.Errorf("there is no %s", name)
		}
	}
}

// pageRun is a run of the page's commands.
type pageRun struct {
	t      *testing.T
	dir    string // has what is in / for the page
	bin    string
	line   int // of the page
	server *exec.Cmd
	log    chan string // the rest of the server's log, when it has ended
	addr   string
}

var exitComment = regexp.MustCompile(`\s+# exit code (\d+)$`)

// command runs a line of the page and returns its output.
func (p *pageRun) command(line string) string {
	p.t.Helper()
	switch line {
	case "systemctl start gcd":
		p.start()
		return ""
	case "systemctl stop gcd":
		p.stop()
		return ""
	}
	code := 0
	if said := exitComment.FindStringSubmatch(line); said != nil {
		code, _ = strconv.Atoi(said[1])
	}
	return p.shell(line, code)
}

// shell runs a command in a shell.
func (p *pageRun) shell(line string, code int) string {
	p.t.Helper()
	line = strings.NewReplacer(
		"/var/lib/private/gcd", filepath.Join(p.dir, "private", "gcd"),
		"/backup/", filepath.Join(p.dir, "backup")+"/",
		"2026-01-02T03:04:05Z", time.Now().UTC().Add(time.Minute).Format(time.RFC3339),
	).Replace(line)
	c := exec.CommandContext(p.t.Context(), "sh", "-ec", line)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "PATH="+p.bin+":"+os.Getenv("PATH"), "GCD_ADDR="+p.addr, "GORACE=atexit_sleep_ms=0")
	var out, msg strings.Builder
	c.Stdout, c.Stderr = &out, &msg
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("line %d: %s: %v", p.line, line, err)
	}
	if got := c.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("line %d: %s\nended with exit code %d, want %d:\n%s%s", p.line, line, got, code, out.String(), msg.String())
	}
	return strings.TrimSpace(out.String())
}

var pageServing = regexp.MustCompile(`serving: tcp=([^ ]+)`)

// start starts a server and waits until it serves.
func (p *pageRun) start() {
	p.t.Helper()
	if p.server != nil {
		p.t.Fatalf("line %d: the server runs already", p.line)
	}
	p.server = exec.CommandContext(context.Background(), filepath.Join(p.bin, "gcd"), "serve", "--data", filepath.Join(p.dir, "private", "gcd"), "--tcp", "127.0.0.1:0", "--udp", "")
	p.server.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	stderr, err := p.server.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.server.Start(); err != nil {
		p.t.Fatal(err)
	}
	serving := make(chan string, 1)
	p.log = make(chan string, 1)
	go func(log chan<- string) {
		var text strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
			if said := pageServing.FindStringSubmatch(lines.Text()); said != nil {
				serving <- said[1]
			}
		}
		log <- text.String()
	}(p.log)
	select {
	case p.addr = <-serving:
	case log := <-p.log:
		p.log <- log
		p.t.Fatalf("line %d: the server does not serve:\n%s", p.line, log)
	}
}

// stop stops the server, if it runs, as systemd does.
func (p *pageRun) stop() {
	p.t.Helper()
	if p.server == nil {
		return
	}
	server := p.server
	p.server = nil
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	log := <-p.log
	if err := server.Wait(); err != nil {
		p.t.Errorf("line %d: the server ended with %v:\n%s", p.line, err, log)
	}
}

// damage stops the server and changes a byte of the first record of the last segment.
func (p *pageRun) damage() {
	p.t.Helper()
	p.stop()
	segments, err := filepath.Glob(filepath.Join(p.dir, "private", "gcd", "wal", "*.seg"))
	if err != nil || len(segments) == 0 {
		p.t.Fatalf("no segment to damage: %v", err)
	}
	file, err := os.OpenFile(segments[len(segments)-1], os.O_RDWR, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1)
	const at = 64 + 40 + 2 // in the payload
	if _, err := file.ReadAt(b, at); err != nil {
		p.t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := file.WriteAt(b, at); err != nil {
		p.t.Fatal(err)
	}
}
