package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
)

// TestTerminalCloses: a server on a terminal stops as planned when that is closed. One that was
// started not to mind it stays, and so does one whose log goes elsewhere.
func TestTerminalCloses(t *testing.T) {
	t.Parallel()
	scripttest.Hangups()
	for _, test := range []struct {
		name, command string
		stops         bool
	}{
		{"on the terminal", "exec gcd serve", true},
		{"as nohup starts it", "trap '' HUP; exec gcd serve", false},
		{"with a log file", `exec 2>"$0/log"; exec gcd serve`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			terminal, dir := scripttest.NewTerminal(t), t.TempDir()
			s := &stuckServer{t: t}
			cmd := exec.Command("sh", "-c", test.command+` --data "$0/data" --tcp 127.0.0.1:0 --udp ''`, dir)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal.File, terminal.File, terminal.File
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			s.run(cmd)
			terminal.Hangup() // the system sends SIGHUP to who leads the session
			if !test.stops {

				s.told("RELOADING=1")
				s.told("READY=1")
				s.signal(syscall.SIGTERM)
			}
			s.told("STOPPING=1")
			s.ends(cmdline.ExitOK)
		})
	}
}

// TestHangupAndTerm: who closes a terminal may send both, and that is one stop.
func TestHangupAndTerm(t *testing.T) {
	t.Parallel()
	terminal := scripttest.NewTerminal(t)
	s := &stuckServer{t: t}
	cmd := exec.Command("gcd", "serve", "--data", t.TempDir(), "--tcp", "127.0.0.1:0", "--udp", "")
	cmd.Stderr = terminal.File
	s.run(cmd)
	s.signal(syscall.SIGHUP)
	s.signal(syscall.SIGTERM)
	s.ends(cmdline.ExitOK)
	terminal.Close()
	if shown := terminal.Shown(); !strings.Contains(shown, "shutting down: signal=") ||
		!strings.Contains(shown, "stopped: ") {
		t.Errorf("it says %q", shown)
	}
}

// TestHangupOfAStart: a start that is asked to reload goes on.
func TestHangupOfAStart(t *testing.T) {
	t.Parallel()
	p := runVictim(t, exec.Command("gcd", victimArgs(t.TempDir(), "pool")...))
	for range 2 { // from its first line on
		select {
		case <-p.lines:
		case <-time.After(hang):
			t.Fatal("the server says nothing")
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	p.waitServing(t)
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(hang):
		t.Fatal("the server does not end")
	}
	if p.err != nil || !strings.Contains(p.output(), "reloaded: ") {
		t.Errorf("the start that was told to reload ended with %v\n%s", p.err, p.output())
	}
}

// TestHangupOfAWaitingStart: neither does a reload end a start that waits for a directory, which a
// tool has for a moment, and the start goes on when the tool has ended.
func TestHangupOfAWaitingStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "gcd", "init", dir).CombinedOutput(); err != nil {
		t.Fatalf("gcd init failed: %v\n%s", err, out)
	}
	held, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	p := runVictim(t, exec.Command("gcd", append(victimArgs(dir, "pool"), "--lock-wait", "1h")...))
	says := func(text string) {
		t.Helper()
		for end := time.After(hang); !strings.Contains(p.output(), text); {
			select {
			case <-p.lines:
			case <-p.exited:
				t.Fatalf("it has ended: %v\n%s", p.err, p.output())
			case <-end:
				t.Fatalf("it does not say %q:\n%s", text, p.output())
			}
		}
	}
	says("waiting until it has ended")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	says("reloaded: ")
	if err := unix.Flock(int(held.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	p.waitServing(t)
	p.kill(t)
}
