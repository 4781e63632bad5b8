package main

import (
	"errors"
	"fmt"
	"time"

	"gcd/loadgen"
)

const (
	manyClients   = 64   // from which on there are goals
	tcpGoal       = 1.25 // × Redis always
	tcpBareGoal   = 0.75 // × a bare accept loop
	udpGoal       = 0.9  // × the formula
	udpAloneGoal  = 1.15 // × echo and sync, at most, for one client
	doorsTimeout  = 10 * time.Second
	tcpThreads    = 2 // of the generator, at least: making connections is most of the work, and one thread is at its limit before the servers are
	udpEchoNotice = "N clients, each with one datagram under way. R is the rate of a bare loop that answers datagrams, for the same clients; S the mean time of a bare append and sync. " +
		"A server that reads all there is, syncs once and answers all, one after the other, makes N/(N/R + S) a second; overlapping reading with the sync makes more."
)

// groupTCP compares a connection for each count.
func (b *bench) groupTCP() (string, error) {
	t := table{header: []string{"clients", "gcd / always", "gcd / bare", "gcd", "Redis always", "Redis none", "bare loop", "CPU µs gcd", "CPU µs always", "gcd / always", "p50, p99 µs gcd", "p50, p99 µs always"}}
	for _, clients := range []int{1, 8, 64, 256} {
		points, err := b.tcpCell(clients)
		if err != nil {
			return "", err
		}
		ours, theirs, bare := points["gcd"], points["Redis always"], points["bare tcp"]
		goal, bareGoal := 0.0, 0.0
		if clients >= manyClients {
			goal, bareGoal = tcpGoal, tcpBareGoal
		}
		t.row(grouped(clients),
			wanted(ratio(median(rates(ours)), median(rates(theirs))), goal),
			wanted(ratio(median(rates(ours)), median(rates(bare))), bareGoal),
			ranged(rates(ours), perSecond), ranged(rates(theirs), perSecond), ranged(rates(points["Redis none"]), perSecond), ranged(rates(bare), perSecond),
			ranged(cpus(ours), digits), ranged(cpus(theirs), digits), atMost(ratio(median(cpus(ours)), median(cpus(theirs))), 1),
			micros(median(p50s(ours)))+", "+micros(median(p99s(ours))), micros(median(p50s(theirs)))+", "+micros(median(p99s(theirs))))
	}
	return fmt.Sprintf("A connection for each count, read to its end, one topic, from %s of the generator, because one is at its limit before the servers are; "+
		"Redis gets INCR and QUIT in one write, so that it closes first as gcd does:\n\n%s", plural(max(tcpThreads, b.threads), "thread"), t.String()), nil
}

func (b *bench) tcpCell(clients int) (map[string][]point, error) {
	var subjects []*subject
	defer b.closeSubjects(&subjects)
	in, err := b.startGCD("")
	if err != nil {
		return nil, err
	}
	o := loadgen.Options{Network: loadgen.TCP, Addr: in.addr, Clients: clients, Timeout: doorsTimeout, Threads: tcpThreads}
	subjects = append(subjects, &subject{name: "gcd", in: in, load: b.generated(o)})
	for _, mode := range []string{"always", "none"} {
		in, err := b.startRedis(mode, "")
		if errors.Is(err, errNotInstalled) {
			continue
		}
		if err != nil {
			return nil, err
		}
		o.Network, o.Addr = loadgen.RESPOnce, in.addr
		subjects = append(subjects, &subject{name: in.name, in: in, load: b.generated(o)})
	}
	if in, err = b.startBare("tcp"); err != nil {
		return nil, err
	}
	o.Network, o.Addr = loadgen.TCP, in.addr
	subjects = append(subjects, &subject{name: in.name, in: in, load: b.generated(o)})
	return b.compare("TCP, "+plural(clients, "client"), subjects, nil)
}

func (b *bench) closeSubjects(subjects *[]*subject) {
	for _, s := range *subjects {
		if err := s.in.close(); err != nil {
			b.logf("%v", err)
		}
	}
}

// groupUDP compares datagrams with what they must at least cost.
func (b *bench) groupUDP() (string, error) {
	t := table{header: []string{"N", "gcd", "R", "S µs", "N/(N/R + S)", "gcd / formula", "CPU µs gcd", "CPU µs bare", "p50, p99 µs gcd", "p50 µs bare", "lost in a run, gcd, bare"}}
	alone := table{header: []string{"one client: gcd p50 µs", "bare answer p50 µs", "bare append and sync p50 µs", "gcd / their sum"}}
	for _, clients := range []int{1, 8, 64, 256} {
		points, disk, err := b.udpCell(clients)
		if err != nil {
			return "", err
		}
		ours, bare := points["gcd"], points["bare udp"]
		n, r := float64(clients), median(rates(bare))
		var means, middles []float64
		for _, s := range disk {
			means, middles = append(means, float64(s.mean)), append(middles, float64(s.p50))
		}
		formula := n / (n/r + median(means)/1e9)
		goal := 0.0
		if clients >= manyClients {
			goal = udpGoal
		}
		t.row(grouped(clients), ranged(rates(ours), perSecond), ranged(rates(bare), perSecond), ranged(means, micros), perSecond(formula),
			wanted(ratio(median(rates(ours)), formula), goal), ranged(cpus(ours), digits), ranged(cpus(bare), digits),
			micros(median(p50s(ours)))+", "+micros(median(p99s(ours))), micros(median(p50s(bare))),
			digits(median(losses(ours)))+", "+digits(median(losses(bare))))
		if clients == 1 {
			sum := median(p50s(bare)) + median(middles)
			alone.row(ranged(p50s(ours), micros), ranged(p50s(bare), micros), ranged(middles, micros), atMost(ratio(median(p50s(ours)), sum), udpAloneGoal))
		}
	}
	return udpEchoNotice + "\n\n" + t.String() + "\n" + alone.String(), nil
}

func (b *bench) udpCell(clients int) (map[string][]point, []syncs, error) {
	var subjects []*subject
	defer b.closeSubjects(&subjects)
	in, err := b.startGCD("")
	if err != nil {
		return nil, nil, err
	}
	o := loadgen.Options{Network: loadgen.UDP, Addr: in.udp, Clients: clients, Timeout: time.Second}
	subjects = append(subjects, &subject{name: "gcd", in: in, load: b.generated(o)})
	if in, err = b.startBare("udp"); err != nil {
		return nil, nil, err
	}
	o.Addr = in.addr
	subjects = append(subjects, &subject{name: in.name, in: in, load: b.generated(o)})

	log, err := newBareLog(b.root)
	if err != nil {
		return nil, nil, err
	}
	defer log.close()
	var disk []syncs
	points, err := b.compare("UDP, "+plural(clients, "client"), subjects, func() error {
		if err := b.settle(subjects); err != nil {
			return err
		}
		s, err := log.appendAndSync(b.ctx, b.time/2)
		disk = append(disk, s)
		return err
	})
	return points, disk, err
}
