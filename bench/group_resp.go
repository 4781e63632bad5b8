package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// respGoals is the ratio of gcd to Redis always that is wanted, by pipeline; for 64 connections by topics, too.
var respGoals = map[int]map[bool]map[int]float64{ // connections → more than one topic → pipeline
	64: {false: {1: 1.3, 16: 2.5, 128: 5}, true: {1: 1.5, 16: 2.2, 128: 2.2}},
}

var otherRESPGoals = map[int]float64{1: 1.1, 16: 1.5, 128: 2}

func respGoal(clients, pipeline int, many bool) float64 {
	if goals, ok := respGoals[clients]; ok {
		return goals[many][pipeline]
	}
	return otherRESPGoals[pipeline]
}

// groupRESP compares INCR over connections that stay open with Redis in its three modes and a bare loop, redis-benchmark on all sides.
func (b *bench) groupRESP() (string, error) {
	rateTable := table{header: []string{"topics", "connections", "pipeline", "gcd / always", "gcd / bare", "gcd", "Redis always", "Redis everysec", "Redis none", "bare loop"}}
	cpuTable := table{header: []string{"topics", "connections", "pipeline", "gcd", "Redis always", "gcd / always", "everysec", "none", "p50, p99 gcd", "p50, p99 always"}}
	allClients, pipelines := []int{1, 8, 64, 256}, []int{1, 16, 128}
	if b.quick {
		allClients, pipelines = []int{1, 64}, []int{1, 128}
	}
	for _, topics := range []int{1, b.scale(1_000_000, 20_000)} {
		for _, clients := range allClients {
			for _, pipeline := range pipelines {
				points, err := b.respCell(redisLoad{clients: clients, pipeline: pipeline, topics: topics})
				if err != nil {
					return "", err
				}
				ours, theirs := points["gcd"], points["Redis always"]
				name := []string{grouped(topics), grouped(clients), grouped(pipeline)}
				cells := append(name, wanted(ratio(median(rates(ours)), median(rates(theirs))), respGoal(clients, pipeline, topics > 1)),
					digits(ratio(median(rates(ours)), median(rates(points["bare resp"])))))
				for _, s := range []string{"gcd", "Redis always", "Redis everysec", "Redis none", "bare resp"} {
					cells = append(cells, ranged(rates(points[s]), perSecond))
				}
				rateTable.row(cells...)
				cells = append(name[:len(name):len(name)], ranged(cpus(ours), digits), ranged(cpus(theirs), digits), atMost(ratio(median(cpus(ours)), median(cpus(theirs))), 1),
					digits(median(cpus(points["Redis everysec"]))), digits(median(cpus(points["Redis none"]))))
				for _, p := range [][]point{ours, theirs} {
					cells = append(cells, micros(median(p50s(p)))+", "+micros(median(p99s(p))))
				}
				cpuTable.row(cells...)
			}
		}
	}
	return "Answers a second:\n\n" + rateTable.String() +
		"\nProcessor time of the server, microseconds for each answer, and latencies in microseconds (with a pipeline, of its last answer):\n\n" + cpuTable.String(), nil
}

// respCell measures one cell, on new servers.
func (b *bench) respCell(l redisLoad) (map[string][]point, error) {
	var subjects []*subject
	defer b.closeSubjects(&subjects)
	in, err := b.startGCD("")
	if err != nil {
		return nil, err
	}
	subjects = append(subjects, &subject{name: "gcd", in: in, load: b.redisBenchmarked(in, l)})
	for _, mode := range []string{"always", "everysec", "none"} {
		in, err := b.startRedis(mode, "")
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, &subject{name: in.name, in: in, load: b.redisBenchmarked(in, l)})
	}
	if in, err = b.startBare("resp"); err != nil {
		return nil, err
	}
	bare := &subject{name: in.name, in: in, load: b.redisBenchmarked(in, l)}
	if l.topics > 1 {
		for _, s := range subjects {
			if err := b.fill(s.in, l.topics, 1); err != nil {
				return nil, err
			}
		}
	}
	subjects = append(subjects, bare)
	return b.compare(fmt.Sprintf("%s, %s, pipeline %d", plural(l.topics, "topic"), plural(l.clients, "connection"), l.pipeline), subjects, nil)
}

// groupLog measures how many bytes of log a count takes.
func (b *bench) groupLog() (string, error) {
	t := table{header: []string{"64 connections, pipeline 128", "gcd, bytes for each count", "Redis always"}}
	for _, topics := range []int{1, b.scale(1_000_000, 20_000)} {
		goal := 0.1
		if topics > 1 {
			goal = 30
		}
		ours, err := b.gcdLogBytes(redisLoad{clients: 64, pipeline: 128, topics: topics})
		if err != nil {
			return "", err
		}
		theirs, err := b.redisLogBytes(redisLoad{clients: 64, pipeline: 128, topics: topics})
		if err != nil && !errors.Is(err, errNotInstalled) {
			return "", err
		}
		t.row(plural(topics, "topic"), atMost(ours, goal), digits(theirs))
		b.logf("log, %s: gcd %s, Redis %s bytes for each count", plural(topics, "topic"), digits(ours), digits(theirs))
	}
	return t.String(), nil
}

// gcdLogBytes is what gcd says itself when it stops.
func (b *bench) gcdLogBytes(l redisLoad) (float64, error) {
	in, err := b.startGCD("")
	if err != nil {
		return 0, err
	}
	defer in.close()
	if _, err := b.redisBenchmarked(in, l)(b.time); err != nil {
		return 0, err
	}
	if err := in.stop(); err != nil {
		return 0, err
	}
	var counts, bytes float64
	said, err := in.process.await(b.ctx, `stopped: counts=(\d+) .*log_bytes=(\d+)`)
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscan(said[1]+" "+said[2], &counts, &bytes); err != nil {
		return 0, err
	}
	return ratio(bytes, counts), nil
}

// redisLogBytes is what Redis' log has grown by.
func (b *bench) redisLogBytes(l redisLoad) (float64, error) {
	in, err := b.startRedis("always", "")
	if err != nil {
		return 0, err
	}
	defer in.close()
	before, err := treeSize(in.dir)
	if err != nil {
		return 0, err
	}
	if _, err := b.redisBenchmarked(in, l)(b.time); err != nil {
		return 0, err
	}
	after, err := treeSize(in.dir)
	if err != nil {
		return 0, err
	}
	info, err := redisCommand(in.addr, "INFO", "commandstats")
	if err != nil {
		return 0, err
	}
	calls := regexp.MustCompile(`cmdstat_incr:calls=(\d+)`).FindStringSubmatch(info)
	if calls == nil {
		return 0, fmt.Errorf("no INCR in what Redis counted: %q", info)
	}
	counts, err := strconv.ParseFloat(calls[1], 64)
	return ratio(float64(after-before), counts), err
}
