package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// respGoal is the ratio of gcd to Redis always that is wanted.
func respGoal(clients, pipeline int, many bool) float64 {
	goals := map[int]float64{1: 1.1, 16: 1.5, 128: 2} // by pipeline
	switch {
	case clients == 64 && many:
		goals = map[int]float64{1: 1.5, 16: 2.2, 128: 2.2}
	case clients == 64:
		goals = map[int]float64{1: 1.3, 16: 2.5, 128: 5}
	}
	return goals[pipeline]
}

// groupRESP compares INCR over connections that stay open with Redis in its three modes and a bare
// loop, redis-benchmark on all sides.
func (b *bench) groupRESP() (string, error) {
	rateTable := newTable("topics | connections | pipeline | gcd / always | gcd / bare | " +
		"gcd | Redis always | Redis everysec | Redis none | bare loop")
	cpuTable := newTable("topics | connections | pipeline | gcd | Redis always | " +
		"gcd / always | everysec | none | p50, p99 gcd | p50, p99 always")
	allClients, pipelines := []int{1, 8, 64, 256}, []int{1, 16, 128}
	if b.quick {
		allClients, pipelines = []int{1, 64}, []int{1, 128}
	}
	for _, topics := range []int{1, b.scale(1_000_000, 20_000)} {
		for _, clients := range allClients {
			for _, pipeline := range pipelines {
				l := redisLoad{clients: clients, pipeline: pipeline, topics: topics}
				c := b.newCell("RESP", "topics", topics, "clients", clients, "pipeline", pipeline)
				c.start("gcd", b.freshGCD, b.redisBenchmarked(l))
				for _, mode := range []string{"always", "everysec", "none"} {
					c.start("Redis "+mode, b.freshRedis(mode), b.redisBenchmarked(l))
				}
				c.fill(topics)
				c.start("bare resp", b.freshBare("resp"), b.redisBenchmarked(l))
				measured, err := c.measure()
				if err != nil {
					return "", err
				}
				ours, theirs := measured["gcd"], measured["Redis always"]
				everysec, none, bare := measured["Redis everysec"], measured["Redis none"], measured["bare resp"]
				name := []string{grouped(topics), grouped(clients), grouped(pipeline)}
				rateTable.row(slices.Concat(name, []string{
					wanted(ours.over(theirs, rate), respGoal(clients, pipeline, topics > 1)),
					digits(ours.over(bare, rate)),
					ours.text(rate), theirs.text(rate), everysec.text(rate), none.text(rate), bare.text(rate),
				})...)
				cpuTable.row(slices.Concat(name, []string{
					ours.text(cpu), theirs.text(cpu), atMost(ours.over(theirs, cpu), 1),
					micros(everysec.median(cpu)), micros(none.median(cpu)), ours.latencies(), theirs.latencies(),
				})...)
			}
		}
	}
	return "Answers a second:\n\n" + rateTable.String() +
		"\nProcessor time of the server, microseconds for each answer, and latencies in microseconds " +
		"(with a pipeline, of its last answer):\n\n" + cpuTable.String(), nil
}

const logBytes = "log-B/count"

// groupLog measures how many bytes of log a count takes.
func (b *bench) groupLog() (string, error) {
	t := newTable("64 connections, pipeline 128 | gcd, bytes for each count | Redis always")
	for _, topics := range []int{1, b.scale(1_000_000, 20_000)} {
		goal := map[bool]float64{false: 0.1, true: 30}[topics > 1]
		l := redisLoad{clients: 64, pipeline: 128, topics: topics}
		c := b.newCell("Log", "topics", topics)
		c.add("gcd", func() (load, error) { return b.gcdLog(l) })
		c.add("Redis always", func() (load, error) { return b.redisLog(l) })
		measured, err := c.measure()
		if err != nil {
			return "", err
		}
		ours, theirs := measured["gcd"], measured["Redis always"]
		t.row(plural(topics, "topic"), atMost(ours.median(logBytes), goal), theirs.text(logBytes))
	}
	return t.String(), nil
}

// gcdLog is what gcd says itself when it stops.
func (b *bench) gcdLog(l redisLoad) (load, error) {
	in, err := b.startGCD("")
	if err != nil {
		return load{}, err
	}
	defer in.close()
	_, err = b.redisBenchmarked(l)(in, b.time)
	if err := errors.Join(err, in.stop()); err != nil {
		return load{}, err
	}
	said, err := in.process.await(b.ctx, `stopped: counts=(\d+) .*log_bytes=(\d+)`)
	if err != nil {
		return load{}, err
	}
	bytes, err := strconv.ParseFloat(said[2], 64)
	if err != nil {
		return load{}, err
	}
	return newLogLoad(said[1], bytes)
}

func newLogLoad(counts string, bytes float64) (load, error) {
	n, err := strconv.ParseUint(counts, 10, 64)
	return load{n, values{logBytes: ratio(bytes, float64(n))}}, err
}

// redisLog is what Redis' log has grown by.
func (b *bench) redisLog(l redisLoad) (load, error) {
	in, err := b.startRedis("always", "")
	if err != nil {
		return load{}, err
	}
	defer in.close()
	before, err1 := treeSize(in.dir)
	_, err2 := b.redisBenchmarked(l)(in, b.time)
	after, err3 := treeSize(in.dir)
	info, err4 := redisCommand(in.addr, "INFO", "commandstats")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return load{}, err
	}
	calls := regexp.MustCompile(`cmdstat_incr:calls=(\d+)`).FindStringSubmatch(info)
	if calls == nil {
		return load{}, fmt.Errorf("no INCR in what Redis counted: %q", info)
	}
	return newLogLoad(calls[1], float64(after-before))
}
