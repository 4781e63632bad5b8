package server

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gcd/codec"
	"gcd/resp"
)

// respVersion is the version of Redis whose commands and replies these are, as far as they are there. Clients choose by it.
const respVersion = "7.2.0"

// respDoor is what a server's RESP connections share.
type respDoor struct {
	commands map[string]*command // by their names in lower case
	listed   []*command          // those that clients are told of, by their names
	numbered []*command          // by their numbers; INCR is the first
	errors   errorCounts
	started  time.Time
	runID    string
	scanRun  uint64 // tells cursors of this run from those of others
	lastID   atomic.Uint64
	answered atomic.Uint64 // commands

	mu      sync.Mutex
	clients map[uint64]*respClient // by their ids
}

func newRespDoor() *respDoor {
	id := make([]byte, 20)
	rand.Read(id)
	d := &respDoor{
		commands: make(map[string]*command), started: time.Now(), runID: hex.EncodeToString(id), scanRun: newScanRun(),
		clients: make(map[uint64]*respClient),
	}
	for i, c := range allCommands() {
		c.number = uint8(i)
		d.numbered, d.commands[c.name] = append(d.numbered, c), c
		if !c.refused {
			d.listed = append(d.listed, c)
		}
	}
	slices.SortFunc(d.listed, byName)
	return d
}

func byName(a, b *command) int { return strings.Compare(a.name, b.name) }

// command finds a command by its name, which the client may have written in any case; nil if there is none.
func (d *respDoor) command(name []byte) *command {
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

// speaksRESP tells whether a TCP connection that begins with this byte is RESP's: an array, the
// name of an inline command, or an empty line.
func (s *Server) speaksRESP(first byte) bool {
	isRESP := first == '*' || 'a' <= first && first <= 'z' || 'A' <= first && first <= 'Z' || first == '\r' ||
		first == '\n'
	return isRESP && !s.opts.NoRESP
}

// respClient is what is known of a RESP connection, as long as it is open. The fields belong to the connection where nothing else is said.
type respClient struct {
	s     *Server
	id    uint64
	peer  netip.AddrPort
	from  *sourceUse
	local netip.AddrPort // the server's end
	since time.Time

	version  resp.Version
	told     codec.Code // why no command is run any more: the server stops, or is not there yet
	queueing bool       // MULTI has come, and what follows is kept

	transaction *transaction // from MULTI to the answer to EXEC, else nil

	little, wasLittle bool // its last turn, and the one before, asked for little

	// Read by other connections, too.
	label   atomic.Pointer[respLabel]
	charged atomic.Int64 // bytes, to Server.held
	queue   queueing
}

// respLabel is what a client says of itself.
type respLabel struct {
	name, library, libraryVersion string
	version                       resp.Version // the one that it speaks, as respClient has it
}

// enterRESP makes a client of a connection between two addresses.
func (s *Server) enterRESP(peer, local netip.AddrPort) *respClient {
	c := &respClient{s: s, id: s.resp.lastID.Add(1), peer: peer, from: s.shares.of(peer.Addr()), local: local, since: time.Now(), version: resp.V2, little: true}
	c.label.Store(&respLabel{version: resp.V2})
	s.resp.mu.Lock()
	defer s.resp.mu.Unlock()
	s.resp.clients[c.id] = c
	return c
}

// leave forgets the client.
func (c *respClient) leave() {
	c.forgetTransaction()
	c.s.resp.mu.Lock()
	defer c.s.resp.mu.Unlock()
	delete(c.s.resp.clients, c.id)
}

// list returns all clients, oldest first.
func (d *respDoor) list() []*respClient {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*respClient, 0, len(d.clients))
	for _, c := range d.clients {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *respClient) int { return int(a.id) - int(b.id) })
	return all
}

// client finds a client by its id; nil if there is none.
func (d *respDoor) client(id int64) *respClient {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clients[uint64(id)] // ids begin at 1 and never come near 2^63
}

func (d *respDoor) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.clients)
}

// asksForLittle tells whether the client did so twice in a row: one turn may be the rest of a long
// pipeline.
func (c *respClient) asksForLittle() bool { return c.little && c.wasLittle }

// finished counts the commands of a turn whose answers were handed to the system.
func (c *respClient) finished(x *exchange) {
	c.s.answered.Add(uint64(x.done))
	c.s.resp.answered.Add(uint64(x.done))
	x.done = 0
}

// refusalText is the error for what the backend surely did not do. The first word is one that Redis uses for what is most like it.
func refusalText(code codec.Code) string {
	switch code {
	case codec.CodeSumAtMaximum:
		return "ERR increment or decrement would overflow"
	case codec.CodeTopicTooLong:
		return "ERR topic is too long for this server"
	case codec.CodeTooManyTopics:
		return "OOM too many topics: the server holds as many as it may"
	case codec.CodeTooManyRequests:
		return "BUSY too many requests in flight: try again later"
	case codec.CodeNoRoom:
		return "MISCONF no room for the log: the disk is full"
	case codec.CodeLoading:
		return "LOADING gcd is loading its counters, try again soon"
	case codec.CodeShuttingDown:
		return "LOADING the server is shutting down: try again when it is back"
	case codec.CodeStoppedAfterError:
		return "MISCONF stopped after a disk error: the server counts no more and exits"
	case codec.CodeTooManyConns, codec.CodeTooManyConnsAddr:
		return "ERR max number of clients reached"
	case codec.CodeNothingArrived:
		return "ERR Protocol error: the command was not complete in time"
	}
	return "ERR " + code.String()
}

// keepAlive is how long a connection is silent before the system asks whether its client is there still. It asks keepAliveProbes times
// within the same time, and then closes the connection.
const (
	keepAlive       = 300 * time.Second
	keepAliveProbes = 3
)

// tcpPort is the port that the server listens on for TCP, 0 for none.
func (s *Server) tcpPort() int {
	if a, ok := s.TCPAddr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}
