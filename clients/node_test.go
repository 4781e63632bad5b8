//go:build linux

package clients

import (
	"slices"
	"strings"
	"testing"
)

// startNode starts a program of clients/node.
func startNode(t *testing.T, module, file, addr string) *program {
	t.Helper()
	l := library{name: module, from: "npm ci, in clients/node", probe: nodeProbe(module)}
	l.missing(t)
	return startProgram(t, []string{"node", "node/" + file}, addr, false, nil)
}

// A client of node-redis that keeps a cache asks to be told of changes, and is refused before it
// reads anything.
func TestNodeRedisCache(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *running) {
		p := startNode(t, "redis", "node_redis.js", s.addr)
		if got, err := p.all("cached", "topic"); err == nil || !strings.Contains(err.Error(), "TRACKING") {
			t.Errorf("with clientSideCache: %v (%v), want an error that names TRACKING", got, err)
		}
		if got, err := p.pipeline("topic", 3); err != nil || !slices.Equal(got, upTo(3)) {
			t.Errorf("without it: %v (%v)", got, err)
		}
	})
}

// rate-limiter-flexible wants scripts and times that topics do not have: it fails, or with an
// insurance counts in its own memory and says nothing.
func TestRateLimiterFlexible(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *running) {
		p := startNode(t, "rate-limiter-flexible", "rate_limiter_flexible.js", s.addr)
		if got, err := p.all("consume", "limited", 1); err == nil || !strings.Contains(err.Error(), "not supported") {
			t.Errorf("without an insurance: %v (%v), want the server's refusal", got, err)
		}
		if got, err := p.all("insured", "limited", 3); err != nil || !slices.Equal(got, upTo(3)) {
			t.Errorf("with an insurance: %v (%v), want 1 to 3 out of its own memory", got, err)
		}
		if topics, err := dialRedigo(t, s).Do("DBSIZE"); err != nil || topics != int64(0) {
			t.Errorf("the server has %v topics (%v), want none", topics, err)
		}
	})
}
