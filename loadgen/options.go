package loadgen

import (
	"crypto/tls"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"gcd/codec"
)

// Network is the door that is used, and how.
type Network string

// The networks.
const (
	TCP  Network = "tcp"  // the protocol over TCP: a connection for each COUNT, read to the end
	UDP  Network = "udp"  // the protocol over UDP: a socket for each client, one datagram under way on it
	RESP Network = "resp" // INCR over connections that stay open, Options.Pipeline of them in one write
	// RESPOnce uses RESP as TCP uses the protocol: a connection for each INCR, with QUIT after it
	// in the same write so that the server closes first.
	RESPOnce Network = "resp-once"
)

// Dist is how topics are chosen.
type Dist string

// The distributions.
const (
	Uniform    Dist = "uniform"    // each equally often
	Zipf       Dist = "zipf"       // the k-th in proportion to (1+k)^-ZipfExponent, k = 0, 1, 2, …
	Sequential Dist = "sequential" // one after the other, which fills a server
)

// ZipfExponent shapes Zipf: of a million topics the first gets about an eighth of all requests.
const ZipfExponent = 1.1

// DefaultPrefix is what topics begin with; twelve digits follow.
const DefaultPrefix = "bench:"

const topicDigits = 12

// The bounds of Options.
const (
	MaxClients     = 100_000
	MaxPipeline    = 10_000
	MaxTopics      = 1_000_000_000_000 // what topicDigits can name
	MaxVerified    = 10_000_000        // topics of a run with Verify: each takes about 60 bytes
	maxPrefix      = 256               // so that a request fits into one segment of any connection
	maxUnderWay    = 1 << 24           // Clients × Pipeline
	maxTime        = 24 * time.Hour
	defaultUDPWait = time.Second
	defaultWait    = 5 * time.Second
)

// Options says what load to make. The zero value counts one topic at codec.DefaultAddr over TCP,
// with one client, for ten seconds. A zero field means its default.
type Options struct {
	Network  Network // default TCP
	Addr     string  // host:port, a name is looked up once; or unix:PATH. Default codec.DefaultAddr
	Clients  int     // connections or sockets at once; default 1
	Pipeline int     // RESP alone: requests in one write, all answered before the next write; default 1

	// TLS has connections go over TLS, a goroutine for each; nil: none does.
	TLS *tls.Config
	// Token is the first that each connection says, by AUTH; RESP and RESPOnce. Default none.
	Token string

	Topics uint64 // how many; default 1
	Dist   Dist   // default Uniform
	Prefix string // of every topic; default DefaultPrefix
	Seed   uint64 // of the choice of topics; the same seed and Threads choose the same ones
	By     uint64 // RESP and RESPOnce: what each request adds, by INCRBY; default 1, by INCR

	// Rate is how many requests a second are due, of all clients together. 0 is the closed loop.
	Rate float64

	Warmup   time.Duration // load before anything is measured; default none
	Duration time.Duration // of what is measured; default 10 s, without end when Requests is set
	Requests uint64        // how many are measured, 0 for no bound
	Timeout  time.Duration // for an answer; default 5 s, over UDP 1 s

	// Threads is how many goroutines drive all clients. Default: half of the processors, at least
	// 1.
	Threads int

	// Verify checks every value that comes back, those of the warm-up included. The topics must be
	// new to the server, and nobody else may count on them: choose a Prefix that was never used.
	Verify bool

	// Own, if not empty, refuses a server that has a topic which does not begin with it
	// (*OthersError), or does not say which topics it has (ErrTopicsUnknown). Whatever the network
	// is, it is asked over RESP, at Addr over TCP.
	Own string

	// Progress is called about every ProgressEvery (default 1 s) until Run returns, if it is not
	// nil.
	Progress      func(Sample)
	ProgressEvery time.Duration

	portable bool // use goroutines where there are loops, too
}

// OptionError says what is wrong with a field of Options.
type OptionError struct {
	Field  string // its name
	Reason string // what it is and what it may be, to be read after the name
}

func (e *OptionError) Error() string { return "loadgen: option " + e.Field + " " + e.Reason }

func (o Options) withDefaults() Options {
	orDefault(&o.Network, TCP)
	orDefault(&o.Addr, codec.DefaultAddr)
	orDefault(&o.Clients, 1)
	orDefault(&o.Pipeline, 1)
	orDefault(&o.Topics, 1)
	orDefault(&o.Dist, Uniform)
	orDefault(&o.Prefix, DefaultPrefix)
	orDefault(&o.By, 1)
	if o.Requests == 0 {
		orDefault(&o.Duration, 10*time.Second)
	}
	if o.Network == UDP {
		orDefault(&o.Timeout, defaultUDPWait)
	}
	orDefault(&o.Timeout, defaultWait)
	orDefault(&o.Threads, max(1, runtime.GOMAXPROCS(0)/2))
	orDefault(&o.ProgressEvery, time.Second)
	return o
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) check() error {
	wrong := func(field, format string, args ...any) error {
		return &OptionError{Field: field, Reason: fmt.Sprintf(format, args...)}
	}
	for _, f := range []struct {
		name        string
		value       int64
		least, most int64
	}{
		{"Clients", int64(o.Clients), 1, MaxClients},
		{"Pipeline", int64(o.Pipeline), 1, MaxPipeline},
		{"Threads", int64(o.Threads), 1, 1024},
	} {
		if f.value < f.least || f.value > f.most {
			return wrong(f.name, "is %d: it must be between %d and %d", f.value, f.least, f.most)
		}
	}
	for _, f := range []struct {
		name         string
		value, least time.Duration
	}{
		{"Warmup", o.Warmup, 0},
		{"Duration", o.Duration, 0},
		{"Timeout", o.Timeout, time.Millisecond},
		{"ProgressEvery", o.ProgressEvery, time.Millisecond},
	} {
		if f.value < f.least || f.value > maxTime {
			return wrong(f.name, "is %v: it must be between %v and %v", f.value, f.least, maxTime)
		}
	}
	resp := o.Network == RESP || o.Network == RESPOnce
	switch {
	case o.Network != TCP && o.Network != UDP && !resp:
		return wrong("Network", "is %q: it takes %s, %s, %s or %s", o.Network, TCP, UDP, RESP, RESPOnce)
	case o.Dist != Uniform && o.Dist != Zipf && o.Dist != Sequential:
		return wrong("Dist", "is %q: it takes %s, %s or %s", o.Dist, Uniform, Zipf, Sequential)
	case o.Pipeline > 1 && o.Network != RESP:
		return wrong("Pipeline", "is %d: over %s a connection has one request under way", o.Pipeline, o.Network)
	case o.TLS != nil && o.Network == UDP:
		return wrong("TLS", "goes over connections, and over %s there are none", o.Network)
	case o.Token != "" && !resp:
		return wrong("Token", "needs %s: over %s there is no place for it", RESP, o.Network)
	case strings.HasPrefix(o.Addr, "unix:") && o.Network == UDP:
		return wrong("Addr", "is %q: over %s it takes HOST:PORT", o.Addr, o.Network)
	case o.Clients*o.Pipeline > maxUnderWay:
		return wrong("Pipeline", "is %d with %d clients: at most %d requests can be under way",
			o.Pipeline, o.Clients, maxUnderWay)
	case o.Topics > MaxTopics:
		return wrong("Topics", "is %d: it must be between 1 and %d", o.Topics, uint64(MaxTopics))
	case o.Verify && o.Topics > MaxVerified:
		return wrong("Topics", "is %d: with verification it must be between 1 and %d", o.Topics, MaxVerified)
	case len(o.Prefix) > maxPrefix || !utf8.ValidString(o.Prefix):
		return wrong("Prefix", "must be UTF-8 of at most %d bytes", maxPrefix)
	case math.IsNaN(o.Rate) || o.Rate < 0 || o.Rate > 1e9:
		return wrong("Rate", "is %v: it must be between 0 and 1e9 requests a second", o.Rate)
	case o.Requests > math.MaxInt64/2:
		return wrong("Requests", "is %d: it is too large", o.Requests)
	case o.By > math.MaxInt64:
		return wrong("By", "is %d: RESP carries at most 2^63 - 1", o.By)
	case o.By > 1 && !resp:
		return wrong("By", "is %d: over %s a request counts one", o.By, o.Network)
	case o.By > 1 && o.Verify:
		return wrong("By", "is %d: verification wants requests that count one", o.By)
	}
	return nil
}
