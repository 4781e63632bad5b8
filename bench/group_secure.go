package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gcd/internal/certs/certstest"
	"gcd/loadgen"
)

// rightsGoal is the least share of the rate without rules that there is with them.
const rightsGoal = 0.97

// groupRights compares gcd with rules and without, in pairs of runs: over RESP each client gives a
// token, over TCP it is one that comes without a name.
func (b *bench) groupRights() (string, error) {
	rules, token, err := b.makeRules()
	if err != nil {
		return "", err
	}
	t := newTable("load | rate, with rules / without | server CPU, with / without | with | without | " +
		"CPU µs with | CPU µs without")
	loads := []loadgen.Options{
		{Network: loadgen.RESP, Clients: 64},
		{Network: loadgen.RESP, Clients: 64, Pipeline: 16},
		{Network: loadgen.TCP, Clients: 64, Threads: tcpThreads},
	}
	for _, l := range loads {
		c := b.newCell("Rights", "network", l.Network, "clients", l.Clients, "pipeline", max(1, l.Pipeline))
		l.Timeout = doorsTimeout
		c.start("without rules", b.freshGCD, b.generated(l))
		if l.Network == loadgen.RESP {
			l.Token = token
		}
		c.start("with rules", func() (*instance, error) { return b.startGCD("", "--auth", rules) }, b.generated(l))
		measured, err := c.measure()
		if err != nil {
			return "", err
		}
		with, without := measured["with rules"], measured["without rules"]
		t.row(loadName(l), wanted(median(with.pairs(without, rate)), rightsGoal),
			digits(median(with.pairs(without, cpu))), with.text(rate), without.text(rate),
			with.text(cpu), without.text(cpu))
	}
	return "Medians of the ratios of pairs of runs; one topic.\n\n" + t.String(), nil
}

// makeRules writes a file of rules in which a token, which is returned, and who comes without a
// name may count.
func (b *bench) makeRules() (file, token string, err error) {
	var line strings.Builder
	command := exec.CommandContext(b.ctx, b.gcd, "token", "bench", "count:", "read:")
	command.Stderr = &line
	out, err := command.Output()
	if err != nil {
		return "", "", fmt.Errorf("gcd token: %w: %s", err, line.String())
	}
	file = filepath.Join(b.root, "rules")
	text := lineOf(line.String(), "bench ") + "\nanonymous - count:\n"
	return file, strings.TrimSpace(string(out)), os.WriteFile(file, []byte(text), 0o600)
}

// lineOf is the line that begins with a prefix.
func lineOf(text, prefix string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// groupTLS compares gcd over TLS with Redis over TLS, which both sync before they answer; the same
// client, which has a goroutine for each connection, drives both.
func (b *bench) groupTLS() (string, error) {
	cert, key, config, err := b.makeCertificate()
	if err != nil {
		return "", err
	}
	startGCD := func() (*instance, error) { return b.startGCD("", "--tls-cert", cert, "--tls-key", key) }
	startRedis := func() (*instance, error) {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		in, err := b.startRedis("always", "", "--tls-port", portOf(addr), "--tls-cert-file", cert,
			"--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
		if err == nil {
			in.addr = addr
		}
		return in, err
	}
	t := newTable("connections | pipeline | gcd / Redis always | gcd | Redis always | CPU µs gcd | CPU µs Redis | " +
		"p50, p99 µs gcd | p50, p99 µs Redis")
	allClients, pipelines := []int{1, 64}, []int{1, 16, 128}
	if b.quick {
		allClients, pipelines = []int{64}, []int{1}
	}
	for _, clients := range allClients {
		for _, pipeline := range pipelines {
			c := b.newCell("TLS", "clients", clients, "pipeline", pipeline)
			l := loadgen.Options{Network: loadgen.RESP, Clients: clients, Pipeline: pipeline, Timeout: doorsTimeout,
				TLS: config}
			c.start("gcd", startGCD, b.generated(l))
			c.start("Redis always", startRedis, b.generated(l))
			measured, err := c.measure()
			if err != nil {
				return "", err
			}
			ours, theirs := measured["gcd"], measured["Redis always"]
			t.row(grouped(clients), grouped(pipeline), wanted(median(ours.pairs(theirs, rate)), 1), ours.text(rate),
				theirs.text(rate), ours.text(cpu), theirs.text(cpu), ours.latencies(), theirs.latencies())
		}
	}
	return "Medians of the ratios of pairs of runs; one topic.\n\n" + t.String(), nil
}

// makeCertificate makes a certificate of its own authority for the loopback address, and what a
// client takes it by.
func (b *bench) makeCertificate() (certFile, keyFile string, client *tls.Config, err error) {
	one := certstest.SelfSigned(certstest.Leaf{From: -time.Hour, To: 24 * time.Hour})
	certFile, keyFile = filepath.Join(b.root, "cert.pem"), filepath.Join(b.root, "key.pem")
	err = errors.Join(os.WriteFile(certFile, one.Certificate, 0o600), os.WriteFile(keyFile, one.Key, 0o600))
	pool := x509.NewCertPool()
	pool.AddCert(one.TLS.Leaf)
	return certFile, keyFile, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, err
}
