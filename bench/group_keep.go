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

// The units of groupMemory.
const (
	perTopic      = "B/topic"
	perTopicLater = "later-B/topic"
	idle          = "idle-B"
	full          = "full-B"
)

// groupMemory measures the memory of many topics of 20 bytes.
func (b *bench) groupMemory() (string, error) {
	topics := b.scale(keptTopics, 50_000)
	t := newTable(" | bytes for each topic | 2 s later | wanted | idle process, MB | full process, MB")
	c := b.newCell("Memory", "topics", topics)
	c.add("gcd", func() (load, error) { return b.fillAndMeasure(b.freshGCD, topics) })
	c.add("Redis none", func() (load, error) { return b.fillAndMeasure(b.freshRedis("none"), topics) })
	measured, err := c.measure()
	if err != nil {
		return "", err
	}
	for _, s := range c.subjects {
		goal, r := "", measured[s.name]
		if s.name == "gcd" {
			goal = atMost(r.median(perTopic), memoryGoal)
		}
		t.row(s.name, r.text(perTopic), r.text(perTopicLater), goal, r.text(idle), r.text(full))
	}
	return fmt.Sprintf("%s of 20 bytes with sums of %s; resident memory above that of the idle process:\n\n%s",
		plural(topics, "topic"), grouped(bigSum), t.String()), nil
}

// fillAndMeasure looks at the resident memory of a server before, after and some time after it is
// filled.
func (b *bench) fillAndMeasure(start func() (*instance, error), topics int) (load, error) {
	in, err := start()
	if err != nil {
		return load{}, err
	}
	defer in.close()
	look := func() float64 {
		status, lookErr := memoryOf(in.pid())
		err = errors.Join(err, lookErr)
		return float64(status.VmRSS)
	}
	err = b.awaitIdle(in)
	empty := look()
	err = errors.Join(err, b.fill(in, topics, bigSum))
	filled := look()
	err = errors.Join(err, pause(b.ctx, calmEvery))
	later := look()
	return load{uint64(topics), values{
		idle: empty, full: filled,
		perTopic: (filled - empty) / float64(topics), perTopicLater: (later - empty) / float64(topics),
	}}, err
}

// groupStart measures how long a start takes that finds many topics, until the first answer.
func (b *bench) groupStart() (string, error) {
	topics := b.scale(keptTopics, 50_000)
	c := b.newCell("Start", "topics", topics)
	all := []struct {
		name    string
		prepare func() (dir string, err error)
		launch  func(dir string) (*instance, error)
	}{
		{"Redis, from its RDB file", func() (string, error) { return b.keepRedis(topics) }, b.relaunchRedis},
		{"gcd, from its snapshot", func() (string, error) { return b.keepGCD(topics, true) }, b.relaunchGCD},
		{"gcd, from its log alone", func() (string, error) { return b.keepGCD(topics, false) }, b.relaunchGCD},
	}
	sizes := make(map[string]float64)
	for _, kept := range all {
		dir, err := kept.prepare()
		if c.skips(kept.name, err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", kept.name, err)
		}
		defer os.RemoveAll(dir)
		bytes, err := treeSize(dir)
		if err != nil {
			return "", err
		}
		sizes[kept.name] = float64(bytes)
		c.add(kept.name, func() (load, error) { return b.timeStart(dir, topics, kept.launch) })
	}
	measured, err := c.measure()
	if err != nil {
		return "", err
	}
	t := newTable(" | first answer after, s | on disk, MB | gcd / Redis")
	redis := measured[all[0].name]
	for i, kept := range all {
		against, r := "", measured[kept.name]
		if i > 0 {
			against = atMost(r.over(redis, took), 1)
		}
		t.row(kept.name, r.text(took), mega(sizes[kept.name]), against)
	}
	return fmt.Sprintf("%s of 20 bytes, files in the page cache; from the start of the process to the first answer "+
		"with a sum:\n\n%s", plural(topics, "topic"), t.String()), nil
}

// keepRedis makes a directory with an RDB file.
func (b *bench) keepRedis(topics int) (string, error) {
	in, err := b.startRedis("none", "")
	return b.keep(in, err, topics, func() error {
		_, err := redisCommand(in.addr, "SAVE")
		return err
	})
}

// keepGCD makes a directory whose topics are all in the snapshot, or all in the log.
func (b *bench) keepGCD(topics int, snapshot bool) (string, error) {
	interval := "0"
	if snapshot {
		interval = "2s"
	}
	in, err := b.startGCD("", "--snapshot-bytes", "0", "--snapshot-interval", interval)
	return b.keep(in, err, topics, func() error {
		if !snapshot {
			return nil
		}
		calm, err := b.idle(calmEvery, 5, 2, 150, in) // for longer than the time between two snapshots
		if err == nil && !calm {
			err = fmt.Errorf("%s is still busy after %v", in.name, 150*calmEvery)
		}
		_, statErr := os.Stat(filepath.Join(in.dir, "counters.db"))
		return errors.Join(err, statErr)
	})
}

// keep fills a server that was started, has it save that, and leaves its directory.
func (b *bench) keep(in *instance, err error, topics int, save func() error) (string, error) {
	if err != nil {
		return "", err
	}
	if err = b.fill(in, topics, bigSum); err == nil {
		err = save()
	}
	if err != nil {
		return "", errors.Join(err, in.close())
	}
	return in.dir, in.stop()
}

func (b *bench) relaunchGCD(dir string) (*instance, error) {
	in, err := b.prepare(b.gcd, "gcd", dir)
	if err != nil {
		return nil, err
	}
	return in, b.launchGCD(in)
}

func (b *bench) relaunchRedis(dir string) (*instance, error) { return b.launchRedis("none", dir) }

// timeStart starts a server on a directory, waits for the sum of the last topic, and stops it.
func (b *bench) timeStart(dir string, topics int, launch func(dir string) (*instance, error)) (load, error) {
	begun := time.Now()
	in, err := launch(dir)
	if err != nil {
		return load{}, err
	}
	err = in.process.awaitAnswer(b.ctx, func() error {
		sum, err := redisCommand(in.addr, "GET", topicName(topics-1))
		if err == nil && sum != fmt.Sprint(bigSum) {
			err = fmt.Errorf("the sum is %q, want %d", sum, bigSum)
		}
		return err
	})
	got := load{uint64(topics), values{took: time.Since(begun).Seconds()}}
	return got, errors.Join(err, in.stop())
}
