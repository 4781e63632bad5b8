package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	memoryGoal = 85     // bytes of RAM for each topic, at most
	bigSum     = 10_001 // Redis keeps smaller numbers in a shared table, for nothing
	keptTopics = 5_000_000
	calmEvery  = 2 * time.Second
)

// groupMemory measures the memory of many topics of 20 bytes.
func (b *bench) groupMemory() (string, error) {
	topics := b.scale(keptTopics, 50_000)
	t := table{header: []string{"", "bytes for each topic", "2 s later", "wanted", "idle process, MB", "full process, MB"}}
	for _, peer := range []struct {
		name  string
		start func() (*instance, error)
		goal  float64
	}{
		{"gcd", func() (*instance, error) { return b.startGCD("") }, memoryGoal},
		{"Redis none", func() (*instance, error) { return b.startRedis("none", "") }, 0},
	} {
		var perTopic, later, idle, full []float64
		for range b.rounds {
			m, err := b.memoryOf(peer.start, topics)
			if errors.Is(err, errNotInstalled) {
				break
			}
			if err != nil {
				return "", err
			}
			perTopic = append(perTopic, (m.full-m.idle)/float64(topics))
			later = append(later, (m.later-m.idle)/float64(topics))
			idle, full = append(idle, m.idle/1e6), append(full, m.full/1e6)
		}
		goal := ""
		if peer.goal > 0 {
			goal = atMost(median(perTopic), peer.goal)
		}
		t.row(peer.name, ranged(perTopic, digits), ranged(later, digits), goal, ranged(idle, digits), ranged(full, digits))
		b.logf("memory, %s: %s bytes for each of %s", peer.name, ranged(perTopic, digits), plural(topics, "topic"))
	}
	return fmt.Sprintf("%s of 20 bytes with sums of %s; resident memory above that of the idle process:\n\n%s", plural(topics, "topic"), grouped(bigSum), t.String()), nil
}

// memory is the resident memory of a process, in bytes.
type memory struct{ idle, full, later float64 }

func (b *bench) memoryOf(start func() (*instance, error), topics int) (memory, error) {
	in, err := start()
	if err != nil {
		return memory{}, err
	}
	defer in.close()
	var m memory
	look := func(into *float64) {
		n, lookErr := residentBytes(in.pid())
		*into, err = float64(n), errors.Join(err, lookErr)
	}
	err = b.settle([]*subject{{name: in.name, in: in}})
	look(&m.idle)
	if err != nil {
		return m, err
	}
	if err := b.fill(in, topics, bigSum); err != nil {
		return m, err
	}
	look(&m.full)
	err = errors.Join(err, b.pause(calmEvery))
	look(&m.later)
	return m, err
}

// kept is a directory with topics, and how a server is started on it.
type kept struct {
	name    string
	prepare func(topics int) (dir string, err error)
	launch  func(dir string) (*instance, error)

	dir  string
	size float64 // of what is in it, MB
	took []float64
}

// groupStart measures how long a start takes that finds many topics, until the first answer.
func (b *bench) groupStart() (string, error) {
	topics := b.scale(keptTopics, 50_000)
	all := []*kept{
		{name: "Redis, from its RDB file", prepare: b.keepRedis, launch: func(dir string) (*instance, error) { return b.launchRedis("none", dir) }},
		{name: "gcd, from its snapshot", prepare: func(topics int) (string, error) { return b.keepGCD(topics, true) }, launch: b.relaunchGCD},
		{name: "gcd, from its log alone", prepare: func(topics int) (string, error) { return b.keepGCD(topics, false) }, launch: b.relaunchGCD},
	}
	var here []*kept
	for _, k := range all {
		var err error
		if k.dir, err = k.prepare(topics); errors.Is(err, errNotInstalled) {
			continue
		} else if err != nil {
			return "", fmt.Errorf("%s: %w", k.name, err)
		}
		defer os.RemoveAll(k.dir)
		bytes, err := treeSize(k.dir)
		if err != nil {
			return "", err
		}
		k.size = float64(bytes) / 1e6
		here = append(here, k)
	}
	for round := range b.rounds {
		for i := range here {
			k := here[(i+round)%len(here)]
			d, err := b.timeStart(k.dir, topics, k.launch)
			if err != nil {
				return "", fmt.Errorf("%s: %w", k.name, err)
			}
			k.took = append(k.took, d.Seconds())
		}
	}
	t := table{header: []string{"", "first answer after, s", "on disk, MB", "gcd / Redis"}}
	for i, k := range all {
		against := ""
		if i > 0 {
			against = atMost(ratio(median(k.took), median(all[0].took)), 1)
		}
		t.row(k.name, ranged(k.took, digits), digits(k.size), against)
		b.logf("start, %s, %s: %s s", plural(topics, "topic"), k.name, ranged(k.took, digits))
	}
	return fmt.Sprintf("%s of 20 bytes, files in the page cache; from the start of the process to the first answer with a sum:\n\n%s", plural(topics, "topic"), t.String()), nil
}

// keepRedis makes a directory with an RDB file.
func (b *bench) keepRedis(topics int) (string, error) {
	in, err := b.startRedis("none", "")
	if err != nil {
		return "", err
	}
	if err := b.fill(in, topics, bigSum); err != nil {
		return "", errors.Join(err, in.close())
	}
	if _, err := redisCommand(in.addr, "SAVE"); err != nil {
		return "", errors.Join(err, in.close())
	}
	return in.dir, in.stop()
}

// keepGCD makes a directory whose topics are all in the snapshot, or all in the log.
func (b *bench) keepGCD(topics int, snapshot bool) (string, error) {
	flags := []string{"--snapshot-bytes", "0", "--snapshot-interval", "0"}
	if snapshot {
		flags[len(flags)-1] = "2s"
	}
	in, err := b.startGCD("", flags...)
	if err != nil {
		return "", err
	}
	if err := b.fill(in, topics, bigSum); err != nil {
		return "", errors.Join(err, in.close())
	}
	if snapshot {
		if err := b.calm(in); err != nil {
			return "", errors.Join(err, in.close())
		}
		if _, err := os.Stat(filepath.Join(in.dir, "counters.db")); err != nil {
			return "", errors.Join(err, in.close())
		}
	}
	return in.dir, in.stop()
}

// calm waits until a server has done nothing for longer than the time between two snapshots.
func (b *bench) calm(in *instance) error {
	const tries = 150
	last := time.Duration(-1)
	quiet := 0
	for range tries {
		now, err := cpuTime(in.pid())
		if err != nil {
			return err
		}
		if quiet++; last < 0 || now-last > 5*time.Second/ticksPerSecond {
			quiet = 0
		}
		if quiet == 2 {
			return nil
		}
		last = now
		if err := b.pause(calmEvery); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is still busy after %v", in.name, tries*calmEvery)
}

func (b *bench) relaunchGCD(dir string) (*instance, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return b.launchGCD(dir, addr)
}

// timeStart starts a server on a directory, waits for the sum of the last topic, and stops it.
func (b *bench) timeStart(dir string, topics int, launch func(dir string) (*instance, error)) (time.Duration, error) {
	begun := time.Now()
	in, err := launch(dir)
	if err != nil {
		return 0, err
	}
	err = in.process.awaitAnswer(b.ctx, func() error {
		sum, err := redisCommand(in.addr, "GET", fmt.Sprintf("%s%012d", fillPrefix, topics-1))
		if err == nil && sum != fmt.Sprint(bigSum) {
			err = fmt.Errorf("the sum is %q, want %d", sum, bigSum)
		}
		return err
	})
	took := time.Since(begun)
	return took, errors.Join(err, in.stop())
}
