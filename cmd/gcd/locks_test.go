package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcd/client"
	"gcd/internal/dirlock"
	"gcd/internal/scripttest"
	"gcd/store"
	"gcd/store/core"
)

// lockRounds is how often each of what follows is done: GCD_LOCK_ROUNDS, by default 2.
func lockRounds() int {
	if rounds, _ := strconv.Atoi(os.Getenv("GCD_LOCK_ROUNDS")); rounds > 0 {
		return rounds
	}
	return 2
}

// programs are the two that work on directories.
type programs struct{ server, tool string }

func in(dir string) programs {
	suffix := ""
	if runtime.GOOS == "windows" {
		suffix = ".exe"
	}
	return programs{filepath.Join(dir, "gcd"+suffix), filepath.Join(dir, "gcd-tool"+suffix)}
}

func buildPrograms(t *testing.T) programs {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a directory cannot be locked here")
	}
	dir := t.TempDir()
	scripttest.Build(t, dir, ".", "../gcd-tool")
	return in(dir)
}

// ends runs a command to its end, and checks its exit code.
func ends(t *testing.T, code int, binary string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, args...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil || c.ProcessState.ExitCode() != code {
		t.Errorf("%s %q ended with %v, want code %d:\n%s", filepath.Base(binary), args, err, code, out)
	}
}

// serving starts a server, which may wait for a tool first.
func (p programs) serving(t *testing.T, dir string) *victim {
	t.Helper()
	v := startVictim(t, p.server, dir, "goroutine")
	v.waitServing(t)
	return v
}

// wantCount counts a topic of the server and compares its sum.
func (p *victim) wantCount(t *testing.T, topic string, want uint64) {
	t.Helper()
	c, err := client.New(p.tcp, client.Options{Network: "tcp"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if sum, err := c.Count(t.Context(), topic); sum != want || err != nil {
		t.Errorf("%s counts on to %d, %v; want %d\n%s", topic, sum, err, want, p.output())
	}
}

// stop ends the server in a planned way.
func (p *victim) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	select {
	case <-p.exited:
		if p.err != nil {
			t.Errorf("it ended with %v\n%s", p.err, p.output())
		}
	case <-time.After(hang):
		t.Fatal("it does not stop")
	}
}

// storeAndDump writes a dump of a store that has some topics at 1, and gives the store's directory
// too.
func storeAndDump(t *testing.T, p programs, topics int) (dir, dump string) {
	t.Helper()
	parent := t.TempDir()
	dir, dump = filepath.Join(parent, "data"), filepath.Join(parent, "dump")
	s, err := store.Open(dir, store.Options{SnapshotInterval: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for left := topics; left > 0; left -= 1000 {
		g := &core.Group{Ops: make([]core.Op, min(left, 1000))}
		for i := range g.Ops {
			g.Ops[i] = core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "topic-%d", left-i)}
		}
		done := make(chan struct{})
		g.Done = func(*core.Group) { close(done) }
		s.Submit(g)
		receive(t, "a commit", done)
	}
	if err := errors.Join(s.Snapshot(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	ends(t, 0, p.tool, "dump", "--quiet", "--format", "ndjson", "--output", dump, dir)
	return dir, dump
}

// TestLockFileGone: LOCK is removed or replaced beside a running server, and no second one, and no
// tool that writes, gets in.
func TestLockFileGone(t *testing.T) {
	t.Parallel()
	p := buildPrograms(t)
	_, dump := storeAndDump(t, p, 10)
	for round := range lockRounds() {
		dir := filepath.Join(t.TempDir(), "data")
		a := p.serving(t, dir)
		a.wantCount(t, "orders", 1)
		lock := store.LockPath(dir)
		err := os.Remove(lock)
		if round%2 == 1 { // as rsync does
			err = errors.Join(os.WriteFile(lock+".new", nil, 0o600), os.Rename(lock+".new", lock))
		}
		if err != nil {
			t.Fatal(err)
		}
		ends(t, 8, p.server, victimArgs(dir, "goroutine")...)
		ends(t, 8, p.tool, "restore", "--force", dump, dir)
		ends(t, 8, p.tool, "compact", dir)
		ends(t, 8, p.tool, "repair", "--accept-loss", dir)
		ends(t, 0, p.server, "init", dir)
		ends(t, 0, p.tool, "dump", "--quiet", dir)
		a.wantCount(t, "orders", 2)
		a.stop(t)
		if t.Failed() {
			t.Fatalf("failed in round %d", round)
		}
	}
	t.Logf("%d rounds", lockRounds())
}

// TestStartBesideRestore: a start that waits while the directory is exchanged serves the new one.
func TestStartBesideRestore(t *testing.T) {
	t.Parallel()
	p := buildPrograms(t)
	_, dump := storeAndDump(t, p, 20_000)
	waited := 0
	for round := 0; waited < lockRounds(); round++ {
		if round > 10+3*lockRounds() {
			t.Fatalf("only %d of %d starts waited", waited, round)
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "data")
		old := p.serving(t, dir)
		old.wantCount(t, "topic-7", 1)
		old.wantCount(t, "old", 1)
		old.stop(t)
		before := treeOf(t, dir)

		var said bytes.Buffer
		restore := exec.CommandContext(t.Context(), p.tool, "restore", "--force", "--advance", "1000", dump, dir)
		restore.Stderr = &said
		if err := restore.Start(); err != nil {
			t.Fatal(err)
		}
		for { // it has the lock when it builds
			if built, _ := filepath.Glob(dir + ".restore-*"); len(built) > 0 {
				break
			}
			if restored, _ := filepath.Glob(dir + ".before-restore-*"); len(restored) > 0 {
				break
			}
			if t.Context().Err() != nil {
				t.Fatal("it never began")
			}
			runtime.Gosched()
		}
		b := p.serving(t, dir)
		if strings.Contains(b.output(), "a gcd-tool has the directory") {
			waited++
		}
		if err := restore.Wait(); err != nil {
			t.Fatalf("the restore failed: %v: %s", err, said.Bytes())
		}
		b.wantCount(t, "topic-7", 1002)
		b.wantCount(t, "old", 1)
		b.stop(t)
		aside, err := filepath.Glob(dir + ".before-restore-*")
		if err != nil || len(aside) != 1 {
			t.Fatalf("aside is %q, %v, want one directory", aside, err)
		}
		if now := treeOf(t, aside[0]); now != before {
			t.Errorf("what was put aside was changed:\n%s\nbecame\n%s", before, now)
		}
		if t.Failed() {
			t.Fatalf("failed in round %d", round)
		}
	}
	t.Logf("%d starts waited", waited)
}

// treeOf is what there is below a directory, in words: names, sizes, and a sum of the bytes.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		bytes, err := os.ReadFile(path)
		sum := uint64(14695981039346656037)
		for _, x := range bytes {
			sum = (sum ^ uint64(x)) * 1099511628211
		}
		name, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&b, "%s %d %x\n", name, len(bytes), sum)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestStartBesideDump: a start up to 200 ms after a tool that only reads comes up.
func TestStartBesideDump(t *testing.T) {
	t.Parallel()
	p := buildPrograms(t)
	dir, _ := storeAndDump(t, p, 30_000)
	for round := range lockRounds() {
		reads := [][]string{{"dump", "--quiet", dir}, {"verify", "--quiet", dir}, {"history", "topic-7", dir},
			{"inspect", dir}}[round%4]
		read := exec.CommandContext(t.Context(), p.tool, reads...)
		var said bytes.Buffer
		read.Stderr = &said
		if err := read.Start(); err != nil {
			t.Fatal(err)
		}
		// The fault to be injected is a start at any moment of the reading.
		time.Sleep(time.Duration(rand.Int64N(int64(200 * time.Millisecond))))
		s := p.serving(t, dir)
		s.wantCount(t, "rounds", uint64(round+1))
		s.stop(t)
		if err := read.Wait(); err != nil {
			t.Errorf("%q failed beside a start: %v\n%s", reads, err, said.Bytes())
		}
		if t.Failed() {
			t.Fatalf("failed in round %d", round)
		}
	}
}

// TestToolIsWaitedFor: what finds a tool in the directory waits for it and then ends with 1, which
// a unit tries again; what only reads does not wait.
func TestToolIsWaitedFor(t *testing.T) {
	t.Parallel()
	p := buildPrograms(t)
	dir, dump := storeAndDump(t, p, 10)
	tool, err := dirlock.Own(t.Context(), dir, dirlock.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wait := []string{"--lock-wait", "10ms"}
	ends(t, 1, p.server, append(victimArgs(dir, "goroutine"), wait...)...)
	ends(t, 1, p.server, "init", "--lock-wait", "0", dir)
	ends(t, 1, p.tool, append([]string{"compact", dir}, wait...)...)
	ends(t, 1, p.tool, append([]string{"repair", "--accept-loss", dir}, wait...)...)
	ends(t, 1, p.tool, append([]string{"restore", "--force", dump, dir}, wait...)...)
	ends(t, 0, p.tool, "dump", "--quiet", dir)
	if err := tool.Release(); err != nil {
		t.Fatal(err)
	}
	s := p.serving(t, dir)
	s.stop(t)
}

// TestLocksBesideOlder holds this version against an older one, in both ways: GCD_LOCK_OLDER names
// the directory with its two programs.
func TestLocksBesideOlder(t *testing.T) {
	t.Parallel()
	older := os.Getenv("GCD_LOCK_OLDER")
	if older == "" {
		t.Skip("GCD_LOCK_OLDER names no directory with an older gcd and gcd-tool")
	}
	p := buildPrograms(t)
	_, dump := storeAndDump(t, p, 10)
	for _, pair := range []struct {
		name          string
		first, second programs
	}{{"an older server first", in(older), p}, {"a newer server first", p, in(older)}} {
		for range lockRounds() {
			dir := filepath.Join(t.TempDir(), "data")
			a := pair.first.serving(t, dir)
			a.wantCount(t, "orders", 1)
			ends(t, 8, pair.second.server, victimArgs(dir, "goroutine")...)
			ends(t, 8, pair.second.tool, "restore", "--force", dump, dir)
			ends(t, 8, pair.second.tool, "compact", dir)
			ends(t, 8, pair.second.tool, "repair", "--accept-loss", dir)
			ends(t, 0, pair.second.tool, "dump", "--quiet", dir)
			ends(t, 0, pair.second.tool, "verify", "--quiet", dir)
			a.wantCount(t, "orders", 2)
			a.stop(t)
			b := pair.second.serving(t, dir) // and each goes on where the other stopped
			b.wantCount(t, "orders", 3)
			b.stop(t)
			a = pair.first.serving(t, dir)
			a.wantCount(t, "orders", 4)
			a.stop(t)
			if t.Failed() {
				t.Fatalf("that was the pair %s", pair.name)
			}
		}
	}
}
