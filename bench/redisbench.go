package main

import (
	"encoding/csv"
	"fmt"
	"math"
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
	flags := []string{"-p", portOf(addr), "-t", "incr", "-c", strconv.Itoa(l.clients), "-P", strconv.Itoa(l.pipeline), "-n", strconv.Itoa(requests)}
	if l.topics > 1 {
		flags = append(flags, "-r", strconv.Itoa(l.topics))
	}
	return append(flags, "--csv")
}

// redisBenchmarked is a subject's load by redis-benchmark, which is told how many requests to make and not for how long: as many as the
// last run suggests.
func (b *bench) redisBenchmarked(in *instance, l redisLoad) func(time.Duration) (load, error) {
	return func(d time.Duration) (load, error) {
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
	path, err := find("redis-benchmark")
	if err != nil {
		return load{}, err
	}
	batch := l.clients * l.pipeline
	requests := max(500, 20*batch, int(math.Ceil(l.rate*d.Seconds()/float64(batch)))*batch)
	text, err := run(b.ctx, path, l.flags(in.addr, requests), processOptions{})
	if err != nil {
		return load{}, err
	}
	got, err := readRedisBenchmark(text)
	if err != nil {
		return load{}, err
	}
	got.answers, l.rate = uint64(requests), got.rate
	b.ran("redis-benchmark "+strings.Join(l.flags("127.0.0.1:0", 0), " "),
		"-p 0", "-p PORT", "-n 0", "-n N", fmt.Sprintf("-c %d", l.clients), "-c C", fmt.Sprintf("-P %d", l.pipeline), "-P P")
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
	var got load
	milliseconds := func(value float64) time.Duration { return time.Duration(value * float64(time.Millisecond)) }
	for i, name := range rows[0] {
		value, err := strconv.ParseFloat(rows[1][i], 64)
		if err != nil && name != "test" {
			return load{}, fmt.Errorf("redis-benchmark: %s is %q", name, rows[1][i])
		}
		switch name {
		case "rps":
			got.rate = value
		case "p50_latency_ms":
			got.p50 = milliseconds(value)
		case "p99_latency_ms":
			got.p99 = milliseconds(value)
		}
	}
	if got.rate <= 0 {
		return load{}, fmt.Errorf("redis-benchmark measured nothing: %q", text)
	}
	return got, nil
}
