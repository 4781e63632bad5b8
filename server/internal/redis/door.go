// Package redis is RESP, the protocol of Redis, without sockets: the commands, and the sessions
// that take and answer them.
package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/server/internal/gate"
	"gcd/store"
	"gcd/store/core"
)

// respVersion is the version of Redis whose commands and replies these are, as far as they are
// there. Clients choose by it.
const respVersion = "7.2.0"

// Options are what a door needs of its server.
type Options struct {
	Gate    *gate.Gate
	Backend func() Backend // which is another one from when the counters are loaded
	Version string         // what INFO tells as gcd_version; empty: nothing
	Port    func() int     // the TCP port that the server listens on, 0 for none
	Unix    string         // the path of the unix socket that it listens on, empty for none
	// Settings are those of the server's flags, for CONFIG.
	Settings func() []Setting
	// Backup writes a dump of all counters (server.Options); nil: there are none.
	Backup       func(ctx context.Context, w io.Writer, format string) error
	AllowBackup  bool          // also for clients that are not local
	WriteTimeout time.Duration // that a client has to take a piece of a backup
	KeepAlive    time.Duration // of connections, for CONFIG
	Logger       hclog.Logger
}

// Backend is what RESP reads: everything that was acknowledged before, and nothing that is not
// durable. server.Backend has more about it.
type Backend interface {
	Fits(ops []core.Op) bool
	Refusing() error
	WholeVersion() uint64
	GetBytes(topic []byte) (core.Value, bool)
	Live() int
	Scan(cursor uint64, limit int, each func(topic []byte, v core.Value)) uint64
	Stats() store.Stats
	Options() store.Options
}

// Door is what the sessions of one server share.
type Door struct {
	opts    Options
	gate    *gate.Gate
	backups backups

	mostSpare int // bytes of spare exchanges that a worker keeps

	commands map[string]*command // by their names in lower case
	listed   []*command          // those that clients are told of, by their names
	numbered []*command          // by their numbers; INCR is the first
	started  time.Time
	runID    string
	scanRun  uint64 // tells cursors of this run from those of others
	lastID   atomic.Uint64

	mu      sync.Mutex
	clients map[uint64]*Session // by their ids
}

// NewDoor makes one.
func NewDoor(o Options) *Door {
	id := make([]byte, 20)
	rand.Read(id)
	d := &Door{
		opts: o, gate: o.Gate, mostSpare: min(maxSpare, o.Gate.Options.MaxInFlightBytes/spareShare),
		commands: make(map[string]*command), started: time.Now(), runID: hex.EncodeToString(id), scanRun: newScanRun(),
		clients: make(map[uint64]*Session),
	}
	d.backups.ctx, d.backups.end = context.WithCancel(context.Background())
	for i, c := range allCommands() {
		c.number = uint8(i)
		if c.name == "auth" && o.Gate.Options.Rules == nil { // nobody is asked who he is
			c.refused, c.inMulti = true, queued
		}
		d.numbered, d.commands[c.name] = append(d.numbered, c), c
		if !c.refused {
			d.listed = append(d.listed, c)
		}
	}
	slices.SortFunc(d.listed, byName)
	return d
}

func byName(a, b *command) int { return strings.Compare(a.name, b.name) }

// command finds a command by its name, which the client may have written in any case; nil if there
// is none.
func (d *Door) command(name []byte) *command {
	var lower [maxCommandName]byte
	if len(name) > len(lower) {
		return nil
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return d.commands[string(lower[:len(name)])]
}

const maxCommandName = 32

func (d *Door) backend() Backend { return d.opts.Backend() }

// End makes an end of backups.
func (d *Door) End() { d.backups.end() }

// list returns all clients, oldest first.
func (d *Door) list() []*Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*Session, 0, len(d.clients))
	for _, c := range d.clients {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Session) int { return int(a.id) - int(b.id) })
	return all
}

// client finds a client by its id; nil if there is none.
func (d *Door) client(id int64) *Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clients[uint64(id)] // ids begin at 1 and never come near 2^63
}

func (d *Door) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.clients)
}

// forget takes a client off the list.
func (d *Door) forget(c *Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.clients, c.id)
}

// SetCommand adds a command, for tests.
func (d *Door) SetCommand(name string, run func()) {
	d.commands[name] = &command{name: name, run: func(*exchange) { run() }}
}

// Rejected is how many commands of a name were refused before they were run, for tests.
func (d *Door) Rejected(name string) uint64 { return d.commands[name].use.rejected.Load() }
