package main

import (
	"bufio"
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

func TestReadRedisBenchmark(t *testing.T) {
	t.Parallel()
	const header = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms",` +
		`"p95_latency_ms","p99_latency_ms","max_latency_ms"` + "\n"
	got, err := readRedisBenchmark("WARNING: Could not fetch server CONFIG\n" + header +
		`"INCR","66445.19","0.605","0.104","0.527","1.039","1.439","10.391"` + "\n")
	want := values{rate: 66445.19, p50: 0.000527, p99: 0.001439}
	if err != nil || !maps.Equal(got.values, want) {
		t.Errorf("%+v, %v, want %v", got, err, want)
	}
	for _, text := range []string{
		"", "ERR\n", header, header + `"INCR","0","0","0","0","0","0","0"`,
		header + `"INCR","many","0","0","0","0","0","0"`, "\"test\",\"rps\"\n\"INCR\",\"7\"\n",
	} {
		if got, err := readRedisBenchmark(text); err == nil {
			t.Errorf("%q was read as %+v, want an error", text, got)
		}
	}
}

func TestReadPgbench(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := readPgbench(dir); err == nil {
		t.Error("no log was read")
	}
	// Client, transaction, microseconds, script, end in seconds and microseconds.
	for name, text := range map[string]string{
		"pgbench_log.1":   "0 1 1000 0 1700000000 500000\n1 1 2000 0 1700000001 0\n",
		"pgbench_log.1.1": "2 1 3000 0 1700000002 499000\n3 1 failed 0 1700000003 0\n\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readPgbench(dir)
	if err != nil || got.answers != 3 || digits(got.values[rate]) != "1.50" ||
		math.Abs(got.values[p50]-0.002) > 5e-6 {
		t.Errorf("pgbench's log was read as %+v, %v, want 3 answers, 1.5 a second, half within 2 ms", got, err)
	}
}

func TestMountOf(t *testing.T) {
	t.Parallel()
	mounts := []*procfs.MountInfo{
		{Source: "/dev/a", MountPoint: "/", FSType: "ext4"},
		{Source: "tmpfs", MountPoint: "/tmp", FSType: "tmpfs"},
		{Source: "/dev/b", MountPoint: "/tmp/data", FSType: "xfs"},
		{Source: "/dev/c", MountPoint: "/tmp/data", FSType: "btrfs"},
	}
	for dir, want := range map[string]string{
		"/": "ext4 /dev/a", "/tmpfoo": "ext4 /dev/a", "/tmp": "tmpfs tmpfs", "/tmp/data/x": "btrfs /dev/c",
	} {
		if m := mountOf(mounts, dir); m.FSType+" "+m.Source != want {
			t.Errorf("%s: %s on %s, want %s", dir, m.FSType, m.Source, want)
		}
	}
	if m := mountOf(nil, "/"); m.FSType != "unknown" {
		t.Errorf("without mounts: %+v", m)
	}
}

func TestDescribeDisk(t *testing.T) {
	t.Parallel()
	text, _, err := describeDisk(t.TempDir())
	if err != nil || !strings.Contains(text, " on ") || strings.Contains(text, "unknown") {
		t.Errorf("the disk is described as %q, %v, want what it is on", text, err)
	}
	if _, err := os.Stat("/dev/shm"); err == nil {
		if text, tmpfs, err := describeDisk("/dev/shm"); err != nil || !tmpfs {
			t.Errorf("/dev/shm is %q, tmpfs %t, %v", text, tmpfs, err)
		}
	}
}

// TestAccounting looks at this process and at a child.
func TestAccounting(t *testing.T) {
	t.Parallel()
	status, err := memoryOf(os.Getpid())
	if err != nil || status.VmRSS < 1<<20 || status.RssAnon < 1<<16 || status.RssAnon > status.VmRSS {
		t.Errorf("%d bytes, %d of no file, %v", status.VmRSS, status.RssAnon, err)
	}
	child := exec.Command("sh", "-c", "read line")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, pid := range children(os.Getpid()) {
		found = found || pid == child.Process.Pid
	}
	if !found {
		t.Errorf("%d is not among the children %v", child.Process.Pid, children(os.Getpid()))
	}
	if _, err := cpuTime(child.Process.Pid); err != nil {
		t.Error(err)
	}
	stdin.Close()
	_ = child.Wait() // it ends with an error, having read nothing
	if _, err := cpuTime(child.Process.Pid); !hasEnded(err) {
		t.Errorf("the time of a process that is gone: %v", err)
	}
	if _, err := memoryOf(child.Process.Pid); !hasEnded(err) {
		t.Errorf("the memory of a process that is gone: %v", err)
	}

	// A loop of a few ticks is seen.
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, time.Minute)
	for after := before; after < before+2*time.Second/ticksPerSecond && ctx.Err() == nil; {
		for range 1_000_000 {
			rand.Uint64()
		}
		if after, err = cpuTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1234), 0o600); err != nil {
		t.Fatal(err)
	}
	if size, err := treeSize(dir); err != nil || size != 1234 {
		t.Errorf("%d bytes in the directory, %v", size, err)
	}
}

// TestTimeOfChildren: a server is charged with the time of its children, those that have ended too.
func TestTimeOfChildren(t *testing.T) {
	runtime.LockOSThread() // see startProcess
	const work = `i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done`
	for name, script := range map[string]string{
		"has ended": "sh -c '" + work + "'; echo worked; exec sleep 3600",
		"goes on":   "sh -c '" + work + "; echo worked; exec sleep 3600'; exit 1",
	} {
		p, err := startProcess("/bin/sh", []string{"-c", script}, processOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.kill()
		if _, err := p.await(within(t, time.Minute), "worked"); err != nil {
			t.Fatal(err)
		}
		if used, err := cpuTime(p.command.Process.Pid); err != nil || used < 2*time.Second/ticksPerSecond {
			t.Errorf("%v of a child that %s, %v", used, name, err)
		}
	}
}

// TestProcess: what a process says is found, whether it was said before or comes later, and how it
// ends is told.
func TestProcess(t *testing.T) {
	runtime.LockOSThread()
	ctx := within(t, time.Minute)
	sh, err := find("sh")
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(sh, []string{"-c", "echo one 1; read line; echo two 2"}, processOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{`one (\d)`, `two (\d)`, `one (\d)`} {
		if said, err := p.await(ctx, pattern); err != nil || len(said) != 2 {
			t.Errorf("waiting for %s: %q, %v, want what the process has said at some time", pattern, said, err)
		}
	}
	if _, err := p.await(ctx, "three"); err == nil || !strings.Contains(err.Error(), "it ended:\none 1\ntwo 2") {
		t.Errorf("of an ended process: %v", err)
	}
	if err := p.awaitAnswer(ctx, func() error { return errors.New("nobody") }); err == nil {
		t.Error("an ended process answered")
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

// TestCloseAll: what nobody closed is ended, and its directory removed.
func TestCloseAll(t *testing.T) {
	runtime.LockOSThread()
	b := newBench(t)
	var all []*instance
	for range 3 {
		dir, err := b.newDir("of a server")
		if err != nil {
			t.Fatal(err)
		}
		p, err := startProcess("/bin/sh", []string{"-c", "exec sleep 3600"}, processOptions{dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.adopt(&instance{name: "sh", process: p, dir: dir}))
	}
	if err := all[1].close(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(b.closeAll(), b.closeAll()); err != nil {
		t.Error(err)
	}
	for _, in := range all {
		select {
		case <-in.process.ended:
		default:
			t.Errorf("process %d goes on", in.pid())
		}
	}
	if _, err := os.Stat(b.root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

func TestRedisCommand(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			var lines [5]string // of "*2 $3 GET $… word"
			for i := range lines {
				lines[i], _ = in.ReadString('\n')
			}
			answer := strings.NewReplacer("_", "\r\n").Replace(strings.TrimSpace(lines[4]))
			conn.Write([]byte(answer))
			conn.Close()
		}
	}()
	defer func() {
		listener.Close()
		<-done
	}()
	for word, want := range map[string]string{"+PONG_": "PONG", "$5_10001_": "10001", "$0__": ""} {
		if got, err := redisCommand(listener.Addr().String(), "GET", word); err != nil || got != want {
			t.Errorf("the answer %q was read as %q, %v, want %q", word, got, err, want)
		}
	}
	for _, word := range []string{"-LOADING_", "$-1_", "$x_", "$5_1", "_", "x"} {
		if got, err := redisCommand(listener.Addr().String(), "GET", word); err == nil {
			t.Errorf("the answer %q was read as %q, want an error", word, got)
		}
	}
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	ctx := within(t, time.Minute)
	got, err := closedLoop(ctx, 4, 5*time.Millisecond, func(int, *rand.Rand) error {
		calls.Add(1)
		return nil
	})
	if err != nil || got.answers == 0 || got.answers != uint64(calls.Load()) || got.values[rate] <= 0 {
		t.Errorf("%+v, %v, %d calls", got, err, calls.Load())
	}
	broken := errors.New("broken")
	if _, err := closedLoop(ctx, 4, time.Hour, func(client int, _ *rand.Rand) error {
		if client == 2 {
			return broken
		}
		return nil
	}); !errors.Is(err, broken) {
		t.Errorf("%v, want the client's error", err)
	}
	ended, end := context.WithCancel(ctx)
	end()
	none := func(int, *rand.Rand) error { return nil }
	if _, err := closedLoop(ended, 1, time.Hour, none); !errors.Is(err, context.Canceled) {
		t.Errorf("%v after an interrupt", err)
	}
}

func TestBareLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, err := newBareLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := log.appendAndSync(within(t, time.Minute), 20*time.Millisecond)
	v := got.values
	if err != nil || got.answers == 0 || digits(v[mean]*v[rate]) != "1.00" || v[p50] <= 0 || v[p50] > v[p99] {
		t.Errorf("the bare log measured %+v, %v, want a mean that is one divided by the rate", got, err)
	}
	if err := log.close(); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("%v is left", entries)
	}
}

// TestUsed runs commands and looks at what they took.
func TestUsed(t *testing.T) {
	runtime.LockOSThread() // see startProcess
	b := newBench(t)
	made := filepath.Join(t.TempDir(), "made")
	const hold = `x=$(head -c 20000000 /dev/zero | tr '\0' x); sleep 0.1; echo ${#x} > ` // in the shell's memory
	v, err := b.used("/bin/sh", []string{"-c", hold + made}, nil)
	most := v[took] * float64(runtime.NumCPU())
	if err != nil || v[took] < 0.1 || v[anonymous] < 20_000_000 || v[busy] <= 0 || v[busy] > most {
		t.Errorf("the process used %+v, %v, want a tenth of a second, 20 MB, and some processor time", v, err)
	}
	j := &job{what: "a copy", path: "/bin/sh", args: []string{"-c", "touch " + made}, makes: made, goal: 1e6, memory: 1}
	var out table
	err = b.runJobs(&out, 1000, []*job{j})
	if row := rows(out.String()); err != nil || len(row) != 1 ||
		!strings.Contains(row[0][4], "≥ 1e+06") || !strings.Contains(row[0][6], "≤ 1") {
		t.Errorf("the row is %q, %v, want one with both goals", row, err)
	}
	if results, _ := readRaw(t, b.raw); len(results["Tools/topics=1000/by=a-copy"]) != 2 {
		t.Errorf("recorded: %v", results)
	}
	if _, err := os.Stat(made); !os.IsNotExist(err) {
		t.Errorf("what it made is left: %v", err)
	}
	_, err = b.used("/bin/sh", []string{"-c", "echo no such thing; exit 3"}, nil)
	if err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("a command that failed: %v", err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	b.ctx = ctx
	if _, err := b.used("/bin/sleep", []string{"60"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupt: %v", err)
	}
}
