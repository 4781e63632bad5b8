package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	bolt "go.etcd.io/bbolt"

	"gcd/loadgen"
)

const (
	duringGoal   = 0.8 // throughput during a snapshot × that before it, at least
	duringP99    = 1.5 // p99 during a snapshot × that of bare syncs beside the same writes, at most
	sampleEvery  = 50 * time.Millisecond
	bareEntries  = 10_000 // of one transaction, as gcd writes them
	bareRest     = 2      // after a transaction, in times that it took, as gcd rests
	bareFill     = 0.9    // of a page
	snapshotMost = 10 * time.Minute
)

// The units of groupSnapshot.
const (
	rateBefore = "before-answers/s"
	rateDuring = "during-answers/s"
	p99Before  = "before-p99-sec"
	p99During  = "during-p99-sec"
	share      = "during/before"
)

// groupSnapshot measures counting while a snapshot of many changed topics is written.
func (b *bench) groupSnapshot() (string, error) {
	topics := b.scale(1_000_000, 30_000)
	t := newTable("load | before | during | during / before | p99 before, µs | p99 during, µs | " +
		"during / bare | snapshot took, s")
	c := b.newCell("Snapshot", "topics", topics)
	c.add("disk", func() (load, error) { return b.bareBesideWrites(topics) })
	for _, pipeline := range []int{1, 16} {
		name := fmt.Sprintf("64 connections, pipeline %d, one topic", pipeline)
		c.add(name, func() (load, error) { return b.duringSnapshot(topics, pipeline) })
	}
	measured, err := c.measure()
	if err != nil {
		return "", err
	}
	bare := measured["disk"]
	for _, s := range c.subjects[1:] {
		r := measured[s.name]
		t.row(s.name, r.text(rateBefore), r.text(rateDuring), wanted(r.median(share), duringGoal),
			r.text(p99Before), r.text(p99During), atMost(ratio(r.median(p99During), bare.median(p99)), duringP99),
			r.text(took))
	}
	return fmt.Sprintf("Counting while a snapshot of %s is written, all of which changed since the last one. "+
		"Beside it a bare append and sync loop that runs against the same writes, made by bbolt alone "+
		"(transactions of %s sorted entries, with a pause after each that is %d times as long as it took): "+
		"p99 %s µs.\n\n%s",
		plural(topics, "topic"), grouped(bareEntries), bareRest, bare.text(p99), t.String()), nil
}

// window is what happened in a part of a run.
type window struct {
	lasted  time.Duration
	latency *hdrhistogram.Histogram
}

func (w *window) merge(s loadgen.Sample) {
	w.lasted += s.End.Sub(s.Begin)
	w.latency.Merge(s.Latency)
}

func (w *window) load() load {
	n := w.latency.TotalCount()
	return newLoad(w.latency, uint64(n), ratio(float64(n), w.lasted.Seconds()))
}

// duringSnapshot changes many topics, puts load on one, and looks at it before and during the
// snapshot that comes by the clock. If the machine is so slow that the snapshot came too early, the
// clock is set later.
func (b *bench) duringSnapshot(topics, pipeline int) (load, error) {
	interval := 12 * time.Second
	if b.quick {
		interval = 3 * time.Second
	}
	for range 4 {
		got, err := b.trySnapshot(topics, pipeline, interval)
		if err != nil || got.answers > 0 {
			return got, err
		}
		interval *= 2
	}
	return load{}, errors.New("the topics were not made before the snapshot came")
}

// trySnapshot returns no answers if the snapshot came too early.
func (b *bench) trySnapshot(topics, pipeline int, interval time.Duration) (load, error) {
	in, err := b.startGCD("", "--snapshot-interval", interval.String(), "--snapshot-bytes", "0")
	if err != nil {
		return load{}, err
	}
	defer in.close()
	due := time.Now().Add(interval)
	if err := b.fill(in, topics, 1); err != nil {
		return load{}, err
	}
	quiet := interval / 4 // at least so long before it
	if time.Until(due) < quiet {
		return load{}, nil
	}

	ctx, end := context.WithTimeout(b.ctx, snapshotMost)
	defer end()
	var said []string
	var ended time.Time
	var waitErr error
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer end()
		if waitErr = pause(ctx, time.Until(due)); waitErr != nil {
			return
		}
		said, waitErr = in.process.await(ctx, `snapshot: topics=(\d+) index=\d+ took_seconds=(\S+)`)
		ended = time.Now()
	})
	var samples []loadgen.Sample
	_, err = loadgen.Run(ctx, loadgen.Options{
		Network: loadgen.RESP, Addr: in.addr, Clients: 64, Pipeline: pipeline, Prefix: "hot:", Threads: b.threads,
		Duration: snapshotMost, ProgressEvery: sampleEvery,
		Progress: func(s loadgen.Sample) { samples = append(samples, s) },
	})
	end()
	waiting.Wait()
	if err := errors.Join(b.ctx.Err(), err, waitErr); err != nil {
		return load{}, err
	}
	if written, err := strconv.Atoi(said[1]); err != nil || written < topics {
		return load{}, fmt.Errorf("the snapshot had %s topics, want %d", said[1], topics)
	}
	elapsed, err := time.ParseDuration(said[2] + "s")
	if err != nil {
		return load{}, fmt.Errorf("the snapshot took %q: %w", said[2], err)
	}
	first, second := window{latency: loadgen.NewHistogram()}, window{latency: loadgen.NewHistogram()}
	begun := ended.Add(-elapsed)
	for i, sample := range samples {
		switch {
		case i == 0 || sample.Begin.Before(samples[0].Begin.Add(quiet/3)): // the load begins
		case sample.End.Before(begun):
			first.merge(sample)
		case sample.Begin.After(begun) && sample.End.Before(ended):
			second.merge(sample)
		}
	}
	before, during := first.load(), second.load()
	if before.answers == 0 || during.answers == 0 {
		return load{}, fmt.Errorf("nothing was measured before (%d answers) or during (%d) the snapshot, which took %v",
			before.answers, during.answers, elapsed)
	}
	return load{before.answers + during.answers, values{
		rateBefore: before.values[rate], rateDuring: during.values[rate],
		share:     ratio(during.values[rate], before.values[rate]),
		p99Before: before.values[p99], p99During: during.values[p99], took: elapsed.Seconds(),
	}}, nil
}

// bareBesideWrites measures bare appends and syncs while bbolt alone writes as many entries as a
// snapshot has.
func (b *bench) bareBesideWrites(topics int) (load, error) {
	dir, err := b.newDir("bbolt")
	if err != nil {
		return load{}, err
	}
	options := &bolt.Options{FreelistType: bolt.FreelistMapType, Timeout: time.Second}
	db, err := bolt.Open(filepath.Join(dir, "counters.db"), 0o600, options)
	if err != nil {
		return load{}, err
	}
	defer db.Close()
	log, err := newBareLog(dir)
	if err != nil {
		return load{}, err
	}
	defer log.close()
	ctx, end := context.WithCancel(b.ctx)
	defer end()
	var writeErr error
	var writing sync.WaitGroup
	writing.Go(func() {
		defer end()
		writeErr = writeEntries(ctx, db, topics)
	})
	syncs, err := log.appendAndSync(ctx, snapshotMost)
	writing.Wait()
	if err := errors.Join(b.ctx.Err(), writeErr); err != nil {
		return load{}, err
	}
	return syncs, err
}

// writeEntries writes entries of the size that a snapshot has, in sorted order.
func writeEntries(ctx context.Context, db *bolt.DB, topics int) error {
	value := []byte{0, 1, 0x80, 0x80, 0x80, 0x01} // an epoch, a sum and the index of a record
	for from := 0; from < topics; from += bareEntries {
		begun := time.Now()
		err := db.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("topics"))
			if err != nil {
				return err
			}
			bucket.FillPercent = bareFill
			for i := from; i < min(from+bareEntries, topics); i++ {
				value[1] = byte(rand.IntN(128))
				if err := bucket.Put(fmt.Appendf(nil, "\x01%s%012d", fillPrefix, i), slices.Clone(value)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := pause(ctx, bareRest*time.Since(begun)); err != nil {
			return err
		}
	}
	return nil
}
