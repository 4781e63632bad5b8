package main

import (
	"bufio"
	"errors"
	"fmt"
	"gcd/internal/scripttest"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestTransactionsUnderKill kills the real server with SIGKILL while clients count two topics, only
// ever in one MULTI: at every start, and for every reader in between, they are equal, and no
// acknowledged transaction is gone. GCD_TRANSACTIONS_ROUNDS sets the rounds (default 3).
func TestTransactionsUnderKill(t *testing.T) {
	t.Parallel()
	rounds, _ := strconv.Atoi(os.Getenv("GCD_TRANSACTIONS_ROUNDS"))
	if rounds <= 0 {
		rounds = 3
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &pairTest{rand: rand.New(rand.NewPCG(seed, 0))}
	binary, data := scripttest.Build(t, t.TempDir(), "."), filepath.Join(t.TempDir(), "data")
	for round := range rounds {
		p, _ := startOnWhatIsLeft(t, k.rand, binary, data, []string{"pool", "goroutine"}[round%2])
		k.check(t, p)
		p.killUnderLoad(t, k.rand, 8, &k.acked, 10+k.rand.Int64N(80),
			func(i int, r *rand.Rand, acked func()) error { return k.load(p, i, r, acked) })
		if t.Failed() {
			t.Fatalf("seed %d: failed in round %d", seed, round)
		}
	}
	if k.cut.Load() == 0 {
		t.Error("no transaction was under way at any kill: the fault was not injected")
	}
	t.Logf("%d rounds, %d transactions acknowledged, %d under way at a kill, %d looks between", rounds,
		k.acked.Load(), k.cut.Load(), k.looks.Load())
}

// pairTest is the journal of two pairs of topics. The first is counted only; the second is reset,
// too.
type pairTest struct {
	rand    *rand.Rand
	acked   atomic.Int64
	cut     atomic.Int64 // transactions that were sent and not answered
	looks   atomic.Int64
	highest atomic.Int64 // acknowledged sum of the first pair
	sent    atomic.Int64 // transactions on the first pair
}

// load counts in transactions until the server is gone, beside one client that counts alone, and
// one that looks at both pairs.
func (k *pairTest) load(p *victim, i int, r *rand.Rand, acked func()) error {
	c, err := dialPlain(p.tcp)
	if err != nil {
		return nil // it is gone already
	}
	defer c.Close()
	for {
		switch i {
		case 0:
			if _, err := c.ask(fmt.Sprintf("INCRBY filler%d 3\r\nINCR alone\r\n", r.IntN(50)), 2); err != nil {
				return nil
			}
			continue
		case 1:
			got, err := c.ask("MGET one two\r\nMULTI\r\nGCD.INFO three\r\nGCD.INFO four\r\nEXEC\r\n", 5)
			if err != nil {
				return nil
			}
			k.looks.Add(1)
			if err := equal(got[0]); err != nil {
				return err
			}
			if err := equal(got[4]); err != nil {
				return err
			}
			continue
		}
		commands, first := []string{"INCR three", "INCR four"}, r.IntN(2) == 0
		if first {
			commands = []string{"INCR one", "INCR two"}
			k.sent.Add(1)
		} else if r.IntN(4) == 0 {
			commands = []string{"GCD.RESET three", "GCD.RESET four"}
		}
		for range r.IntN(2) * r.IntN(2) * r.IntN(100) { // so that it is long, and crosses pages, and ends batches
			commands = append(commands[:1:1], append([]string{fmt.Sprintf("INCR filler%d%s", r.IntN(500),
				strings.Repeat("x", 500))}, commands[1:]...)...)
		}
		got, err := c.ask("MULTI\r\n"+strings.Join(commands, "\r\n")+"\r\nEXEC\r\n", 2+len(commands))
		if err != nil {
			k.cut.Add(1)
			return nil
		}
		sums := strings.Fields(got[len(got)-1])
		if len(sums) != len(commands) || sums[0] != sums[len(sums)-1] {
			return fmt.Errorf("%s … %s was answered %.200q", commands[0], commands[len(commands)-1], got[len(got)-1])
		}
		if sum, err := strconv.ParseInt(sums[0], 10, 64); first && err == nil {
			for old := k.highest.Load(); sum > old && !k.highest.CompareAndSwap(old, sum); old = k.highest.Load() {
			}
		}
		acked()
	}
}

// equal tells whether an answer has two halves that are the same.
func equal(answer string) error {
	words := strings.Fields(answer)
	if half := len(words) / 2; len(words)%2 != 0 || strings.Join(words[:half], " ") != strings.Join(words[half:], " ") {
		return fmt.Errorf("two topics that are only counted together are at %q", answer)
	}
	return nil
}

// check looks at the pairs while nobody counts.
func (k *pairTest) check(t *testing.T, p *victim) {
	t.Helper()
	c, err := dialPlain(p.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.ask("MGET one two\r\nGCD.INFO three\r\nGCD.INFO four\r\n", 3)
	if err != nil {
		t.Fatalf("the pairs cannot be read after the kill: %v\n%s", err, p.output())
	}
	if err := errors.Join(equal(got[0]), equal(got[1]+" "+got[2])); err != nil {
		t.Errorf("after a kill: %v\n%s", err, p.output())
	}
	sum, _ := strconv.ParseInt(strings.Fields(got[0])[0], 10, 64)
	if sum < k.highest.Load() || sum > k.sent.Load() {
		t.Errorf("recovered at %d; %d was acknowledged, %d transactions were sent", sum, k.highest.Load(),
			k.sent.Load())
	}
}

// plainConn speaks RESP with nothing between.
type plainConn struct {
	net.Conn
	replies *bufio.Reader
}

func dialPlain(addr string) (*plainConn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(3 * time.Minute))
	return &plainConn{c, bufio.NewReader(c)}, nil
}

// ask sends commands and reads so many answers, each as one line.
func (c *plainConn) ask(commands string, n int) (answers []string, err error) {
	if _, err := io.WriteString(c, commands); err != nil {
		return nil, err
	}
	for range n {
		one, err := c.answer()
		if err != nil {
			return nil, err
		}
		answers = append(answers, one)
	}
	return answers, nil
}

func (c *plainConn) answer() (string, error) {
	line, err := c.replies.ReadString('\n')
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(line[1:], "\r\n")
	switch {
	case line == "$-1\r\n":
		return "0", nil
	case line[0] == '$':
		text, err = c.replies.ReadString('\n')
		return strings.TrimSuffix(text, "\r\n"), err
	case line[0] == '*':
		n, _ := strconv.Atoi(text)
		parts, err := c.ask("", n)
		return strings.Join(parts, " "), err
	}
	return text, nil
}
