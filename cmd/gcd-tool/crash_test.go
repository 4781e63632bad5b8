package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
	"gcd/store"
	"gcd/store/core"
	"gcd/wal"
)

// kills is how often each command is killed before its end: GCD_CRASH_ROUNDS, by default 5.
func kills() int {
	if rounds, _ := strconv.Atoi(os.Getenv("GCD_CRASH_ROUNDS")); rounds > 0 {
		return rounds
	}
	return 5
}

// killer runs a command of the real program and kills it at a random moment of the time that it
// takes.
type killer struct {
	binary string
	rand   *rand.Rand
	takes  time.Duration // the whole command, the last time
	rounds int
	killed int // of them: the others came to their end before
}

// more begins a round, unless the command was killed often enough.
func (k *killer) more(t *testing.T) bool {
	t.Helper()
	if k.killed == kills() {
		t.Logf("%d killed in %d rounds", k.killed, k.rounds)
		return false
	}
	if k.rounds++; k.rounds > 20+5*kills() { // a mistake has made it a test of nothing
		t.Fatalf("only %d of %d rounds killed it before its end", k.killed, k.rounds-1)
	}
	return true
}

// whole runs the command to its end.
func (k *killer) whole(t *testing.T, args ...string) {
	t.Helper()
	began := time.Now()
	if out, err := command(t, k.binary, args...).CombinedOutput(); err != nil {
		t.Fatalf("%q failed: %v\n%s", args, err, out)
	}
	k.takes = time.Since(began)
}

// kill runs the command and kills it somewhere, perhaps after its end.
func (k *killer) kill(t *testing.T, args ...string) {
	t.Helper()
	var out bytes.Buffer
	tool := command(t, k.binary, args...)
	tool.Stdout, tool.Stderr = &out, &out
	if err := tool.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	timer := time.AfterFunc(time.Duration(k.rand.Int64N(int64(k.takes)+1)), func() { _ = tool.Process.Kill() })
	err := tool.Wait()
	timer.Stop()
	if tool.ProcessState.ExitCode() > 0 {
		t.Fatalf("%q was not killed but failed: %v\n%s", args, err, out.Bytes())
	}
	if err != nil {
		k.killed++
	} else {
		k.takes = time.Since(began) // it came to its end, so this is what it takes now
	}
}

func openDir(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, store.Options{SegmentSize: 64 << 10, SnapshotInterval: -1, SnapshotBytes: -1,
		Retain: store.Retain{Bytes: 1 << 30}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// countMany counts n topics, a thousand a batch.
func countMany(t *testing.T, s *store.Store, n int) {
	t.Helper()
	for i := 0; i < n; i += 1000 {
		ops := make([]core.Op, 1000)
		for j := range ops {
			ops[j] = core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "topic-%d", (i+j)*7919%n)}
		}
		submit(t.Fatalf, s, ops...)
	}
}

func counters(s *store.Store) map[string]core.Value {
	all := map[string]core.Value{}
	for cursor := uint64(0); ; {
		if cursor = s.Scan(cursor, 1000, func(topic []byte, v core.Value) { all[string(topic)] = v }); cursor == 0 {
			return all
		}
	}
}

// started starts a store on a directory and returns its counters.
func started(t *testing.T, dir string) map[string]core.Value {
	t.Helper()
	s := openDir(t, dir)
	all := counters(s)
	if _, err := s.Count(context.Background(), "one more"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return all
}

func copyInto(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// TestKillRestore kills "restore --force" again and again: the directory is the old one or the new
// one, and starts.
func TestKillRestore(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killer{binary: scripttest.Build(t, t.TempDir(), "."), rand: rand.New(rand.NewPCG(seed, 0))}
	base := t.TempDir()
	template, parent, dump := filepath.Join(base, "template"), filepath.Join(base, "parent"), filepath.Join(base,
		"dump")
	dir := filepath.Join(parent, "data")

	s := openDir(t, template)
	countMany(t, s, 1000)
	old := counters(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dumped := writeDump(t, dump, 20_000)
	args := []string{"restore", "--force", dump, dir}
	copyInto(t, template, dir)
	k.whole(t, args...)
	was := map[bool]int{}
	for k.more(t) {
		if err := os.RemoveAll(parent); err != nil {
			t.Fatal(err)
		}
		copyInto(t, template, dir)
		k.kill(t, args...)
		got := started(t, dir)
		isOld, isNew := maps.Equal(got, old), maps.Equal(got, dumped)
		if !isOld && !isNew {
			t.Fatalf("%d counters, neither the %d of before nor the %d of the dump", len(got), len(old), len(dumped))
		}
		was[isNew]++
		if isNew { // the old one is kept aside, whole
			aside, _ := filepath.Glob(dir + ".before-restore-*")
			if len(aside) != 1 || !maps.Equal(started(t, aside[0]), old) {
				t.Fatalf("the old directory is not kept: %q", aside)
			}
		}
		if k.rounds%2 == 0 {
			k.whole(t, args...) // what was left over is in nobody's way
			if got := started(t, dir); !maps.Equal(got, dumped) {
				t.Fatalf("restored again: %d counters, want %d", len(got), len(dumped))
			}
		}
	}
	t.Logf("%d had the old state, %d the new one", was[false], was[true])
}

// writeDump writes a dump of n topics.
func writeDump(t *testing.T, path string, n int) map[string]core.Value {
	t.Helper()
	var body bytes.Buffer
	all := map[string]core.Value{}
	for i := range n {
		topic := fmt.Sprintf("dumped-%08d", i)
		fmt.Fprintf(&body, "{\"topic\":%q,\"sum\":%d,\"epoch\":%d,\"last\":%d}\n", topic, i+1, i%3, i)
		all[topic] = core.Value{Sum: uint64(i + 1), Epoch: uint64(i % 3)}
	}
	head := fmt.Sprintf(`{"gcd_dump":1,"store":"%s","index":%d`, wal.ID{1}, n)
	text := fmt.Sprintf("%s,\"check\":\"%08x\"}\n%s{\"entries\":%d,\"digest\":\"%x\"}\n", head,
		crc32.Checksum([]byte(head), crc32.MakeTable(crc32.Castagnoli)), body.Bytes(), n, sha256.Sum256(body.Bytes()))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return all
}

// restoredDir makes a directory of n topics.
func restoredDir(t *testing.T, n int) string {
	t.Helper()
	base := t.TempDir()
	dir, dump := filepath.Join(base, "data"), filepath.Join(base, "dump")
	writeDump(t, dump, n)
	if code, _, stderr := runTool(t, "restore", "--quiet", dump, dir); code != cmdline.ExitOK {
		t.Fatal(stderr)
	}
	return dir
}

// TestKillImport kills "import" again and again: the directory is not there or whole, and what is
// left over is in nobody's way.
func TestKillImport(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killer{binary: scripttest.Build(t, t.TempDir(), "."), rand: rand.New(rand.NewPCG(seed, 0))}
	base := t.TempDir()
	table, parent := filepath.Join(base, "table.csv"), filepath.Join(base, "parent")
	dir := filepath.Join(parent, "data")
	var text bytes.Buffer
	want := map[string]core.Value{}
	for i := range 20_000 {
		topic := fmt.Sprintf("topic-%d", i*7919%20_000)
		fmt.Fprintf(&text, "%s,%d\n", topic, i+1)
		want[topic] = core.Value{Sum: uint64(i + 1)}
	}
	if err := os.WriteFile(table, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"import", table, dir}
	anew := func() {
		if err := errors.Join(os.RemoveAll(parent), os.Mkdir(parent, 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	anew()
	k.whole(t, args...)
	for k.more(t) {
		anew()
		k.kill(t, args...)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			k.whole(t, args...)
		}
		if got := started(t, dir); !maps.Equal(got, want) {
			t.Fatalf("it starts with %d counters, want %d, or others", len(got), len(want))
		}
	}
}

// TestKillCompact kills "compact" again and again: the directory starts with the same counters,
// before another compact and after it.
func TestKillCompact(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killer{binary: scripttest.Build(t, t.TempDir(), "."), rand: rand.New(rand.NewPCG(seed, 0))}
	base := t.TempDir()
	template, dir := filepath.Join(base, "template"), filepath.Join(base, "data")
	s := openDir(t, template)
	countMany(t, s, 10_000)
	if err := s.Snapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	countMany(t, s, 20_000)
	want := counters(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	copyInto(t, template, dir)
	k.whole(t, "compact", dir)
	for k.more(t) {
		copyInto(t, template, dir)
		k.kill(t, "compact", dir)
		if k.rounds%2 == 0 {
			k.whole(t, "compact", dir)
		}
		if got := started(t, dir); !maps.Equal(got, want) {
			t.Fatalf("it starts with %d counters, want %d, or others", len(got), len(want))
		}
	}
}

// TestKillRepair kills "repair --accept-loss" again and again: the directory is the damaged one,
// untouched, or the repaired one, which starts; then the damaged one is kept aside.
func TestKillRepair(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killer{binary: scripttest.Build(t, t.TempDir(), "."), rand: rand.New(rand.NewPCG(seed, 0))}
	base := t.TempDir()
	template, parent := filepath.Join(base, "template"), filepath.Join(base, "parent")
	dir := filepath.Join(parent, "data")
	s := openDir(t, template)
	countMany(t, s, 10_000)
	if err := s.Snapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	countMany(t, s, 20_000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(store.LogDir(template), "*.seg"))
	if err != nil || len(segments) < 2 {
		t.Fatalf("the segments are %q, %v, want two at least", segments, err)
	}
	if err := os.Remove(segments[len(segments)-1]); err != nil {
		t.Fatal(err)
	}
	damaged := contents(t, template)
	args := []string{"repair", "--accept-loss", dir}
	copyInto(t, template, dir)
	k.whole(t, args...)
	repaired := started(t, dir)
	was := map[bool]int{}
	for k.more(t) {
		if err := os.RemoveAll(parent); err != nil {
			t.Fatal(err)
		}
		copyInto(t, template, dir)
		k.kill(t, args...)
		isOld := maps.Equal(contents(t, dir), damaged)
		was[!isOld]++
		if isOld {
			if k.rounds%2 == 0 {
				continue
			}
			k.whole(t, args...) // what was left over is in nobody's way
		}
		if got := started(t, dir); !maps.Equal(got, repaired) {
			t.Fatalf("%d counters, want %d, or others", len(got), len(repaired))
		}
		kept := 0
		aside, _ := filepath.Glob(dir + ".broken-*")
		for _, path := range aside {
			if maps.Equal(contents(t, path), damaged) {
				kept++
			}
		}
		if kept != 1 {
			t.Fatalf("the damaged directory is not kept: %q", aside)
		}
	}
	t.Logf("%d had the old state, %d the new one", was[false], was[true])
}

// contents are the bytes of a directory's files, but the lock's, by their names in it.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == filepath.Base(store.LockPath("")) {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
