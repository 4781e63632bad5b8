package main

import (
	"fmt"

	"gcd/loadgen"
)

// versionGoal is the least share of the other version's rate, and versionCPUGoal the most of its
// processor time for each answer, that a change may cost.
const (
	versionGoal    = 0.98
	versionCPUGoal = 1.02
)

// groupVersions compares this gcd with another build of it, in pairs of runs. Both are up all the
// time and have the same load in turn. What is told is the median of the ratios of the pairs, so
// that it holds when the machine's speed drifts.
func (b *bench) groupVersions() (string, error) {
	t := table{header: []string{"load", "rate, this / other", "server CPU, this / other",
		"this", "other", "CPU µs this", "CPU µs other", "p50, p99 µs this", "p50, p99 µs other"}}
	for _, l := range b.versionLoads() {
		points, err := b.versionCell(l)
		if err != nil {
			return "", err
		}
		ours, theirs := points["this gcd"], points["other gcd"]
		t.row(loadName(l),
			wanted(median(pairs(rates(ours), rates(theirs))), versionGoal),
			atMost(median(pairs(cpus(ours), cpus(theirs))), versionCPUGoal),
			ranged(rates(ours), perSecond), ranged(rates(theirs), perSecond),
			ranged(cpus(ours), digits), ranged(cpus(theirs), digits),
			micros(median(p50s(ours)))+", "+micros(median(p99s(ours))),
			micros(median(p50s(theirs)))+", "+micros(median(p99s(theirs))))
	}
	return fmt.Sprintf("The other gcd: %s. Medians of the ratios of pairs of runs, one topic.\n\n%s",
		b.versionOf(b.against), t.String()), nil
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

// versionCell measures one load on new servers of both.
func (b *bench) versionCell(l loadgen.Options) (map[string][]point, error) {
	var subjects []*subject
	defer b.closeSubjects(&subjects)
	l.Timeout = doorsTimeout
	for _, version := range []struct{ name, path string }{{"this gcd", b.gcd}, {"other gcd", b.against}} {
		in, err := b.startVersion(version.path, "")
		if err != nil {
			return nil, err
		}
		if l.Addr = in.addr; l.Network == loadgen.UDP {
			l.Addr = in.udp
		}
		subjects = append(subjects, &subject{name: version.name, in: in, load: b.generated(l)})
	}
	return b.compare(loadName(l), subjects, nil)
}

// pairs are the ratios of two runs of each round.
func pairs(ours, theirs []float64) []float64 {
	ratios := make([]float64, min(len(ours), len(theirs)))
	for i := range ratios {
		ratios[i] = ratio(ours[i], theirs[i])
	}
	return ratios
}
