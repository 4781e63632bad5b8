package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/loadgen"
)

// The headings under which help shows the flags of bench.
const (
	loadFlags   = "The load"
	topicFlags  = "The topics (they stay on the server)"
	outputFlags = "Output"
)

func benchFlags() []cli.Flag {
	return append(reachFlags("The server's address"),
		&cli.GenericFlag{Name: "network", Category: serverFlags,
			Value: cmdline.NewChoice(string(loadgen.TCP), string(loadgen.UDP), string(loadgen.RESP)),
			Usage: "How to talk to it, `NETWORK`: tcp, a connection for each count; udp, a datagram each way; or " +
				"resp, INCR over connections that stay open. With a token it is resp, unless another is given."},
		&cli.DurationFlag{Name: "timeout", DefaultText: "5s, over UDP 1s", Category: serverFlags,
			Usage: "The `TIME` to wait for an answer; after it the outcome is unknown. Nothing is sent twice."},

		&cli.IntFlag{Name: "clients", Value: 64, Category: loadFlags,
			Usage: "The number of connections, or UDP sockets, at once, `N`."},
		&cli.IntFlag{Name: "pipeline", Value: 1, Category: loadFlags,
			Usage: "With --network resp, send `N` requests in one write and wait for all their answers."},
		&cli.IntFlag{Name: "rate", DefaultText: "0, closed loop", Category: loadFlags,
			Usage: "Send `N` requests a second, of all clients together, by the clock (open loop), and measure each " +
				"from when it was due. In the closed loop a client sends when its last answer is there."},
		&cli.DurationFlag{Name: "duration", DefaultText: "10s, or no end with --requests", Category: loadFlags,
			Usage: "Measure for `TIME`."},
		&cli.IntFlag{Name: "requests", DefaultText: "0, no bound", Category: loadFlags,
			Usage: "Measure at most `N` requests."},
		&cli.DurationFlag{Name: "warmup", Value: time.Second, Category: loadFlags,
			Usage: "Put on the load for `TIME` before anything is measured."},
		&cli.IntFlag{Name: "threads", DefaultText: "half of the CPUs", Category: loadFlags,
			Usage: "Drive all clients from `N` threads."},

		&cli.IntFlag{Name: "topics", Value: 1, Category: topicFlags,
			Usage: "The number of topics to count, `N`; one is a hot topic."},
		&cli.GenericFlag{Name: "dist", Category: topicFlags,
			Value: cmdline.NewChoice(string(loadgen.Uniform), string(loadgen.Zipf), string(loadgen.Sequential)),
			Usage: "How they are chosen, `WAY`: uniform; zipf, some much more often than others; or sequential, one " +
				"after the other, which fills a server."},
		&cli.StringFlag{Name: "prefix", Value: loadgen.DefaultPrefix, Category: topicFlags,
			Usage: "What their names begin with, `TEXT`; twelve digits follow. With --verify the run's own id comes " +
				"between."},
		// Not from the environment: a variable that was set for one server would hold for all.
		&cli.BoolFlag{Name: "yes", EnvVars: []string{}, Category: topicFlags,
			Usage: "Count although the server has other topics, or does not say which it has. Not from the " +
				"environment."},

		&cli.BoolFlag{Name: "verify", Category: outputFlags,
			Usage: "Check every value that comes back: none twice, none missing, none out of order."},
		&cli.BoolFlag{Name: "json", Category: outputFlags,
			Usage: "Print the result as an object."},
		&cli.BoolFlag{Name: "quiet", Category: outputFlags,
			Usage: "Print no progress."},
	)
}

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:     "bench",
		Usage:    "Put load on a server and measure it",
		Category: categoryClient,
		Description: `Counts as fast as the server answers, or at a rate, and prints what came back:
requests a second, latencies, failures. Progress goes to stderr. The topics are its own, and the
server keeps them for ever: so it counts nothing on a server that has topics which do not begin with
--prefix, unless --yes is given. It looks over RESP, at --addr over TCP, whatever the network is.

Examples:
  gcd bench                                              64 clients, one topic, a connection for each count
  gcd bench --network udp --clients 256 --verify         and check every number
  gcd bench --network resp --pipeline 16 --topics 1000000
  gcd bench --network resp --rate 50000 --json           an open loop: latencies at that rate

Exit codes say what the worst was: 1 when a value was wrong, a request refused or nothing measured,
or when the server has other topics and --yes is missing; 4 when one was not sent, 6 when the
outcome of one is unknown, 10 when one was not permitted, 130 when it was interrupted. The result is
printed all the same, unless no server was reached.`,
		Flags: benchFlags(),
		Action: func(c *cli.Context) error {
			if err := cmdline.TakesArgs(c, 0); err != nil {
				return err
			}
			o, err := readLoad(c)
			if err != nil {
				return err
			}
			return bench(c.Context, c, o)
		},
	}
}

// readLoad reads the flags of bench. A zero means the default to the library, but a flag that was
// set to zero is a mistake.
func readLoad(c *cli.Context) (loadgen.Options, error) {
	wrong := func(flag, format string, args ...any) (loadgen.Options, error) {
		return loadgen.Options{}, wrongFlag(c, flag, format, args...)
	}
	for _, bound := range []struct {
		flag  string
		least int
	}{
		{"clients", 1}, {"pipeline", 1}, {"topics", 1}, {"rate", 0}, {"requests", 0}, {"threads", 0},
	} {
		if n := c.Int(bound.flag); n < bound.least {
			return wrong(bound.flag, "is %d: it must be at least %d", n, bound.least)
		}
	}
	for _, flag := range []string{"timeout", "duration"} {
		if c.IsSet(flag) && c.Duration(flag) <= 0 {
			return wrong(flag, "is %v: it must be above 0", c.Duration(flag))
		}
	}
	way, err := readReach(c)
	if err != nil {
		return loadgen.Options{}, err
	}
	network, err := way.network(c)
	if err != nil {
		return loadgen.Options{}, err
	}
	way = way.over(network)
	if c.String("prefix") == "" {
		return wrong("prefix", "is empty: it takes text, such as %s", loadgen.DefaultPrefix)
	}
	o := loadgen.Options{
		Network:  loadgen.Network(network),
		Addr:     way.addr,
		TLS:      way.secure,
		Token:    way.token,
		Clients:  c.Int("clients"),
		Pipeline: c.Int("pipeline"),
		Topics:   uint64(c.Int("topics")),
		Dist:     loadgen.Dist(cmdline.Word(c, "dist")),
		Prefix:   c.String("prefix"),
		Seed:     rand.Uint64(),
		Rate:     float64(c.Int("rate")),
		Warmup:   c.Duration("warmup"),
		Duration: c.Duration("duration"),
		Requests: uint64(c.Int("requests")),
		Timeout:  c.Duration("timeout"),
		Threads:  c.Int("threads"),
		Verify:   c.Bool("verify"),
	}
	if files, ok := openFiles(); ok {
		if err := roomForClients(cmdline.Given(c, "clients"), o.Clients, max(o.Threads, runtime.GOMAXPROCS(0)),
			files); err != nil {
			return loadgen.Options{}, err
		}
	}
	if !c.Bool("yes") {
		o.Own = o.Prefix
	}
	if o.Verify { // on topics that nobody has counted
		o.Prefix += fmt.Sprintf("%012x:", rand.Uint64()>>16)
	}
	return o, nil
}

// bench makes the load and prints the result.
func bench(ctx context.Context, c *cli.Context, o loadgen.Options) error {
	progress := newBenchProgress(c.App.ErrWriter, c.Bool("quiet"))
	o.Progress, o.ProgressEvery = progress.report, progress.every
	result, err := loadgen.Run(ctx, o)
	progress.end()
	var wrong *loadgen.OptionError
	var others *loadgen.OthersError
	switch {
	case errors.As(err, &wrong):
		return wrongFlag(c, strings.ToLower(wrong.Field), "%s", wrong.Reason)
	case errors.As(err, &others):
		return cmdline.Fail(cmdline.ExitFailure,
			fmt.Errorf("the server at %s has %s, and %.64q does not begin with %.64q: it counts for others",
				o.Addr, quantity(others.Topics, "topic"), others.One, o.Own), "nothing was counted; "+hintYes)
	case deniedBy(err) != nil:
		return deniedBy(err)
	case errors.Is(err, loadgen.ErrTopicsUnknown):
		return cmdline.Fail(cmdline.ExitFailure, fmt.Errorf("nobody knows whether %s counts for others: %s",
			o.Addr, plain(err)), "nothing was counted; "+hintYes)
	case noRoomHere(err):
		return cmdline.Fail(cmdline.ExitNotSent, err,
			"nothing was counted; this system has no room for so many connections, ask for fewer --clients")
	case errors.Is(err, loadgen.ErrNotReached):
		return cmdline.Fail(cmdline.ExitNotSent, err,
			"nothing was counted; is the server running, and are --addr and --network right?")
	case errors.Is(err, loadgen.ErrNoRESP):
		return cmdline.Fail(cmdline.ExitNotSent, err, "nothing was counted; is the server run with --resp=false?")
	case err != nil:
		return err
	}
	text := benchTable(result)
	if c.Bool("json") {
		if text, err = benchJSON(result); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(c.App.Writer, text); err != nil {
		return fmt.Errorf("could not print the result: %w", err)
	}
	return benchFailure(result)
}

// hintYes is for a server that may count for others, and cannot forget a topic.
const hintYes = "a load test wants a server of its own (gcd serve --memory); its topics stay for ever, so --yes is " +
	"for a server that may keep them"

// noRoomHere says whether this system refused a socket, or had no port for it.
func noRoomHere(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// benchFailure is the error of a run with a result: the worst of what happened, or nil.
func benchFailure(r *loadgen.Result) error {
	const hint = "the server's log may say why"
	causes, failures := r.Causes, r.Errors
	switch {
	case r.Verified != nil && !r.Verified.OK():
		return cmdline.Fail(cmdline.ExitFailure,
			errors.New("the server handed out wrong values: "+violations(r.Verified)),
			"this must never happen unless somebody else counts on the same topics; keep the output and the server's "+
				"data directory")
	case r.Interrupted:
		return cmdline.Fail(cmdline.ExitInterrupted, errors.New("interrupted"), "")
	case failures.Unknown > 0:
		return cmdline.Fail(cmdline.ExitUnknown,
			fmt.Errorf("%s without an answer, the first: %w", quantity(failures.Unknown, "request"), causes[2]), hint)
	case failures.Refused > 0:
		err := fmt.Errorf("%s refused, the first: %w", quantity(failures.Refused, "request"), causes[0])
		if deniedBy(causes[0]) != nil {
			return cmdline.Fail(cmdline.ExitNotPermitted, err, hint)
		}
		return cmdline.Fail(cmdline.ExitFailure, err, hint)
	case failures.NotSent > 0:
		return cmdline.Fail(cmdline.ExitNotSent,
			fmt.Errorf("%s not sent, the first: %w", quantity(failures.NotSent, "request"), causes[1]), hint)
	case r.Ops() == 0:
		return cmdline.Fail(cmdline.ExitFailure,
			errors.New("nothing was measured: no request after the warm-up was answered"),
			"give it a longer --duration")
	}
	return nil
}
