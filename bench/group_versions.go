package main

import (
	"fmt"
	"slices"

	"gcd/loadgen"
)

// versionGoal is the least share of the other version's rate, and versionCPUGoal the most of its
// processor time for each answer, that a change may cost.
const (
	versionGoal    = 0.98
	versionCPUGoal = 1.02
)

// groupVersions compares this gcd with another build of it, in pairs of runs. Both are up all the
// time and have the same load in turn. What it prints is the median of the ratios of the pairs, so
// that it holds when the machine's speed drifts.
func (b *bench) groupVersions() (string, error) {
	t := newTable("load | rate, this / other | server CPU, this / other | " +
		"this | other | CPU µs this | CPU µs other | p50, p99 µs this | p50, p99 µs other")
	for _, l := range b.versionLoads() {
		c := b.newCell("Versions", "network", l.Network, "clients", l.Clients, "pipeline", max(1, l.Pipeline))
		l.Timeout = doorsTimeout
		c.start("this gcd", b.freshGCD, b.generated(l))
		c.start("other gcd", func() (*instance, error) { return b.startVersion(b.against, "") }, b.generated(l))
		measured, err := c.measure()
		if err != nil {
			return "", err
		}
		t.row(versionRow(loadName(l), measured["this gcd"], measured["other gcd"])...)
	}
	return fmt.Sprintf("The other gcd: %s. Medians of the ratios of pairs of runs, and the range of these ratios; "+
		"one topic.\n\n%s", b.versionOf(b.against), t.String()), nil
}

func versionRow(load string, ours, theirs runs) []string {
	rates, cpus := ours.pairs(theirs, rate), ours.pairs(theirs, cpu)
	spread := func(ratios []float64) string {
		if len(ratios) < 2 {
			return ""
		}
		return ", " + digits(slices.Min(ratios)) + "–" + digits(slices.Max(ratios))
	}
	return []string{load,
		wanted(median(rates), versionGoal) + spread(rates), atMost(median(cpus), versionCPUGoal) + spread(cpus),
		ours.text(rate), theirs.text(rate), ours.text(cpu), theirs.text(cpu), ours.latencies(), theirs.latencies()}
}

// versionLoads are the loads that two versions are compared with.
func (b *bench) versionLoads() []loadgen.Options {
	loads := []loadgen.Options{{Network: loadgen.RESP, Clients: 64, Pipeline: 16}}
	if b.quick {
		return loads
	}
	return append(loads,
		loadgen.Options{Network: loadgen.RESP, Clients: 1},
		loadgen.Options{Network: loadgen.RESP, Clients: 64},
		loadgen.Options{Network: loadgen.RESP, Clients: 64, Pipeline: 128},
		loadgen.Options{Network: loadgen.TCP, Clients: 64, Threads: tcpThreads},
		loadgen.Options{Network: loadgen.UDP, Clients: 1},
		loadgen.Options{Network: loadgen.UDP, Clients: 64},
	)
}

func loadName(l loadgen.Options) string {
	name := fmt.Sprintf("%s, %s", l.Network, plural(l.Clients, "client"))
	if l.Pipeline > 1 {
		name += fmt.Sprintf(", pipeline %d", l.Pipeline)
	}
	return name
}
