package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/server"
	"gcd/store"
	"gcd/store/core"
)

const defaultData = "gcd-data"

// The headings under which help shows the flags of serve.
const (
	whereFlags    = "Where the counters live"
	listenFlags   = "Where it listens"
	whoFlags      = "Who may what (without --auth everybody may do everything)"
	durableFlags  = "Durability"
	snapshotFlags = "Snapshots and log"
	limitFlags    = "Limits (what is over one is refused with a code)"
	dispatchFlags = "How requests are carried"
	processFlags  = "Process"
)

func serveFlags() []cli.Flag {
	segment, snapshot, inFlight := cmdline.ByteSize(64<<20), cmdline.ByteSize(128<<20), cmdline.ByteSize(256<<20)
	retain := retention{Age: cmdline.Day, Bytes: 1 << 30}
	return slices.Concat([]cli.Flag{
		&cli.StringFlag{Name: "data", Value: defaultData, Category: whereFlags,
			Usage: "The directory `DIR` that keeps the counters; made when it is not there. One server at a time."},
		&cli.BoolFlag{Name: "no-create", Category: whereFlags,
			Usage: "Refuse to start where there is no store, as where a volume is not mounted. \"gcd init\" makes " +
				"one."},
		&cli.DurationFlag{Name: "lock-wait", Value: 10 * time.Second, Category: whereFlags,
			Usage: "The `TIME` to wait for a gcd-tool that has the directory. For another server it never waits."},
		&cli.BoolFlag{Name: "allow-root", Category: whereFlags,
			Usage: "Run as root on a directory of another user, who cannot open the files that root makes there."},
		&cli.BoolFlag{Name: "memory", Category: whereFlags,
			Usage: "Keep the counters in memory only: they are gone when the server stops. For tests and trying out."},
		&cli.StringFlag{Name: "temp-dir", Category: whereFlags,
			Usage: "The directory `DIR` for the copy of the snapshot that a backup reads, and for what does not fit " +
				"into memory then. Default: that of --data."},

		&cli.StringFlag{Name: "tcp", Value: server.DefaultAddr, Category: listenFlags,
			Usage: "Listen for TCP on `HOST:PORT`; port 0 takes a free one, an empty value turns TCP off."},
		&cli.StringFlag{Name: "udp", Value: server.DefaultAddr, Category: listenFlags,
			Usage: "Listen for UDP on `HOST:PORT`; port 0 takes a free one, an empty value turns UDP off."},
		&cli.BoolFlag{Name: "resp", Value: true, Category: listenFlags,
			Usage: "Speak the protocol of Redis, too, on the TCP port; --resp=false turns it off."},
	}, serveUnixFlags(), serveTLSFlags(), []cli.Flag{
		&cli.StringFlag{Name: "auth", Category: whoFlags,
			Usage: "The rights are in `FILE`, whose lines \"gcd token\" makes. It is read anew when it has changed, " +
				"and on SIGHUP; if it is wrong then, the rights stay as they were."},
		&cli.BoolFlag{Name: "open", Category: whoFlags,
			Usage: "Listen beyond loopback although nobody is asked who he is: whoever reaches the address can count " +
				"and reset."},
		&cli.StringFlag{Name: "audit-log", Category: whoFlags,
			Usage: "Write a line into `FILE` for each reset and backup, and for what somebody tried and may not; - " +
				"is the log on stderr. SIGHUP opens it anew."},
		&cli.BoolFlag{Name: "allow-backup", Category: whoFlags,
			Usage: "Without --auth: give backups (all topics and sums) to whoever reaches the TCP port, and not only " +
				"to clients on this machine."},

		&cli.GenericFlag{Name: "sync", Value: cmdline.NewChoice(string(store.SyncAlways), string(store.SyncInterval)),
			Category: durableFlags,
			Usage: "When the log is synced to disk, `MODE`: always, before any answer; or interval, now and then, " +
				"which is faster and loses acknowledged counts in a power loss."},
		&cli.DurationFlag{Name: "sync-interval", Value: time.Second, Category: durableFlags,
			Usage: "The `TIME` between two syncs with --sync interval."},

		&cli.DurationFlag{Name: "snapshot-interval", Value: 5 * time.Minute, DefaultText: "5m", Category: snapshotFlags,
			Usage: "Take a snapshot of what changed every `TIME`; 0 turns it off."},
		&cli.GenericFlag{Name: "snapshot-bytes", Value: &snapshot, Category: snapshotFlags,
			Usage: "Take a snapshot when the log has grown by `BYTES`; bounds how long a start takes; 0 turns it off."},
		&cli.GenericFlag{Name: "segment-size", Value: &segment, Category: snapshotFlags,
			Usage: "The size of one file of the log, `BYTES`, a multiple of 4KiB. There are always at least two."},
		&cli.GenericFlag{Name: "retain", Value: &retain, Category: snapshotFlags,
			Usage: "Keep the log's files for history although a start does not need them, `AMOUNT`: a time such as " +
				"7d, a size such as 10GiB, or both, and then what is beyond either goes. 0 keeps none."},

		&cli.IntFlag{Name: "max-topics", Value: 1 << 24, Category: limitFlags,
			Usage: "The most topics, `N`. A topic takes about 55 bytes of memory and its name, and stays for ever."},
		&cli.IntFlag{Name: "max-topic-length", Value: core.MaxTopicLen, Category: limitFlags,
			Usage: "The longest topic in bytes, `N`, at most 65535."},
		&cli.IntFlag{Name: "max-connections", Value: 10_000, Category: limitFlags,
			Usage: "The most connections at once, `N`, over TCP and the unix socket."},
		&cli.IntFlag{Name: "max-connections-per-address", DefaultText: "as --max-connections", Category: limitFlags,
			Usage: "The most TCP connections at once from one IPv4 address or IPv6 /64 network, `N`."},
		&cli.IntFlag{Name: "max-in-flight", Value: 65_536, Category: limitFlags,
			Usage: "The most requests that wait for the disk at once, `N`."},
		&cli.GenericFlag{Name: "max-in-flight-bytes", Value: &inFlight, Category: limitFlags,
			Usage: "The most bytes of requests that wait for the disk at once, `BYTES`; and, counted apart, of " +
				"unfinished commands and untaken answers of RESP."},
		&cli.IntFlag{Name: "refusal-rate", Value: 100, Category: limitFlags,
			Usage: "The most refusals a second to one source over UDP, `N`; further bad datagrams get no answer."},
		&cli.DurationFlag{Name: "read-timeout", Value: 10 * time.Second, Category: limitFlags,
			Usage: "The `TIME` a TCP client has from connecting to the end of its message."},
		&cli.DurationFlag{Name: "write-timeout", Value: 10 * time.Second, Category: limitFlags,
			Usage: "The `TIME` a TCP client has to take its answer."},

		&cli.GenericFlag{Name: "dispatch", Value: cmdline.NewChoice(string(server.Pool), string(server.Goroutine)),
			Category: dispatchFlags,
			Usage: "The `WAY`: pool, a fixed number of workers (Linux; elsewhere it becomes goroutine); or " +
				"goroutine, one for each request."},
		&cli.IntFlag{Name: "workers", DefaultText: "one for each processor that it may use",
			Category: dispatchFlags,
			Usage:    "The number of workers of the pool, `N`."},
		&cli.DurationFlag{Name: "settle", Value: 5 * time.Millisecond, Category: dispatchFlags,
			Usage: "The `TIME` without a byte after which a TCP message that may be unfinished counts as whole."},

		&cli.DurationFlag{Name: "shutdown-timeout", Value: 10 * time.Second, Category: processFlags,
			Usage: "The `TIME` that answering what is under way may take after SIGTERM or SIGINT. A second signal " +
				"ends it at once, half a second after the first or later."},
		&cli.GenericFlag{Name: logLevelFlag, Value: cmdline.NewChoice("trace", "debug", "info", "warn",
			"error").Default("info"), Category: processFlags,
			Usage: "The least `LEVEL` that is logged: trace, debug, info, warn or error."},
		&cli.GenericFlag{Name: logFormatFlag, Value: cmdline.NewChoice("text", logJSON),
			Category: processFlags,
			Usage:    "The `FORMAT` of the log on stderr: text or json."},
	})
}

// settings is what the flags of serve say, checked.
type settings struct {
	dir             string // "": in memory only
	tempDir         string // "": dir
	allowRoot       bool
	store           store.Options
	server          server.Options
	shutdownTimeout time.Duration
	who
	securing
	log     hclog.Logger
	manager *manager
}

// readSettings reads and checks the flags of serve. The log is written to stderr.
func readSettings(c *cli.Context, stderr io.Writer) (settings, error) {
	s := settings{
		dir:       c.String("data"),
		tempDir:   c.String("temp-dir"),
		allowRoot: c.Bool("allow-root"),
		store: store.Options{
			NoCreate:         c.Bool("no-create"),
			LockWait:         c.Duration("lock-wait"),
			Reserve:          true,
			Sync:             store.SyncMode(cmdline.Word(c, "sync")),
			SyncInterval:     c.Duration("sync-interval"),
			SnapshotInterval: c.Duration("snapshot-interval"),
			SnapshotBytes:    cmdline.Bytes(c, "snapshot-bytes"),
			MaxTopics:        c.Int("max-topics"),
			MaxTopicLen:      c.Int("max-topic-length"),
			SegmentSize:      cmdline.Bytes(c, "segment-size"),
			Retain:           store.Retain(*c.Generic("retain").(*retention)),
		},
		server: server.Options{
			TCP:               c.String("tcp"),
			UDP:               c.String("udp"),
			Unix:              c.String("unix"),
			NoRESP:            !c.Bool("resp"),
			AllowBackup:       c.Bool("allow-backup"),
			Dispatch:          server.Dispatch(cmdline.Word(c, "dispatch")),
			Workers:           c.Int("workers"),
			Settle:            c.Duration("settle"),
			ReadTimeout:       c.Duration("read-timeout"),
			WriteTimeout:      c.Duration("write-timeout"),
			MaxConns:          c.Int("max-connections"),
			MaxConnsPerSource: c.Int("max-connections-per-address"),
			MaxInFlight:       c.Int("max-in-flight"),
			MaxInFlightBytes:  int(cmdline.Bytes(c, "max-in-flight-bytes")),
			RefusalRate:       c.Int("refusal-rate"),
		},
		shutdownTimeout: c.Duration("shutdown-timeout"),
		who:             readWho(c),
		securing:        readSecuring(c),
	}
	if err := s.check(c); err != nil {
		return settings{}, err
	}

	if c.Bool("memory") {
		s.dir = ""
	}
	if s.store.LockWait == 0 {
		s.store.LockWait = -1 // as below
	}
	if s.store.SnapshotInterval == 0 {
		s.store.SnapshotInterval = -1 // the store takes 0 for its default
	}
	if s.store.SnapshotBytes == 0 {
		s.store.SnapshotBytes = -1
	}
	if err := s.openSecuring(c); err != nil {
		return settings{}, err
	}
	if err := s.openWho(c, stderr); err != nil {
		return settings{}, err
	}
	s.log = newLog(c, stderr)
	s.warnIdle(c)
	s.store.Logger = s.log.Named("store")
	s.server.Logger = s.log.Named("server")
	return s, nil
}

// newLog makes the server's log, as the flags say.
func newLog(c *cli.Context, w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name:       programName,
		Level:      hclog.LevelFromString(cmdline.Word(c, logLevelFlag)),
		JSONFormat: cmdline.Word(c, logFormatFlag) == logJSON,
		Output:     w,
	})
}

// jsonLog makes a log in JSON, of all levels.
func jsonLog(w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: programName, Level: hclog.Trace, JSONFormat: true, Output: w})
}

// The flags of the log.
const (
	logLevelFlag  = "log-level"
	logFormatFlag = "log-format"
	logJSON       = "json"
)

// logsJSON says whether the server's command line, or the environment, asks for a log in JSON. The
// rest of the command line may be wrong: the error about it has that form, too.
func logsJSON(args []string) bool {
	format := os.Getenv(cmdline.Variable(envPrefix, logFormatFlag))
	for i, arg := range args {
		name, value, whole := strings.Cut(arg, "=")
		if !strings.HasPrefix(name, "-") || strings.TrimLeft(name, "-") != logFormatFlag {
			continue
		}
		if !whole && i+1 < len(args) {
			value = args[i+1]
		}
		format = value
	}
	return format == logJSON
}

// check finds what is wrong with the flags before anything is opened, and names the flag.
func (s *settings) check(c *cli.Context) error {
	if c.Bool("memory") && c.IsSet("data") {
		return usagef("serve", "--memory keeps nothing, and %s says where to keep it: give one of them",
			cmdline.Given(c, "data"))
	}
	if s.dir == "" {
		return wrongFlag(c, "data", "is empty: it takes a directory; --memory is there for a server that keeps nothing")
	}
	if info, err := os.Stat(s.dir); err == nil && !info.IsDir() {
		return wrongFlag(c, "data", "%s is a file: it takes a directory", s.dir)
	}
	if info, err := os.Stat(s.tempDir); s.tempDir != "" && (err != nil || !info.IsDir()) {
		return wrongFlag(c, "temp-dir", "%s is no directory: make it, or name another one", s.tempDir)
	}
	if s.server.TCP == "" && s.server.UDP == "" && s.server.Unix == "" {
		return usagef("serve",
			"--tcp and --udp are both off, and there is no --unix: nobody could ask the server anything")
	}
	for _, flag := range []string{"tcp", "udp"} {
		if err := checkListenAddr(c.String(flag)); err != nil {
			return wrongFlag(c, flag, "%q is no address to listen on: %v", c.String(flag), err)
		}
	}
	if s.store.SegmentSize%4096 != 0 {
		return wrongFlag(c, "segment-size", "is %d bytes: it must be a multiple of 4096", s.store.SegmentSize)
	}
	if err := cmp.Or(
		within(c, "max-topics", int64(s.store.MaxTopics), 1, 1<<32-1),
		within(c, "max-topic-length", int64(s.store.MaxTopicLen), 1, core.MaxTopicLen),
		within(c, "max-connections", int64(s.server.MaxConns), 1, 1<<24),
		within(c, "max-connections-per-address", int64(s.server.MaxConnsPerSource), 0, 1<<24),
		within(c, "max-in-flight", int64(s.server.MaxInFlight), 1, 1<<30),
		within(c, "max-in-flight-bytes", int64(s.server.MaxInFlightBytes), 1<<20, 1<<40),
		within(c, "refusal-rate", int64(s.server.RefusalRate), 1, 1<<30),
		within(c, "workers", int64(s.server.Workers), 0, 1024),
		within(c, "segment-size", s.store.SegmentSize, 64<<10, 1<<32),
		within(c, "lock-wait", s.store.LockWait, 0, time.Hour),
		within(c, "sync-interval", s.store.SyncInterval, time.Millisecond, time.Hour),
		within(c, "snapshot-interval", s.store.SnapshotInterval, 0, 1000*time.Hour),
		within(c, "settle", s.server.Settle, time.Microsecond, time.Minute),
		within(c, "read-timeout", s.server.ReadTimeout, time.Millisecond, 24*time.Hour),
		within(c, "write-timeout", s.server.WriteTimeout, time.Millisecond, 24*time.Hour),
		within(c, "shutdown-timeout", s.shutdownTimeout, time.Millisecond, time.Hour),
	); err != nil {
		return err
	}
	if err := s.checkDoors(c); err != nil {
		return err
	}
	if err := s.checkWho(c); err != nil {
		return err
	}
	return s.checkIdle(c)
}

// within refuses a flag's value that is below the least or above the most.
func within[T cmp.Ordered](c *cli.Context, flag string, value, least, most T) error {
	if value < least || value > most {
		return wrongFlag(c, flag, "is %v: it must be between %v and %v", value, least, most)
	}
	return nil
}

// idleFlags are flags that have no effect, and the reason.
type idleFlags struct {
	flags  []string
	reason string
}

// idle returns the flags that are about something that is turned off.
func (s *settings) idle(c *cli.Context) (all []idleFlags) {
	if c.Bool("memory") {
		all = append(all, idleFlags{[]string{"no-create", "lock-wait", "allow-root", "temp-dir", "sync",
			"sync-interval", "snapshot-interval", "snapshot-bytes", "segment-size", "retain"},
			"--memory keeps nothing on a disk"})
	} else if s.store.Sync != store.SyncInterval {
		all = append(all, idleFlags{[]string{"sync-interval"}, "it is for --sync interval"})
	}
	if s.server.TCP == "" && s.server.Unix == "" {
		all = append(all, idleFlags{[]string{"resp", "allow-backup", "max-connections", "max-connections-per-address",
			"read-timeout", "write-timeout", "settle"}, "TCP is off"})
	} else if s.server.NoRESP {
		all = append(all, idleFlags{[]string{"allow-backup"}, "a backup is taken over RESP"})
	}
	if s.authFile != "" {
		all = append(all, idleFlags{[]string{"allow-backup"}, "with --auth it is the right backup that gives them"},
			idleFlags{[]string{"open"}, "with --auth nobody may do more than the file says"})
	} else if !s.needsOpen {
		all = append(all, idleFlags{[]string{"open"}, "the server listens on loopback alone"})
	}
	if s.server.TCP == "" {
		all = append(all, idleFlags{[]string{"tls-cert", "tls-key", "tls-client-ca", "tls-require"}, "TCP is off"})
	} else if s.files.Cert == "" {
		all = append(all, idleFlags{[]string{"tls-key", "tls-client-ca", "tls-require"},
			"there is no TLS without --tls-cert"})
	}
	if s.server.Unix == "" {
		all = append(all, idleFlags{[]string{"unix-mode"}, "there is no --unix"})
	}
	if s.server.Dispatch == server.Goroutine {
		all = append(all, idleFlags{[]string{"workers"}, "it is for --dispatch pool"})
	}
	if s.server.UDP == "" {
		all = append(all, idleFlags{[]string{"refusal-rate"}, "UDP is off"})
	}
	return all
}

// checkIdle refuses flags that were typed and have no effect.
func (s *settings) checkIdle(c *cli.Context) error {
	for _, idle := range s.idle(c) {
		if err := useless(c, idle.reason, idle.flags...); err != nil {
			return err
		}
	}
	return nil
}

// warnIdle says which variables in the environment have no effect.
func (s *settings) warnIdle(c *cli.Context) {
	for _, idle := range s.idle(c) {
		for _, flag := range idle.flags {
			if variable := cmdline.Given(c, flag); c.IsSet(flag) && !cmdline.Typed(c, flag) {
				s.log.Warn("a variable in the environment has no effect", "variable", variable, "reason", idle.reason)
			}
		}
	}
}

// checkListenAddr checks the form HOST:PORT; HOST may be empty; only listening shows whether it
// exists.
func checkListenAddr(addr string) error {
	if addr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("it takes HOST:PORT such as 127.0.0.1:5555, or [::1]:5555")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("the port %q is no number between 0 and 65535", port)
	}
	return nil
}
