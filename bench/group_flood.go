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
// elsewhere, and beside one that comes to its server, in turn. The server's processor time in the
// raw results has the flood's in it.
func (b *bench) groupFlood() (string, error) {
	t := newTable("dispatch | flood | p99 alone, µs | p99 beside it elsewhere, µs | p99 beside it, µs | " +
		"elsewhere / alone | beside / alone | a second alone | a second beside it | refused beside it")
	for _, dispatch := range []string{"pool", "goroutine"} {
		for _, kind := range slices.Sorted(maps.Keys(floods)) {
			start := func() (*instance, error) { return b.startGCD("", "--dispatch", dispatch) }
			c := b.newCell("Flood", "dispatch", dispatch, "flood", kind)
			in := c.start("alone", start, b.innocent)
			c.load(elsewhere, in, b.besideFlood(kind, true))
			c.load("beside", in, b.besideFlood(kind, false))
			measured, err := c.measure()
			if err != nil {
				return "", err
			}
			alone, away, beside := measured["alone"], measured[elsewhere], measured["beside"]
			refused := 0.0
			for _, v := range beside {
				refused += v[lost]
			}
			t.row(dispatch, kind+": "+floods[kind].about, alone.text(p99), away.text(p99), beside.text(p99),
				digits(median(away.pairs(alone, p99))), atMost(median(beside.pairs(alone, p99)), floodGoal),
				alone.text(rate), beside.text(rate), digits(refused))
		}
	}
	return fmt.Sprintf("One client counts over one RESP connection, beside %d others: over RESP pipelines of %d "+
		"INCR on a new connection each, which is reset; over TCP and UDP counts. Elsewhere is a process that "+
		"reads and answers nothing. Medians of the ratios of the runs beside each other.\n\n%s",
		floodClients, floodPipeline, t.String()), nil
}

// innocent measures the client.
func (b *bench) innocent(in *instance, d time.Duration) (load, error) {
	r, err := loadgen.Run(b.ctx, loadgen.Options{
		Network: loadgen.RESP, Addr: in.addr, Prefix: "innocent:", Threads: 1, Timeout: doorsTimeout,
		Duration: d, Warmup: d / 10,
	})
	if err != nil {
		return load{}, err
	}
	got := newLoad(r.Latency, r.Ops()+r.Warm, r.Rate())
	got.values[lost] = float64(r.Errors.Total())
	return got, nil
}

// besideFlood measures the client beside a flood of its server, or of sockets elsewhere.
func (b *bench) besideFlood(kind string, away bool) loader {
	return func(in *instance, d time.Duration) (load, error) {
		tcp, udp := in.addr, in.udp
		if away {
			tcp, udp = elsewhere, elsewhere
		}
		self, err := os.Executable()
		if err != nil {
			return load{}, err
		}
		flood, err := startProcess(self, []string{floodCommand, kind, tcp, udp}, processOptions{})
		if err != nil {
			return load{}, err
		}
		defer flood.kill()
		if _, err := flood.await(b.ctx, "flooding"); err != nil {
			return load{}, err
		}
		return b.innocent(in, d)
	}
}
