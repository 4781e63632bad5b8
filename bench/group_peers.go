package main

import (
	"fmt"
	"sync"

	"gcd/loadgen"
)

const peerClients = 64

// groupPeers compares gcd with services of other kinds, one request at a time on each connection.
func (b *bench) groupPeers() (string, error) {
	topics := b.scale(1_000_000, 5_000)
	one, missing, err := b.peerCell(1)
	if err != nil {
		return "", err
	}
	many, _, err := b.peerCell(topics)
	if err != nil {
		return "", err
	}
	return peerTable(topics, one, many, missing), nil
}

func peerTable(topics int, one, many map[string]runs, missing map[string]string) string {
	t := newTable(" | on disk before the answer | one topic | CPU µs | p50, p99 µs | " + plural(topics, "topic") +
		" | CPU µs | p50, p99 µs | generator")
	for _, peer := range []struct{ name, durable, generator string }{
		{"gcd", "yes", "gcd bench (RESP)"},
		{"Redis always", "yes", "gcd bench (RESP)"},
		{"Redis none", "no", "gcd bench (RESP)"},
		{"memcached", "no", "text protocol, a goroutine for each connection"},
		{"etcd", "yes", "etcd's Go client, 16 callers on a connection"},
		{"PostgreSQL update", "yes", "pgbench"},
		{"PostgreSQL nextval", "each 32nd: a crash leaves gaps", "pgbench"},
	} {
		if reason, ok := missing[peer.name]; ok {
			t.row(peer.name, peer.durable, reason, "", "", "", "", "", "")
			continue
		}
		o, m := one[peer.name], many[peer.name]
		t.row(peer.name, peer.durable, o.text(rate), o.text(cpu), o.latencies(),
			m.text(rate), m.text(cpu), m.latencies(), peer.generator)
	}
	return fmt.Sprintf("%d connections that stay open, one request under way on each; answers a second:\n\n%s",
		peerClients, t.String())
}

// peerCell measures all peers that are installed, and says of the others why they are missing.
func (b *bench) peerCell(topics int) (map[string]runs, map[string]string, error) {
	c := b.newCell("Peers", "topics", topics)
	resp := b.generated(loadgen.Options{Network: loadgen.RESP, Clients: peerClients, Topics: uint64(topics),
		Prefix: fillPrefix, Timeout: doorsTimeout})
	c.start("gcd", b.freshGCD, resp)
	for _, mode := range []string{"always", "none"} {
		c.start("Redis "+mode, b.freshRedis(mode), resp)
	}
	c.fill(topics)
	memcached := func() (*instance, error) { return b.startMemcached(topics) }
	c.start("memcached", memcached, b.memcachedLoad(peerClients, topics))
	c.start("etcd", b.startEtcd, b.etcdLoad(peerClients, topics))
	postgres := sync.OnceValues(func() (*instance, error) { return b.startPostgres(topics) })
	c.start("PostgreSQL update", postgres, b.pgbenchLoad(peerClients, topics, pgUpdate))
	if topics == 1 { // more would need a sequence for each
		c.start("PostgreSQL nextval", postgres, b.pgbenchLoad(peerClients, topics, pgNextval))
	}
	measured, err := c.measure()
	return measured, c.missing, err
}
