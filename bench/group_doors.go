package main

import (
	"time"

	"gcd/loadgen"
)

const (
	manyClients  = 64   // from which on there are goals
	tcpGoal      = 1.25 // × Redis always
	tcpBareGoal  = 0.75 // × a bare accept loop
	udpGoal      = 0.9  // × the formula
	udpAloneGoal = 1.15 // × echo and sync, at most, for one client
	doorsTimeout = 10 * time.Second

	// tcpThreads are those of the generator, at least: making connections is most of the work, and
	// one thread is at its limit before the servers are.
	tcpThreads = 2
)

// groupTCP compares a connection for each count.
func (b *bench) groupTCP() (string, error) {
	t := newTable("clients | gcd / always | gcd / bare | gcd | Redis always | Redis none | bare loop | " +
		"CPU µs gcd | CPU µs always | gcd / always | p50, p99 µs gcd | p50, p99 µs always")
	for _, clients := range []int{1, 8, 64, 256} {
		put := func(network loadgen.Network) loader {
			return b.generated(loadgen.Options{
				Network: network, Clients: clients, Timeout: doorsTimeout, Threads: tcpThreads,
			})
		}
		c := b.newCell("TCP", "clients", clients)
		c.start("gcd", b.freshGCD, put(loadgen.TCP))
		c.start("Redis always", b.freshRedis("always"), put(loadgen.RESPOnce))
		c.start("Redis none", b.freshRedis("none"), put(loadgen.RESPOnce))
		c.start("bare tcp", b.freshBare("tcp"), put(loadgen.TCP))
		measured, err := c.measure()
		if err != nil {
			return "", err
		}
		ours, theirs, bare := measured["gcd"], measured["Redis always"], measured["bare tcp"]
		goal, bareGoal := 0.0, 0.0
		if clients >= manyClients {
			goal, bareGoal = tcpGoal, tcpBareGoal
		}
		t.row(grouped(clients), wanted(ours.over(theirs, rate), goal), wanted(ours.over(bare, rate), bareGoal),
			ours.text(rate), theirs.text(rate), measured["Redis none"].text(rate), bare.text(rate),
			ours.text(cpu), theirs.text(cpu), atMost(ours.over(theirs, cpu), 1), ours.latencies(), theirs.latencies())
	}
	return "A connection for each count, read to its end, one topic, from " +
		plural(max(tcpThreads, b.threads), "thread") + " of the generator, " +
		"because one is at its limit before the servers are; " +
		"Redis gets INCR and QUIT in one write, so that it closes first as gcd does:\n\n" + t.String(), nil
}

// groupUDP compares datagrams with what they must at least cost.
func (b *bench) groupUDP() (string, error) {
	t := newTable("N | gcd | R | S µs | N/(N/R + S) | gcd / formula | CPU µs gcd | CPU µs bare | " +
		"p50, p99 µs gcd | p50 µs bare | lost in a run, gcd, bare")
	alone := newTable("one client: gcd p50 µs | bare answer p50 µs | bare append and sync p50 µs | gcd / their sum")
	log, err := newBareLog(b.root)
	if err != nil {
		return "", err
	}
	defer log.close()
	for _, clients := range []int{1, 8, 64, 256} {
		put := b.generated(loadgen.Options{Network: loadgen.UDP, Clients: clients, Timeout: time.Second})
		c := b.newCell("UDP", "clients", clients)
		c.start("gcd", b.freshGCD, put)
		c.start("bare udp", b.freshBare("udp"), put)
		c.add("disk", func() (load, error) { return log.appendAndSync(b.ctx, b.time/2) })
		measured, err := c.measure()
		if err != nil {
			return "", err
		}
		ours, bare, disk := measured["gcd"], measured["bare udp"], measured["disk"]
		n, goal := float64(clients), 0.0
		formula := n / (n/bare.median(rate) + disk.median(mean))
		if clients >= manyClients {
			goal = udpGoal
		}
		t.row(grouped(clients), ours.text(rate), bare.text(rate), disk.text(mean), perSecond(formula),
			wanted(ratio(ours.median(rate), formula), goal), ours.text(cpu), bare.text(cpu),
			ours.latencies(), micros(bare.median(p50)), digits(ours.median(lost))+", "+digits(bare.median(lost)))
		if clients == 1 {
			sum := bare.median(p50) + disk.median(p50)
			alone.row(ours.text(p50), bare.text(p50), disk.text(p50),
				atMost(ratio(ours.median(p50), sum), udpAloneGoal))
		}
	}
	return "N clients, each with one datagram under way. " +
		"R is the rate of a bare loop that answers datagrams, for the same clients; " +
		"S the mean time of a bare append and sync. " +
		"A server that reads all there is, syncs once and answers all, one after the other, " +
		"makes N/(N/R + S) a second; overlapping reading with the sync makes more.\n\n" +
		t.String() + "\n" + alone.String(), nil
}
