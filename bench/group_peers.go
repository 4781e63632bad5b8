package main

import (
	"errors"
	"fmt"
	"time"

	"gcd/loadgen"
)

const peerClients = 64

// groupPeers compares gcd with services of other kinds, one request at a time on each connection.
func (b *bench) groupPeers() (string, error) {
	million := b.scale(1_000_000, 5_000)
	one, oneMissing, err := b.peerCell(1)
	if err != nil {
		return "", err
	}
	many, _, err := b.peerCell(million)
	if err != nil {
		return "", err
	}
	t := table{header: []string{"", "on disk before the answer", "one topic", "CPU µs", "p50, p99 µs", plural(million, "topic"), "CPU µs", "p50, p99 µs", "generator"}}
	for _, peer := range []struct{ name, durable, generator string }{
		{"gcd", "yes", "gcd bench (RESP)"},
		{"Redis always", "yes", "gcd bench (RESP)"},
		{"Redis none", "no", "gcd bench (RESP)"},
		{"memcached", "no", "text protocol, a goroutine for each connection"},
		{"etcd", "yes", "etcd's Go client, 16 callers on a connection"},
		{"PostgreSQL update", "yes", "pgbench"},
		{"PostgreSQL nextval", "each 32nd: a crash leaves gaps", "pgbench"},
	} {
		if reason, missing := oneMissing[peer.name]; missing {
			t.row(peer.name, peer.durable, reason, "", "", "", "", "", "")
			continue
		}
		cells := []string{peer.name, peer.durable}
		for _, points := range [][]point{one[peer.name], many[peer.name]} {
			latencies := "–"
			if len(points) > 0 {
				latencies = micros(median(p50s(points))) + ", " + micros(median(p99s(points)))
			}
			cells = append(cells, ranged(rates(points), perSecond), ranged(cpus(points), digits), latencies)
		}
		t.row(append(cells, peer.generator)...)
	}
	return fmt.Sprintf("%d connections that stay open, one request under way on each; answers a second:\n\n%s", peerClients, t.String()), nil
}

// peerCell measures all peers that are installed, and says of the others why they are missing.
func (b *bench) peerCell(topics int) (map[string][]point, map[string]string, error) {
	var subjects []*subject
	defer b.closeSubjects(&subjects)
	missing := make(map[string]string)
	type named struct {
		name string
		load func(time.Duration) (load, error)
	}
	add := func(in *instance, err error, loads ...named) error {
		for _, l := range loads {
			switch {
			case errors.Is(err, errNotInstalled):
				missing[l.name] = err.Error()
			case err == nil:
				subjects = append(subjects, &subject{name: l.name, in: in, load: l.load})
			}
		}
		if errors.Is(err, errNotInstalled) {
			b.logf("%v", err)
			return nil
		}
		return err
	}
	resp := func(in *instance) func(time.Duration) (load, error) {
		if in == nil {
			return nil
		}
		return b.generated(loadgen.Options{Network: loadgen.RESP, Addr: in.addr, Clients: peerClients, Topics: uint64(topics), Prefix: fillPrefix, Timeout: doorsTimeout})
	}

	in, err := b.startGCD("")
	if err := add(in, err, named{"gcd", resp(in)}); err != nil {
		return nil, nil, err
	}
	for _, mode := range []string{"always", "none"} {
		in, err := b.startRedis(mode, "")
		if err := add(in, err, named{"Redis " + mode, resp(in)}); err != nil {
			return nil, nil, err
		}
	}
	for _, s := range subjects {
		if err := b.fill(s.in, topics, 1); err != nil {
			return nil, nil, err
		}
	}
	in, err = b.startMemcached(topics)
	if err := add(in, err, named{"memcached", b.memcachedLoad(in, peerClients, topics)}); err != nil {
		return nil, nil, err
	}
	in, err = b.startEtcd()
	if err := add(in, err, named{"etcd", b.etcdLoad(in, peerClients, topics)}); err != nil {
		return nil, nil, err
	}
	in, err = b.startPostgres(topics)
	kinds := []named{{"PostgreSQL update", b.pgbenchLoad(in, peerClients, topics, pgUpdate)}}
	if topics == 1 { // more would need a sequence for each
		kinds = append(kinds, named{"PostgreSQL nextval", b.pgbenchLoad(in, peerClients, topics, pgNextval)})
	}
	if err := add(in, err, kinds...); err != nil {
		return nil, nil, err
	}
	points, err := b.compare("peers, "+plural(topics, "topic"), subjects, nil)
	return points, missing, err
}
