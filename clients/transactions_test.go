//go:build linux

package clients

import (
	"slices"
	"testing"
)

// transactions counts two topics together.
func transactions(t *testing.T, c counter) {
	t.Helper()
	want := make([]int64, 0, 20)
	for _, n := range upTo(10) {
		want = append(want, n, n)
	}
	if got, err := c.transaction("one", "other", 10); err != nil || !slices.Equal(got, want) {
		t.Errorf("a transaction: %v (%v), want each of 1 to 10 twice", got, err)
	}
}

// killedInTransactions kills the server while a client counts two topics together: they are equal
// ever after.
func killedInTransactions(t *testing.T, s *process, c counter) {
	t.Helper()
	const calls, at = 150, 50
	again := make(chan error, 1)
	last, failures := int64(0), 0
	for answered := 0; answered < calls && failures < 20; {
		got, err := c.transaction("left", "right", 1)
		if err != nil {
			if failures++; failures == 1 && answered >= at {
				if err := <-again; err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		if len(got) != 2 || got[0] != got[1] || got[0] <= last {
			t.Fatalf("a transaction: %v after %d", got, last)
		}
		last = got[0]
		if answered++; answered == at {
			go func() { again <- s.again() }()
		}
	}
	if failures == 0 {
		if err := <-again; err != nil {
			t.Fatal(err)
		}
	}
	left, err := c.get("left")
	right, err2 := c.get("right")
	if err != nil || err2 != nil || left != right || left != last || last > calls+1 || last < calls {
		t.Errorf("%d transactions were answered, %d failed: at %d (%v) and %d (%v), the last answer is %d",
			calls, failures, left, err, right, err2, last)
	}
}

// transactionLost has the answer to a transaction lost on its way: it was done whole, once or
// twice.
func transactionLost(t *testing.T, s *process, c counter, l *library) {
	t.Helper()
	for _, once := range []bool{false, true} {
		topic, other := "lost-left", "lost-right"
		if once {
			topic, other = "lost-left-once", "lost-right-once"
		}
		through, _ := l.client(t, startRelay(t, s.addr, "exec"), once)
		got, err := through.transaction(topic, other, 1)
		left, err1 := c.get(topic)
		right, err2 := c.get(other)
		if err1 != nil || err2 != nil || left != right || left < 1 || left > 2 || once && (left != 1 || err == nil) {
			t.Errorf("a transaction whose answer is lost: at %d (%v) and %d (%v), the client has %v (%v)",
				left, err1, right, err2, got, err)
		}
		t.Logf("a transaction whose answer is lost: it was done %d times; %v", left, err)
	}
}
