package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// redisLoad is load by redis-benchmark.
type redisLoad struct {
	clients, pipeline int
	topics            int     // 1, or as many as are chosen at random
	rate              float64 // as measured last, 0 before
}

// flags are those of redis-benchmark for so many requests.
func (l *redisLoad) flags(addr string, requests int) []string {
	text := fmt.Sprintf("-p %s -t incr -c %d -P %d -n %d", portOf(addr), l.clients, l.pipeline, requests)
	if l.topics > 1 {
		text += fmt.Sprintf(" -r %d", l.topics)
	}
	return strings.Fields(text + " --csv")
}

// redisBenchmarked is a load by redis-benchmark, which is told how many requests to make and not
// for how long: as many as the last run suggests.
func (b *bench) redisBenchmarked(l redisLoad) loader {
	return func(in *instance, d time.Duration) (load, error) {
		if l.rate == 0 {
			if _, err := b.redisBenchmark(in, &l, 0); err != nil {
				return load{}, err
			}
		}
		return b.redisBenchmark(in, &l, d)
	}
}

// redisBenchmark runs redis-benchmark once.
func (b *bench) redisBenchmark(in *instance, l *redisLoad, d time.Duration) (load, error) {
	batch := l.clients * l.pipeline
	requests := max(500, 20*batch, int(math.Ceil(l.rate*d.Seconds()/float64(batch)))*batch)
	path, err := find("redis-benchmark")
	if err != nil {
		return load{}, err
	}
	text, err := run(b.ctx, path, l.flags(in.addr, requests), processOptions{})
	if err != nil {
		return load{}, err
	}
	got, err := readRedisBenchmark(text)
	if err != nil {
		return load{}, err
	}
	got.answers, l.rate = uint64(requests), got.values[rate]
	b.ran("redis-benchmark "+strings.Join(l.flags("127.0.0.1:0", 0), " "),
		"-p 0", "-p PORT", "-n 0", "-n N",
		fmt.Sprintf("-c %d", l.clients), "-c C", fmt.Sprintf("-P %d", l.pipeline), "-P P")
	return got, nil
}

// readRedisBenchmark reads what redis-benchmark --csv prints: a line of names and a line of values.
func readRedisBenchmark(text string) (load, error) {
	start := strings.Index(text, `"test"`)
	if start < 0 {
		return load{}, fmt.Errorf("redis-benchmark printed no table: %q", text)
	}
	rows, err := csv.NewReader(strings.NewReader(text[start:])).ReadAll()
	if err != nil || len(rows) != 2 {
		return load{}, fmt.Errorf("redis-benchmark printed %d lines, want 2 (%v): %q", len(rows), err, text)
	}
	got := load{values: values{}}
	for unit, column := range map[string]string{rate: "rps", p50: "p50_latency_ms", p99: "p99_latency_ms"} {
		value, err := strconv.ParseFloat(rows[1][max(0, slices.Index(rows[0], column))], 64)
		if err != nil {
			return load{}, fmt.Errorf("redis-benchmark: %s: %w", column, err)
		}
		if got.values[unit] = value; unit != rate {
			got.values[unit] /= 1000
		}
	}
	if got.values[rate] <= 0 {
		return load{}, fmt.Errorf("redis-benchmark measured nothing: %q", text)
	}
	return got, nil
}
