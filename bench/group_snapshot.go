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
	bareRest     = 2      // behind a transaction, in times that it took, as gcd rests
	bareFill     = 0.9    // of a page
	snapshotMost = 10 * time.Minute
)

// groupSnapshot measures counting while a snapshot of many changed topics is written.
func (b *bench) groupSnapshot() (string, error) {
	topics := b.scale(1_000_000, 30_000)
	t := table{header: []string{"load", "before", "during", "during / before", "p99 before, µs", "p99 during, µs", "during / bare", "snapshot took, s"}}
	var bare []float64
	for range b.rounds {
		p99, err := b.bareBesideWrites(topics)
		if err != nil {
			return "", err
		}
		bare = append(bare, float64(p99))
	}
	for _, pipeline := range []int{1, 16} {
		var before, during, ratios, p99Before, p99During, took []float64
		for range b.rounds {
			s, err := b.duringSnapshot(topics, pipeline)
			if err != nil {
				return "", err
			}
			before, during = append(before, s.before.rate()), append(during, s.during.rate())
			ratios = append(ratios, ratio(s.during.rate(), s.before.rate()))
			p99Before, p99During = append(p99Before, s.before.p99()), append(p99During, s.during.p99())
			took = append(took, s.took.Seconds())
		}
		t.row(fmt.Sprintf("64 connections, pipeline %d, one topic", pipeline), ranged(before, perSecond), ranged(during, perSecond), wanted(median(ratios), duringGoal),
			ranged(p99Before, micros), ranged(p99During, micros), atMost(ratio(median(p99During), median(bare)), duringP99), ranged(took, digits))
		b.logf("snapshot, pipeline %d: %s during / before, p99 %s µs, bare %s µs", pipeline, ranged(ratios, digits), ranged(p99During, micros), ranged(bare, micros))
	}
	return fmt.Sprintf("Counting while a snapshot of %s is written, all of which changed since the last one. Beside it a bare append and sync loop that runs against the same "+
		"writes, made by bbolt alone (transactions of %s sorted entries, with a pause after each that is %d times as long as it took): p99 %s µs.\n\n%s",
		plural(topics, "topic"), grouped(bareEntries), bareRest, ranged(bare, micros), t.String()), nil
}

// window is what happened in a part of a run.
type window struct {
	ops     uint64
	took    time.Duration
	latency *hdrhistogram.Histogram
}

func (w *window) add(s loadgen.Sample) {
	if w.latency == nil {
		w.latency = loadgen.NewHistogram()
	}
	w.ops += s.Ops
	w.took += s.End.Sub(s.Begin)
	w.latency.Merge(s.Latency)
}

func (w *window) rate() float64 { return ratio(float64(w.ops), w.took.Seconds()) }
func (w *window) p99() float64 {
	if w.latency == nil {
		return 0
	}
	return float64(w.latency.ValueAtQuantile(99))
}

// beside is one run with a snapshot in it.
type beside struct {
	before, during window
	took           time.Duration
}

// duringSnapshot changes many topics, puts load on one, and looks at it before and during the snapshot that comes by the clock. If the
// machine is so slow that the snapshot came too early, the clock is set later.
func (b *bench) duringSnapshot(topics, pipeline int) (beside, error) {
	interval := 12 * time.Second
	if b.quick {
		interval = 3 * time.Second
	}
	for range 4 {
		s, err := b.trySnapshot(topics, pipeline, interval)
		if err != nil || s.took > 0 {
			return s, err
		}
		interval *= 2
	}
	return beside{}, errors.New("the topics were not made before the snapshot came")
}

// trySnapshot returns the zero beside if the snapshot came too early.
func (b *bench) trySnapshot(topics, pipeline int, interval time.Duration) (beside, error) {
	in, err := b.startGCD("", "--snapshot-interval", interval.String(), "--snapshot-bytes", "0")
	if err != nil {
		return beside{}, err
	}
	defer in.close()
	due := time.Now().Add(interval)
	if err := b.fill(in, topics, 1); err != nil {
		return beside{}, err
	}
	quiet := interval / 4 // at least so long before it
	if time.Until(due) < quiet {
		return beside{}, nil
	}

	ctx, end := context.WithTimeout(b.ctx, snapshotMost)
	defer end()
	var said []string
	var ended time.Time
	var waitErr error
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer end()
		if waitErr = b.pauseUntil(ctx, due); waitErr != nil {
			return
		}
		said, waitErr = in.process.await(ctx, `snapshot: topics=(\d+) index=\d+ took_seconds=(\S+)`)
		ended = time.Now()
	})
	var samples []loadgen.Sample
	_, err = loadgen.Run(ctx, loadgen.Options{
		Network: loadgen.RESP, Addr: in.addr, Clients: 64, Pipeline: pipeline, Prefix: "hot:", Threads: b.threads, Duration: snapshotMost,
		ProgressEvery: sampleEvery, Progress: func(s loadgen.Sample) { samples = append(samples, s) },
	})
	end()
	waiting.Wait()
	switch {
	case b.ctx.Err() != nil:
		return beside{}, b.ctx.Err()
	case err != nil:
		return beside{}, err
	case waitErr != nil:
		return beside{}, waitErr
	}
	if written, err := strconv.Atoi(said[1]); err != nil || written < topics {
		return beside{}, fmt.Errorf("the snapshot had %s topics, want %d", said[1], topics)
	}
	took, err := time.ParseDuration(said[2] + "s")
	if err != nil {
		return beside{}, fmt.Errorf("the snapshot took %q: %w", said[2], err)
	}
	s := beside{took: took}
	begun := ended.Add(-took)
	for i, sample := range samples {
		switch {
		case i == 0 || sample.Begin.Before(samples[0].Begin.Add(quiet/3)): // the load begins
		case sample.End.Before(begun):
			s.before.add(sample)
		case sample.Begin.After(begun) && sample.End.Before(ended):
			s.during.add(sample)
		}
	}
	if s.before.ops == 0 || s.during.ops == 0 {
		return beside{}, fmt.Errorf("nothing was measured before (%d answers) or during (%d) the snapshot, which took %v", s.before.ops, s.during.ops, took)
	}
	return s, nil
}

// pauseUntil waits for a time.
func (b *bench) pauseUntil(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bareBesideWrites is the p99 of bare appends and syncs while bbolt alone writes as many entries as a snapshot has.
func (b *bench) bareBesideWrites(topics int) (time.Duration, error) {
	dir, err := b.newDir("bbolt")
	if err != nil {
		return 0, err
	}
	db, err := bolt.Open(filepath.Join(dir, "counters.db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, Timeout: time.Second})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	log, err := newBareLog(dir)
	if err != nil {
		return 0, err
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
	s, err := log.appendAndSync(ctx, snapshotMost)
	writing.Wait()
	if err := errors.Join(b.ctx.Err(), writeErr); err != nil {
		return 0, err
	}
	return s.p99, err
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
		timer := time.NewTimer(bareRest * time.Since(begun))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return nil
}
