package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"gcd/internal/logqueue"
)

// notices collects what a manager is told, a notice a line.
type notices struct{ bytes.Buffer }

func (n *notices) Write(state []byte) (int, error) {
	n.WriteString(strings.ReplaceAll(strings.TrimSpace(string(state)), "\n", " ") + "\n")
	return len(state), nil
}

// TestManagerHears: a reload is told of while the server serves, and at no other time, for then
// READY would not be true.
func TestManagerHears(t *testing.T) {
	t.Parallel()
	var told notices
	m := &manager{notices: logqueue.New(&told, logqueue.Options{})}
	m.reload(func() {})
	m.starting("recovering: log 1 of 2")
	m.ready()
	m.reload(m.alive) // which it tells before it is done
	m.stopping()
	m.reload(func() {})
	m.notices.Close(nil, time.Minute)
	lines := strings.Split(told.String(), "\n")
	want := []string{"STATUS=recovering: log 1 of 2 EXTEND_TIMEOUT_USEC=50000000 WATCHDOG=1", "READY=1", "RELOADING=1",
		"WATCHDOG=1", "READY=1", "STOPPING=1", ""}
	for i := range max(len(lines), len(want)) {
		if i >= len(lines) || i >= len(want) || !strings.HasPrefix(lines[i], want[i]) ||
			want[i] == "" && lines[i] != "" {
			t.Fatalf("it is told %q, want %q", lines, want)
		}
	}
}

// TestNoManager: where there is none, nothing is told and nothing breaks.
func TestNoManager(t *testing.T) {
	t.Parallel()
	var m *manager
	m.starting("recovering")
	m.ready()
	m.reload(m.alive) // which it tells before it is done
	m.stopping()
	m.close()
	if got := m.watches(nil); got != 0 {
		t.Errorf("it watches for %v", got)
	}
}
