package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/internal/cmdline"
)

// TestInterrupted: each long command that is interrupted says so and nothing else, with exit code
// 130, and leaves no file that is not whole.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir, dump := filepath.Join(base, "data"), filepath.Join(base, "dump")
	writeDump(t, dump, 40_000)
	table := filepath.Join(t.TempDir(), "table.csv")
	if err := os.WriteFile(table, []byte("orders,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := runTool(t, "restore", "--quiet", dump, dir); code != cmdline.ExitOK {
		t.Fatal(stderr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	absent := filepath.Join(base, "new")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"dump", dir}, ""},
		{[]string{"dump", "--output", absent, dir}, ": " + absent + " is as it was"},
		{[]string{"verify", dir}, ""},
		{[]string{"restore", dump, absent}, ": " + absent + " is as it was"},
		{[]string{"import", table, absent}, ": " + absent + " is as it was"},
		{[]string{"compact", dir}, ""},
	} {
		var stdout, stderr bytes.Buffer
		code := run(ctx, append([]string{"gcd-tool"}, test.args...), &stdout, &stderr)
		if want := "gcd-tool: interrupted" + test.want + "\n"; code != cmdline.ExitInterrupted ||
			stderr.String() != want {
			t.Errorf("%q: code %d, %q, want %q", test.args, code, stderr.String(), want)
		}
	}
	left, err := os.ReadDir(base)
	if err != nil || len(left) != 2 {
		t.Errorf("%v is there, %v", left, err)
	}
}

// TestInterruptedWhileNobodyReads: an interruption ends each command that waits for whoever reads
// what it writes.
func TestInterruptedWhileNobodyReads(t *testing.T) {
	t.Parallel()
	dir := restoredDir(t, 10)
	for _, args := range [][]string{
		{"dump", "--format", "ndjson", dir},
		{"dump", "--format", "table", dir},
		{"dump", "--wal", dir},
		{"inspect", dir},
		{"verify", dir},
		{"history", "dumped-00000001", dir},
		{"repair", dir},
		{"help"},
		{"dump", "--help"},
		{"version"},
		{"completion", "bash"},
	} {
		t.Run(strings.Join(args[:min(2, len(args))], " "), func(t *testing.T) {
			t.Parallel()
			if code := interruptStuck(t, args); code != cmdline.ExitInterrupted {
				t.Errorf("it ended with %d, want %d", code, cmdline.ExitInterrupted)
			}
		})
	}
}

// interruptStuck runs a command line whose output nobody reads, and interrupts it when it writes
// something.
func interruptStuck(t *testing.T, args []string) (code int) {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	stdout := &stuck{writing: make(chan struct{}), end: t.Context().Done()}
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, append([]string{"gcd-tool"}, args...), stdout, io.Discard) }()
	select {
	case <-stdout.writing:
	case code := <-ended:
		t.Fatalf("it ended with %d before it wrote anything", code)
	case <-time.After(hang):
		t.Fatal("it writes nothing")
	}
	interrupt()
	select {
	case code := <-ended:
		return code
	case <-time.After(hang):
		t.Fatal("it does not end")
	}
	return 0
}

// stuck is a writer that nobody reads, until end.
type stuck struct {
	once    sync.Once
	writing chan struct{} // closed with the first Write
	end     <-chan struct{}
}

func (s *stuck) Write([]byte) (int, error) {
	s.once.Do(func() { close(s.writing) })
	<-s.end
	return 0, io.ErrClosedPipe
}

// TestSignal: the signal of Ctrl-C interrupts the real program.
func TestSignal(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals to send")
	}
	dir := restoredDir(t, 100_000)
	tool := command(t, "gcd-tool", "dump", dir) // TestMain has put it there
	var stderr bytes.Buffer
	tool.Stderr = &stderr
	stdout, err := tool.StdoutPipe()
	if err == nil {
		err = tool.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stdout)
	if _, err := r.ReadString('\n'); err != nil { // it is at work, with far more to write than a pipe takes
		t.Error(err)
	}
	err = tool.Process.Signal(os.Interrupt)
	if _, readErr := io.Copy(io.Discard, r); err != nil || readErr != nil {
		t.Error(err, readErr)
	}
	_ = tool.Wait()
	if code := tool.ProcessState.ExitCode(); code != cmdline.ExitInterrupted ||
		stderr.String() != "gcd-tool: interrupted\n" {
		t.Errorf("code %d, %q", code, stderr.String())
	}
}

// TestSignalWhileNobodyWrites: an import whose table does not come is interrupted all the same, and
// leaves nothing.
func TestSignalWhileNobodyWrites(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals to send")
	}
	base := t.TempDir()
	tool := command(t, "gcd-tool", "import", "-", filepath.Join(base, "data"))
	var stderr bytes.Buffer
	tool.Stderr = &stderr
	table, err := tool.StdinPipe()
	if err == nil {
		err = tool.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Write(bytes.Repeat([]byte("bad\n"),
		100_000)); err != nil { // far more than a pipe takes: it is at work
		t.Error(err)
	}
	if err := tool.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	_ = tool.Wait() // how it ended is in ProcessState
	if code := tool.ProcessState.ExitCode(); code != cmdline.ExitInterrupted ||
		stderr.String() != "gcd-tool: interrupted: "+filepath.Join(base, "data")+" is as it was\n" {
		t.Errorf("code %d, %q", code, stderr.String())
	}
	if left, err := os.ReadDir(base); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
