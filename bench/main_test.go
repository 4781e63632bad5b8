package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// within is the test's context with a deadline, so that nothing that it waits for hangs it.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, fmt.Errorf("%s is not done within %v", t.Name(), d))
	t.Cleanup(func() {
		if err := context.Cause(ctx); ctx.Err() == context.DeadlineExceeded {
			t.Error(err)
		}
		cancel()
	})
	return ctx
}

// newBench returns a bench that has nothing started.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{ctx: within(t, time.Minute), root: filepath.Join(t.TempDir(), "root"), log: t.Output()}
	raw := filepath.Join(t.TempDir(), "raw.txt")
	b.settings = settings{rounds: 2, time: 10 * time.Millisecond, quick: true, raw: raw}
	err := os.Mkdir(b.root, 0o700)
	if err == nil {
		b.results, err = createRaw(b.raw, "a test", [][2]string{{"cpu", "a processor"}, {"disk", "a disk"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.results.file.Close() })
	return b
}

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == bareCommand { // a bare server, which the tests start from their own binary
		runtime.LockOSThread()
		fmt.Fprintln(os.Stderr, serveBare(os.Args[2]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestSmoke runs a group from the command line to the page: servers are started, loaded, measured
// and gone.
func TestSmoke(t *testing.T) {
	runtime.LockOSThread() // see startProcess; for good, since the thread's end must come after its children's
	dir, raw := t.TempDir(), filepath.Join(t.TempDir(), "raw.txt")
	var stdout, stderr bytes.Buffer
	args := []string{"--quick", "--only", "udp", "--dir", dir, "--raw", raw}
	if code := runMain(within(t, 3*time.Minute), args, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, stderr.String())
	}
	for _, want := range []string{
		`## machine\n\n\|`, `\| processors \| \d+ × `, `\| bare append of 64 bytes and fdatasync \| p50 \d`,
		`## udp\n`, `\| N \| gcd \| R \| S µs \|`, `\| 1 \| [\d.]+( k| M)? \| `, `\| 256 \| [\d.]+( k| M)? \| `,
		`A smoke run`, `gcd serve --data DIR --tcp 127.0.0.1:0`,
	} {
		if !regexp.MustCompile(want).MatchString(stdout.String()) {
			t.Errorf("nothing like %q in\n%s", want, stdout.String())
		}
	}
	nothingLeft(t, dir)
	results, _ := readRaw(t, raw)
	for _, clients := range []int{1, 8, 64, 256} {
		for by, units := range map[string][]string{"gcd": {rate, cpu, lost, p50, p99}, "disk": {rate, mean, p50, p99}} {
			name := fmt.Sprintf("UDP/clients=%d/by=%s", clients, by)
			slices.Sort(units)
			if got := results[name]; len(got) != 1 || !slices.Equal(slices.Sorted(maps.Keys(got[0])), units) {
				t.Errorf("%s: the runs have %v, want one with %q", name, got, units)
			}
		}
	}
}

// cancelWriter ends a context when something is written that contains a text.
type cancelWriter struct {
	bytes.Buffer
	text   string
	cancel context.CancelFunc
}

func (w *cancelWriter) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(w.Buffer.String(), w.text) {
		w.cancel()
	}
	return n, err
}

// TestInterrupt: an interrupt ends what was started, and removes what was made.
func TestInterrupt(t *testing.T) {
	runtime.LockOSThread()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(within(t, 3*time.Minute))
	defer cancel()
	var stdout bytes.Buffer
	stderr := &cancelWriter{text: "UDP/clients=1: gcd", cancel: cancel}
	args := []string{"--quick", "--only", "udp,growth", "--dir", dir, "--raw", filepath.Join(t.TempDir(), "raw.txt")}
	if code := runMain(ctx, args, &stdout, stderr); code != 130 {
		t.Errorf("exit code %d:\n%s", code, stderr.String())
	}
	if strings.Contains(stdout.String(), "## udp") {
		t.Errorf("published half a result:\n%s", stdout.String())
	}
	nothingLeft(t, dir)
}

func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	for _, pid := range children(os.Getpid()) {
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		t.Errorf("process %d is left: %q", pid, command)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("%s is left", entry.Name())
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args string
		code int
		text string
	}{
		{"--help", 0, "snapshot  counting while"},
		{"--only resp,nothing", exitUsage, `no group "nothing"; there are resp, tcp`},
		{"--rounds 0", exitUsage, "--rounds is 0"},
		{"--threads 0", exitUsage, "--threads is 0"},
		{"--time 1ns", exitUsage, "--time is 1ns"},
		{"resp", exitUsage, `what is "resp"?`},
		{"--frobnicate", exitUsage, "not defined"},
		{"--only versions", exitUsage, "--against"},
		{"--dir /nowhere/at/all --only udp", 1, "no such file"},
	} {
		var stdout, stderr bytes.Buffer
		code := runMain(within(t, time.Minute), strings.Fields(test.args), &stdout, &stderr)
		if code != test.code || !strings.Contains(stderr.String(), test.text) || stdout.Len() > 0 {
			t.Errorf("%s: exit code %d, %s%s", test.args, code, stdout.String(), stderr.String())
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	all, err := choose("")
	if err != nil || len(all) != len(groups())-1 || slices.ContainsFunc(all, func(g group) bool { return g.named }) {
		t.Errorf("%d groups, %v", len(all), err)
	}
	some, err := choose("udp, resp")
	if err != nil || len(some) != 2 || some[0].name != "udp" || some[1].name != "resp" {
		t.Errorf("chosen were %v, %v, want udp and resp", some, err)
	}
}

// TestGoals holds what is wanted, as the project set it out.
func TestGoals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		clients int
		many    bool
		want    [3]float64 // pipeline 1, 16, 128
	}{
		{64, false, [3]float64{1.3, 2.5, 5}},
		{64, true, [3]float64{1.5, 2.2, 2.2}},
		{1, false, [3]float64{1.1, 1.5, 2}}, {8, false, [3]float64{1.1, 1.5, 2}}, {256, true, [3]float64{1.1, 1.5, 2}},
	} {
		for i, pipeline := range []int{1, 16, 128} {
			if got := respGoal(test.clients, pipeline, test.many); got != test.want[i] {
				t.Errorf("%d connections, pipeline %d, many topics %t: %v, want %v",
					test.clients, pipeline, test.many, got, test.want[i])
			}
		}
	}
}
