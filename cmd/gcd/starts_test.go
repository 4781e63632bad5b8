package main

import (
	"errors"
	"fmt"
	"gcd/internal/scripttest"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestStarts starts the real server on a new directory, again and again, and lets two clients ask
// that come too early: one over UDP that sends again each 100 ms, and one over TCP that asks once.
// Both are answered, and neither is refused.
//
// With GCD_STARTS_ROUNDS it is a measurement: so many starts, the clients come 50 ms after each,
// the one over UDP sends five times, and the time until the server serves is printed. Without it
// the clients come as soon as somebody listens, and have as long as they need.
func TestStarts(t *testing.T) {
	t.Parallel()
	rounds, _ := strconv.Atoi(os.Getenv("GCD_STARTS_ROUNDS"))
	measured := rounds > 0
	if !measured {
		rounds = 3
	}
	binary := scripttest.Build(t, t.TempDir(), ".")
	var ready []time.Duration
	answered := map[string]int{}
	for round := range rounds {
		took := start(t, binary, filepath.Join(t.TempDir(), "data"), measured, func(network string, err error) {
			if err == nil {
				answered[network]++
			} else {
				t.Errorf("start %d, %s: %v", round, network, err)
			}
		})
		ready = append(ready, took)
	}
	slices.Sort(ready)
	at := func(n int) time.Duration { return ready[n].Round(time.Millisecond / 10) }
	t.Logf("%d starts on a new directory: ready after %v (median), %v (p90), %v (longest); "+
		"answered: %d over TCP, %d over UDP",
		rounds, at(rounds/2), at(rounds*9/10), at(rounds-1), answered["tcp"], answered["udp"])
}

// start starts a server, asks it over both networks, tells each outcome, stops it, and returns how
// long it took until it served.
func start(t *testing.T, binary, data string, measured bool, outcome func(network string, err error)) time.Duration {
	t.Helper()
	addr := freeAddress(t)
	began := time.Now()
	p := runVictim(t,
		exec.Command(binary, "serve", "--data", data, "--tcp", addr, "--udp", addr, "--log-format", "json"))
	ready := make(chan time.Duration, 1)
	go func() {
		select {
		case <-p.serving:
			ready <- time.Since(began)
		case <-p.exited:
			ready <- 0
		}
	}()
	sends, come := 5, time.After(50*time.Millisecond-time.Since(began))
	if !measured {
		sends, come = 600, listening(p, addr)
	}
	select {
	case <-come:
	case <-p.exited:
	}
	outcomes := make(chan error, 1)
	go func() { outcomes <- countOverUDP(addr, sends) }()
	outcome("tcp", countOverTCP(addr))
	outcome("udp", receive(t, "counts over UDP", outcomes))
	took := receive(t, "a server that serves", ready)
	p.kill(t)
	if took == 0 {
		t.Errorf("the server did not come up: %v\n%s", p.err, p.output())
	}
	return took
}

// freeAddress returns an address whose port is free for both networks.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		c, err := net.ListenPacket("udp", addr)
		l.Close()
		if err == nil {
			c.Close()
			return addr
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

// listening sends a value when somebody listens at the address, or the process has ended.
func listening(p *victim, addr string) <-chan time.Time {
	there := make(chan time.Time, 1)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
				there <- time.Now()
				return
			}
			select {
			case <-tick.C:
			case <-p.exited:
				return
			}
		}
	}()
	return there
}

// countOverTCP asks once.
func countOverTCP(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write([]byte("\x00tcp")); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	return isFirst(b)
}

// countOverUDP sends so many times, 100 ms apart, until there is an answer. Its socket is not
// connected, as that of the protocol's first clients, so it does not hear that nobody listens.
func countOverUDP(addr string, sends int) error {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return err
	}
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer c.Close()
	for range sends {
		if _, err := c.WriteToUDP([]byte("\x00udp"), to); err != nil {
			return err
		}
		b := make([]byte, 100)
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := c.Read(b)
		if err == nil {
			return isFirst(b[:n])
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return fmt.Errorf("no answer to %d datagrams", sends)
}

// isFirst checks the answer to a topic's first count. Over UDP a slow answer may have met another
// send, so it may be a later one.
func isFirst(b []byte) error {
	if len(b) != 2 || b[0] != 128 || b[1] == 0 {
		return fmt.Errorf("the answer is % x", b)
	}
	return nil
}
