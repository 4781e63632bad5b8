package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"gcd/loadgen"
)

// floodGoal is how much longer an innocent client may wait beside a flood, p99.
const floodGoal = 2

// groupFlood measures one client that counts over one connection: alone, beside a flood that goes
// elsewhere, and beside one that comes to its server, in turn.
func (b *bench) groupFlood() (string, error) {
	t := table{header: []string{"dispatch", "flood", "p99 alone, µs", "p99 beside it elsewhere, µs",
		"p99 beside it, µs", "elsewhere / alone", "beside / alone", "a second alone",
		"a second beside it", "refused beside it"}}
	for _, dispatch := range []string{"pool", "goroutine"} {
		for _, kind := range slices.Sorted(maps.Keys(floods)) {
			alone, away, beside, err := b.floodCell(dispatch, kind)
			if err != nil {
				return "", err
			}
			lost := 0.0
			for _, p := range beside {
				lost += p.lost
			}
			t.row(dispatch, kind+": "+floods[kind].about,
				ranged(p99s(alone), micros), ranged(p99s(away), micros), ranged(p99s(beside), micros),
				digits(median(pairs(p99s(away), p99s(alone)))),
				atMost(median(pairs(p99s(beside), p99s(alone))), floodGoal),
				ranged(rates(alone), perSecond), ranged(rates(beside), perSecond), digits(lost))
			b.logf("flood, %s, %s: p99 %s µs alone, %s µs beside it elsewhere, %s µs beside it, %v refused",
				dispatch, kind, ranged(p99s(alone), micros), ranged(p99s(away), micros),
				ranged(p99s(beside), micros), lost)
		}
	}
	return fmt.Sprintf("One client counts over one RESP connection, beside %d others: over RESP pipelines of %d "+
		"INCR on a new connection each, which is reset; over TCP and UDP counts. Elsewhere is a process that "+
		"reads and answers nothing. Medians of the ratios of the runs beside each other.\n\n%s",
		floodClients, floodPipeline, t.String()), nil
}

// floodCell measures one kind of flood on a new server.
func (b *bench) floodCell(dispatch, kind string) (alone, away, beside []point, err error) {
	in, err := b.startGCD("", "--dispatch", dispatch)
	if err != nil {
		return nil, nil, nil, err
	}
	defer in.close()
	for range b.rounds {
		p, err := b.innocent(in)
		if err != nil {
			return nil, nil, nil, err
		}
		alone = append(alone, p)
		if p, err = b.besideFlood(in, kind, elsewhere, elsewhere); err != nil {
			return nil, nil, nil, err
		}
		away = append(away, p)
		if p, err = b.besideFlood(in, kind, in.addr, in.udp); err != nil {
			return nil, nil, nil, err
		}
		beside = append(beside, p)
	}
	return alone, away, beside, nil
}

// innocent measures the client.
func (b *bench) innocent(in *instance) (point, error) {
	r, err := loadgen.Run(b.ctx, loadgen.Options{
		Network: loadgen.RESP, Addr: in.addr, Prefix: "innocent:", Threads: 1, Timeout: doorsTimeout,
		Duration: b.time, Warmup: b.time / 10,
	})
	if err != nil {
		return point{}, err
	}
	quantile := func(q float64) time.Duration { return time.Duration(r.Latency.ValueAtQuantile(q)) }
	return point{rate: r.Rate(), p50: quantile(50), p99: quantile(99), lost: float64(r.Errors.Total())}, nil
}

// besideFlood measures the client beside a flood of the addresses.
func (b *bench) besideFlood(in *instance, kind, tcp, udp string) (point, error) {
	self, err := os.Executable()
	if err != nil {
		return point{}, err
	}
	flood, err := startProcess(self, []string{floodCommand, kind, tcp, udp}, processOptions{})
	if err != nil {
		return point{}, err
	}
	defer flood.kill()
	if _, err := flood.await(b.ctx, "flooding"); err != nil {
		return point{}, err
	}
	return b.innocent(in)
}
