package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"

	"gcd/internal/logqueue"
)

// mostNotices bounds what waits for the service manager, in bytes.
const mostNotices = 16 << 10

// manager is the service manager, systemd or one like it, which wants to know how the server is.
// Nobody waits for it: notices go through a queue, in order. A nil manager means that there is
// none.
type manager struct {
	notices *logqueue.Queue

	mu      sync.Mutex
	serving bool // between ready and stopping
}

// newManager finds the manager that the environment names, if there is one. It starts a queue's
// goroutine, which close ends.
func newManager(log hclog.Logger) *manager {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	return &manager{notices: logqueue.New(notifySocket{log}, logqueue.Options{
		Bytes: mostNotices,
		Lost:  func(uint64) []byte { return nil }, // a line about what is lost is no notice
	})}
}

// ready says that the server serves.
func (m *manager) ready() { m.turn(true, daemon.SdNotifyReady) }

// stopping says that it begins to stop.
func (m *manager) stopping() { m.turn(false, daemon.SdNotifyStopping) }

func (m *manager) turn(serving bool, state string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serving = serving
	m.tell(state)
}

// alive says that the server lives.
func (m *manager) alive() { m.tell(daemon.SdNotifyWatchdog) }

// startTimeout is how much longer a start may take after each notice of it.
const startTimeout = 10 * progressEvery

// starting says what a long start is doing, and asks the manager to wait.
func (m *manager) starting(doing string) {
	m.tell(fmt.Sprintf("STATUS=%s\nEXTEND_TIMEOUT_USEC=%d\n%s", doing, startTimeout.Microseconds(),
		daemon.SdNotifyWatchdog))
}

// watches is how long the manager waits for alive before it ends the server; 0: for ever.
func (m *manager) watches(log hclog.Logger) time.Duration {
	if m == nil {
		return 0
	}
	timeout, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the service manager's watchdog is off: what it says of it cannot be read", "error", err)
		return 0
	}
	return timeout
}

// reload says that a reload begins, does it, and says that it is done. A server that does not serve
// yet, or no more, must not say READY for it.
func (m *manager) reload(do func()) {
	m.whileServing(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	do()
	m.whileServing(daemon.SdNotifyReady)
}

func (m *manager) whileServing(state string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.serving {
		m.tell(state)
	}
}

// tell passes a state on.
func (m *manager) tell(state string) {
	if m != nil {
		_, _ = m.notices.Write([]byte(state)) // never fails
	}
}

// close waits a moment until everything is told.
func (m *manager) close() {
	if m != nil {
		m.notices.Close(nil, drainTime)
	}
}

// notifySocket writes notices, each as a datagram. A socket that is full may block it.
type notifySocket struct{ log hclog.Logger }

func (s notifySocket) Write(state []byte) (int, error) {
	if _, err := daemon.SdNotify(false, string(state)); err != nil {
		s.log.Warn("cannot notify systemd", "error", err)
		return 0, err
	}
	return len(state), nil
}
