package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/access"
	"gcd/internal/audit"
	"gcd/server/internal/socket"
)

// Dispatch is the way in which requests get from sockets to the backend.
type Dispatch string

// The ways of dispatch. Pool needs Linux; elsewhere a server says so in its log and uses Goroutine.
const (
	Pool      Dispatch = "pool"
	Goroutine Dispatch = "goroutine"
)

// DefaultAddr is where a server listens that was told nothing else: on loopback only, since without
// rules whoever reaches it may do everything.
const DefaultAddr = "127.0.0.1:5555"

// Options configures a Server. The zero value is a server on TCP and UDP at DefaultAddr. A zero
// field means its default.
type Options struct {
	// TCP and UDP are the addresses to listen on, host:port; port 0 lets the system choose one. An
	// empty one is off, but if both are empty, and Unix is, too, both are DefaultAddr.
	TCP, UDP string

	// Unix is the path of a unix socket to listen on, for the same protocols as TCP; empty: none.
	// Its file is made with UnixMode, and removed when the server lets nobody in any more.
	Unix     string
	UnixMode fs.FileMode // default 0600

	// TLS has TCP connections that begin with a handshake of TLS carry the same protocols within
	// it; nil: there are none. It is 1.3 or newer, whatever the configuration allows.
	TLS *tls.Config
	// RequireTLS refuses connections without TLS, but not from a loopback address or over the unix
	// socket. Datagrams are not refused.
	RequireTLS bool

	Dispatch Dispatch // default Pool
	Workers  int      // readiness loops of Pool; default runtime.GOMAXPROCS(0)

	// NoRESP turns off RESP, the protocol of Redis, on the TCP port (docs/resp.md). Without it a
	// connection whose first byte is '*' or an ASCII letter speaks RESP.
	NoRESP bool

	// Settle is how long a TCP client must be quiet before bytes that may be an unfinished message
	// count as whole.
	Settle time.Duration // default 5 ms
	// ReadTimeout is the time from a connection's arrival to the end of its handshake of TLS, if it
	// has one, and to the end of its message; over RESP also from a command's first byte to its
	// last. Between commands a RESP connection may be silent for ever, unless it has a transaction
	// and room is short.
	ReadTimeout time.Duration // default 10 s
	// WriteTimeout is the time that a client has to take its answer; over RESP the answers of one
	// turn.
	WriteTimeout time.Duration // default 10 s

	MaxConns int // connections open at once; default 10,000
	// MaxConnsPerSource bounds those of one source: an IPv4 address or an IPv6 /64; not those over
	// the unix socket. The default is
	// MaxConns, which bounds nothing more, because behind a loopback address or a proxy every
	// client has the same source.
	MaxConnsPerSource int
	// MaxInFlight bounds the requests that were given to the backend and are not yet decided;
	// beyond half of it sources and connections have shares. Sources that have none in flight may
	// have an eighth of it together beyond it.
	MaxInFlight int // default 65,536
	// MaxInFlightBytes bounds the bytes of those, and counted apart what RESP connections hold:
	// commands that are not whole, and answers from their first byte until they are taken.
	MaxInFlightBytes int // default 256 MiB
	// RefusalRate is how many refusals per second one source gets over UDP, with as many at once;
	// further ones are silent. A source is what it is for MaxConnsPerSource.
	RefusalRate int // default 100

	// Backup writes a dump of all counters, in the format ndjson or csv, for the command GCD.BACKUP
	// of RESP; nil refuses that. It ends early when ctx does or w fails.
	Backup func(ctx context.Context, w io.Writer, format string) error
	// AllowBackup gives backups to clients elsewhere, too, and not only to those that come from a
	// loopback address.
	AllowBackup bool

	// Rules are those that hold now, and say who may do what; nil: everybody may do everything. It
	// is called for each turn of a connection and each datagram.
	Rules func() *access.Rules
	// Audit is told what cannot be undone, and what was tried and not allowed; nil: nobody is.
	Audit *audit.Log

	// Version is what INFO tells as gcd_version; default nothing.
	Version string

	// Logger: default none. What it writes to must not block, for the doors and the commit would
	// wait for it.
	Logger hclog.Logger
}

// CheckUnix tells what is wrong with a path for Options.Unix.
func CheckUnix(path string) error { return socket.CheckUnixPath(path) }

func (o Options) withDefaults() Options {
	if o.TCP == "" && o.UDP == "" && o.Unix == "" {
		o.TCP, o.UDP = DefaultAddr, DefaultAddr
	}
	if o.Dispatch == "" {
		o.Dispatch = Pool
	}
	if o.UnixMode == 0 {
		o.UnixMode = 0o600
	}
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS13)
	}
	orInt(&o.Workers, runtime.GOMAXPROCS(0))
	orInt(&o.MaxConns, 10_000)
	orInt(&o.MaxConnsPerSource, o.MaxConns)
	orInt(&o.MaxInFlight, 65_536)
	orInt(&o.MaxInFlightBytes, 256<<20)
	orInt(&o.RefusalRate, 100)
	orDuration(&o.Settle, 5*time.Millisecond)
	orDuration(&o.ReadTimeout, 10*time.Second)
	orDuration(&o.WriteTimeout, 10*time.Second)
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return o
}

func orInt(v *int, value int) {
	if *v == 0 {
		*v = value
	}
}

func orDuration(v *time.Duration, value time.Duration) {
	if *v == 0 {
		*v = value
	}
}

func (o *Options) check() error {
	if o.Dispatch != Pool && o.Dispatch != Goroutine {
		return fmt.Errorf("server: unknown dispatch %q: use %q or %q", o.Dispatch, Pool, Goroutine)
	}
	if o.RequireTLS && o.TLS == nil {
		return errors.New("server: option RequireTLS is set, and TLS is not")
	}
	if o.Unix != "" {
		if err := socket.CheckUnixPath(o.Unix); err != nil {
			return fmt.Errorf("server: option Unix: %w", err)
		}
	}
	if o.UnixMode&^fs.ModePerm != 0 {
		return fmt.Errorf("server: option UnixMode is %#o: use 0600, or other bits of permission", uint32(o.UnixMode))
	}
	for _, f := range []struct {
		name  string
		value int64
		most  int64
	}{
		{"Workers", int64(o.Workers), 1024},
		{"MaxConns", int64(o.MaxConns), 1 << 24},
		{"MaxConnsPerSource", int64(o.MaxConnsPerSource), 1 << 24},
		{"MaxInFlight", int64(o.MaxInFlight), 1 << 30},
		{"MaxInFlightBytes", int64(o.MaxInFlightBytes), 1 << 40},
		{"RefusalRate", int64(o.RefusalRate), 1 << 30},
		{"Settle", int64(o.Settle), int64(time.Minute)},
		{"ReadTimeout", int64(o.ReadTimeout), int64(24 * time.Hour)},
		{"WriteTimeout", int64(o.WriteTimeout), int64(24 * time.Hour)},
	} {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("server: option %s is %d: use 1 to %d, or 0 for the default", f.name, f.value, f.most)
		}
	}
	return nil
}
