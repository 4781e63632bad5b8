package main

import (
	"crypto/rand"
	"fmt"
	"gcd/internal/scripttest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fullClients  = 6
	fullShared   = 4               // topics that all count
	fullDeadline = 3 * time.Minute // for whatever is waited for
)

// TestFullDisk fills the disk under a real server that is under load, and empties it again, so many
// times as GCD_FULLDISK says: on tmpfs, and on ext4 and btrfs through loop devices. Counts are
// refused and go on by themselves; nothing that was acknowledged is lost or comes twice, also when
// the server is killed meanwhile and starts while the disk is full. A sync that fails for want of
// room ends the server, rightly: these are counted. It needs root.
func TestFullDisk(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("GCD_FULLDISK"))
	if rounds <= 0 {
		t.Skip("GCD_FULLDISK says how often each disk is to be filled: make fulldisk")
	}
	binary := scripttest.Build(t, t.TempDir(), ".")
	for _, disk := range []struct {
		name    string
		mount   func(t *testing.T, at string) error
		segment string
		topics  int // new ones in each round
	}{
		{"tmpfs 4 MiB", mountTmpfs("4m"), "64KiB", 200},
		{"tmpfs 20 MiB", mountTmpfs("20m"), "1MiB", 5000},
		{"ext4", mountImage(64<<20, "mkfs.ext4", "-q", "-F"), "256KiB", 500},
		{"btrfs", mountImage(256<<20, "mkfs.btrfs", "-q", "-f"), "256KiB", 500},
	} {
		t.Run(disk.name, func(t *testing.T) {
			at := t.TempDir()
			if err := disk.mount(t, at); err != nil {
				t.Skipf("no such disk is to be had here: %v", err)
			}
			f := &fullDiskTest{binary: binary, at: at, segment: disk.segment, topics: disk.topics,
				shared: make([]sharedTopic, fullShared), fresh: map[string]bool{}}
			for i := range f.shared {
				f.shared[i] = sharedTopic{name: fmt.Sprintf("shared-%d", i), seen: map[uint64]bool{}}
			}
			f.start(t)
			for n := range rounds {
				f.round(t, n)
				if t.Failed() {
					t.Fatalf("in round %d; the server said:\n%s", n+1, tailOf(f.server.output(), 6000))
				}
			}
			f.server.kill(t)
			f.collect()
			t.Logf("%-12s %d rounds: %d acknowledged, %d refused, %d unknown; %d starts, %d on a full disk, %d "+
				"waited for room; %d exits by a failed sync; "+
				"%d segments of history given up, %d snapshots; counting went on at most %v after there was room",
				disk.name, rounds, f.acked.Load(), f.refused.Load(), f.unknown.Load(), f.starts, f.fullStarts,
				f.waited, f.failedSyncs,
				f.givenUp, f.snapshots, f.longest.Round(time.Millisecond))
		})
	}
}

func mountTmpfs(size string) func(*testing.T, string) error {
	return func(t *testing.T, at string) error { return mount(t, at, "-t", "tmpfs", "-o", "size="+size, "none") }
}

// mountImage makes a file system in a file, and mounts that.
func mountImage(size int64, mkfs ...string) func(*testing.T, string) error {
	return func(t *testing.T, at string) error {
		image := filepath.Join(t.TempDir(), "image")
		file, err := os.Create(image)
		if err != nil {
			return err
		}
		if err := file.Truncate(size); err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
		out, err := exec.CommandContext(t.Context(), mkfs[0], append(mkfs[1:], image)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", mkfs[0], err, out)
		}
		return mount(t, at, "-o", "loop", image)
	}
}

func mount(t *testing.T, at string, args ...string) error {
	if out, err := exec.CommandContext(t.Context(), "mount", append(args, at)...).CombinedOutput(); err != nil {
		return fmt.Errorf("mount: %w: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return nil
}

type fullDiskTest struct {
	binary, at, segment string
	topics              int
	server              *victim
	shared              []sharedTopic

	mu    sync.Mutex
	fresh map[string]bool // names of topics that were counted once; false: nobody knows whether

	made, most                              atomic.Int64 // new topics that were counted, and that are to be
	acked, refused, unknown                 atomic.Int64
	starts, fullStarts, waited, failedSyncs int
	givenUp, snapshots                      int
	longest                                 time.Duration
}

// start starts the server, and checks what it recovered.
func (f *fullDiskTest) start(t *testing.T) {
	t.Helper()
	f.collect()
	f.starts++
	f.server = runVictim(t,
		exec.Command(f.binary, "serve", "--data", filepath.Join(f.at, "data"), "--tcp", "127.0.0.1:0", "--udp", "",
			"--segment-size", f.segment, "--log-format", "json"))
}

// collect takes down what the server said that is of interest.
func (f *fullDiskTest) collect() {
	if f.server != nil {
		f.givenUp += strings.Count(f.server.output(), "kept for history only")
		f.snapshots += strings.Count(f.server.output(), `"@message":"snapshot"`)
	}
}

// serving waits until the server serves. If it is waiting for room it gets it.
func (f *fullDiskTest) serving(t *testing.T, b *ballast) {
	t.Helper()
	full := time.NewTimer(5 * time.Second)
	defer full.Stop()
	late := time.NewTimer(fullDeadline)
	defer late.Stop()
	for {
		select {
		case <-f.server.serving:
			f.check(t)
			return
		case <-f.server.exited:
			if !f.endedBySync(t) {
				t.FailNow()
			}
			f.start(t)
		case <-full.C:
			if strings.Contains(f.server.output(), "no room for what a start writes") {
				f.waited++
				b.remove(t)
			}
		case <-late.C:
			t.Fatal("the server does not serve")
		}
	}
}

// endedBySync says whether a server that has ended did so because a sync failed for want of room.
// That alone is right.
func (f *fullDiskTest) endedBySync(t *testing.T) bool {
	t.Helper()
	said := f.server.output()
	if strings.Contains(said, "sync: no space left") ||
		strings.Contains(said, "sync "+filepath.Join(f.at, "data")+": no space left") ||
		strings.Contains(said, "fdatasync ") && strings.Contains(said, "no space left") {
		f.failedSyncs++
		return true
	}
	t.Errorf("the server ended by itself: %v", f.server.err)
	return false
}

// wait waits until something is so. It returns false if the server ended instead, by a failed sync.
func (f *fullDiskTest) wait(t *testing.T, what string, so func() bool) bool {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(fullDeadline); !so(); {
		select {
		case <-f.server.exited:
			return f.endedBySync(t)
		case <-tick.C:
		}
		if t.Failed() || time.Now().After(until) {
			t.Errorf("waited for nothing: %s; the server said:\n%s", what, tailOf(f.server.output(), 6000))
			return false
		}
	}
	return true
}

// round fills the disk and empties it, under load.
func (f *fullDiskTest) round(t *testing.T, n int) {
	b := &ballast{dir: f.at}
	defer b.remove(t)
	f.serving(t, b)
	stop := f.load(t)
	defer func() { stop() }()
	acked := f.acked.Load()
	f.wait(t, "counts", func() bool { return f.acked.Load() > acked+200 })
	f.most.Add(int64(f.topics))
	f.wait(t, "topics", func() bool { return f.made.Load() >= f.most.Load() })

	refused := f.refused.Load()
	f.wait(t, "refusals, when the disk is full", func() bool {
		b.fill(t)
		return f.refused.Load() > refused+50
	})
	if !f.ended() {
		f.wait(t, "an error as PING's answer", func() bool {
			b.fill(t)
			answers, err := askRESP(f.server.tcp, "PING", "GET shared-0")
			return err != nil || strings.HasPrefix(answers[0], "-MISCONF") && strings.HasPrefix(answers[1], "$")
		})
	}
	if n%2 == 1 || f.ended() { // a start on a full disk
		f.server.kill(t)
		stop()
		b.fill(t)
		f.start(t)
		f.fullStarts++
		f.serving(t, b)
		stop = f.load(t)
	}
	b.remove(t)
	began, acked := time.Now(), f.acked.Load()
	if f.wait(t, "counts, when there is room again", func() bool { return f.acked.Load() > acked+100 }) && !f.ended() {
		f.longest = max(f.longest, time.Since(began))
	}
	f.server.kill(t)
	stop()
	f.start(t)
	f.serving(t, b)
}

func (f *fullDiskTest) ended() bool {
	select {
	case <-f.server.exited:
		return true
	default:
		return false
	}
}

// load has clients count until it is stopped, or the server is gone.
func (f *fullDiskTest) load(t *testing.T) (stop func()) {
	var wg sync.WaitGroup
	var stopped atomic.Bool
	addr := f.server.tcp
	for i := range fullClients {
		wg.Go(func() {
			c, err := dialRESP(addr)
			if err != nil {
				return
			}
			defer c.Close()
			for n := 0; !stopped.Load(); n++ {
				var names []string
				for j := range 1 + n%5 {
					names = append(names, f.shared[(n+i+j)%fullShared].name)
				}
				if f.made.Load() < f.most.Load() {
					for range 10 {
						names = append(names, fmt.Sprintf("fresh-%056d", f.made.Add(1)))
					}
				}
				answers, _ := c.ask(names)
				if err := f.note(names, answers); err != nil {
					t.Error(err)
				}
				if len(answers) < len(names) {
					return
				}
			}
		})
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			stopped.Store(true)
			wg.Wait()
		})
	}
}

// note writes down what the answers to counts of topics were; those that are missing nobody knows.
func (f *fullDiskTest) note(names, answers []string) error {
	for i, name := range names {
		known := i < len(answers)
		counted := known && strings.HasPrefix(answers[i], ":")
		switch {
		case !known:
			f.unknown.Add(1)
		case counted:
			f.acked.Add(1)
		case strings.HasPrefix(answers[i], "-MISCONF"), strings.HasPrefix(answers[i], "-BUSY"),
			strings.HasPrefix(answers[i], "-LOADING"):
			f.refused.Add(1)
			continue
		default:
			return fmt.Errorf("%s was answered %q", name, answers[i])
		}
		if strings.HasPrefix(name, "fresh") {
			if counted && answers[i] != ":1" {
				return fmt.Errorf("%s was counted once, and is at %s", name, answers[i])
			}
			f.mu.Lock()
			f.fresh[name] = counted
			f.mu.Unlock()
			continue
		}
		var s *sharedTopic
		for j := range f.shared {
			if f.shared[j].name == name {
				s = &f.shared[j]
			}
		}
		value, _ := strconv.ParseUint(strings.TrimPrefix(answerOr(answers, i), ":"), 10, 64)
		s.mu.Lock()
		switch {
		case !counted:
			s.unknown++
		case s.seen[value]:
			s.mu.Unlock()
			return fmt.Errorf("%s: %d was handed out twice", name, value)
		default:
			s.seen[value] = true
			s.highest = max(s.highest, value)
		}
		s.mu.Unlock()
	}
	return nil
}

func answerOr(answers []string, i int) string {
	if i < len(answers) {
		return answers[i]
	}
	return ""
}

// check holds what the server recovered against the journal, while nobody counts.
func (f *fullDiskTest) check(t *testing.T) {
	t.Helper()
	var commands []string
	for i := range f.shared {
		commands = append(commands, "GET "+f.shared[i].name)
	}
	var names []string
	for name := range f.fresh {
		names = append(names, name)
		commands = append(commands, "GET "+name)
	}
	answers, err := askRESP(f.server.tcp, commands...)
	if err != nil {
		t.Fatalf("asking what was recovered: %v", err)
	}
	for i := range f.shared {
		s := &f.shared[i]
		value, _ := strconv.ParseUint(strings.TrimPrefix(answers[i], "$"), 10, 64)
		if value < s.highest || value > uint64(len(s.seen))+s.unknown {
			t.Errorf("%s is at %d; %d was acknowledged, and %d counts and %d unknown ones were sent", s.name, value,
				s.highest, len(s.seen), s.unknown)
		}
	}
	for i, name := range names {
		got := answers[len(f.shared)+i]
		if f.fresh[name] && got != "$1" || !f.fresh[name] && got != "$1" && got != "$" {
			t.Errorf("%s was counted once (acknowledged: %v), and is at %q", name, f.fresh[name], got)
		}
	}
}

// ballast is what fills a disk.
type ballast struct {
	dir   string
	files []string
}

// fill takes all the room that there is.
func (b *ballast) fill(t *testing.T) {
	t.Helper()
	var free unix.Statfs_t
	for _, size := range []int{1 << 20, 64 << 10, 4 << 10} {
		name := filepath.Join(b.dir, fmt.Sprintf("ballast-%d", len(b.files)))
		file, err := os.Create(name)
		if err != nil {
			return // not even a name has room
		}
		b.files = append(b.files, name)
		junk := make([]byte, size)
		for err == nil {
			_, _ = rand.Read(junk)
			if _, err = file.Write(junk); err == nil && unix.Statfs(b.dir, &free) == nil && free.Bavail > 1<<16 {
				continue
			}
			if err == nil {
				err = file.Sync()
			}
		}
		_ = file.Close()
	}
}

func (b *ballast) remove(t *testing.T) {
	t.Helper()
	for _, name := range b.files {
		if err := os.Remove(name); err != nil {
			t.Errorf("making room: %v", err)
		}
	}
	b.files = nil
	if d, err := os.Open(b.dir); err == nil {
		_ = unix.Syncfs(int(d.Fd())) // copy on write gives the room when the change is on the disk
		_ = d.Close()
	}
}

func tailOf(s string, n int) string { return s[max(0, len(s)-n):] }
