// Command bench compares gcd with other servers on this machine, and with what the machine can do
// at all. It builds gcd, starts what it compares, on loopback and on one disk, and prints tables;
// docs/benchmarks.md says what they mean. It needs Linux.
//
// It is a module of its own, so that what it needs never reaches who uses gcd.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bareCommand is the first argument with which this program is one of the bare servers.
const bareCommand = "bare"

func main() {
	runtime.LockOSThread() // see startProcess
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == bareCommand:
		err = serveBare(args[1])
	case len(args) == 4 && args[0] == floodCommand:
		err = flood(args[1], args[2], args[3])
	default:
		os.Exit(compareUntilSignal(args))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// compareUntilSignal runs the command line and returns the exit code.
func compareUntilSignal(args []string) int {
	asks := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		asks = append(asks, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), asks...)
	context.AfterFunc(ctx, func() { // a second signal ends it at once, and the system everything that it has started
		time.AfterFunc(oneStop, stop)
	})
	return runMain(ctx, args, os.Stdout, os.Stderr)
}

const (
	oneStop   = 500 * time.Millisecond // within which several signals are one, as of gcd
	exitUsage = 64                     // the exit code for a wrong command line, as of gcd
)

// group is a part of the comparison that can be run alone.
type group struct {
	name  string
	about string
	run   func(b *bench) (string, error)
	named bool // it is run only when it is named
}

func groups() []group {
	return []group{
		{"resp", "INCR over connections that stay open, against Redis", (*bench).groupRESP, false},
		{"tcp", "a connection for each count, against Redis and a bare loop", (*bench).groupTCP, false},
		{"udp", "datagrams, against a bare loop and the disk", (*bench).groupUDP, false},
		{"log", "bytes of log for each count", (*bench).groupLog, false},
		{"memory", "memory for each topic", (*bench).groupMemory, false},
		{"start", "time to start", (*bench).groupStart, false},
		{"snapshot", "counting while a snapshot is written", (*bench).groupSnapshot, false},
		{"backup", "counting while backups and dumps are taken", (*bench).groupBackup, false},
		{"tools", "dumps, restores and checks of many topics, against Redis", (*bench).groupTools, false},
		{"flood", "one client beside a flood of others", (*bench).groupFlood, false},
		{"growth", "throughput against topics, connections and workers", (*bench).groupGrowth, false},
		{"peers", "memcached, etcd and PostgreSQL", (*bench).groupPeers, false},
		{"rights", "gcd with rules against gcd without", (*bench).groupRights, false},
		{"tls", "INCR over TLS, against Redis over TLS", (*bench).groupTLS, false},
		{"versions", "this gcd against another build of it, --against", (*bench).groupVersions, true},
	}
}

// runMain runs the command line and returns the exit code.
func runMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&s.rounds, "rounds", 5, "runs of each cell")
	flags.DurationVar(&s.time, "time", 2*time.Second, "length of one run")
	flags.IntVar(&s.threads, "threads", 1, "threads of gcd's own generator; redis-benchmark has one")
	flags.BoolVar(&s.quick, "quick", false,
		"a smoke run: one round of short runs of fewer cells with fewer topics, whose figures mean nothing")
	only := flags.String("only", "", "the groups to run, with commas between; all but versions when empty")
	flags.StringVar(&s.dir, "dir", os.TempDir(), "where the servers' data goes: a directory on the disk to be measured")
	flags.StringVar(&s.out, "out", "", "the page to write the results into; stdout when empty")
	flags.StringVar(&s.raw, "raw", time.Now().UTC().Format("bench-20060102T150405Z.txt"),
		"the file for what each run measured, in Go's benchmark format, for benchstat")
	flags.StringVar(&s.against, "against", "", "for the group versions: another gcd, which this one is held against")
	flags.StringVar(&s.gcd, "gcd", "", "the gcd to measure, with gcd-tool beside it; built from this tree when empty")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "bench compares gcd with other servers on this machine.\n\nFlags:")
		flags.PrintDefaults()
		fmt.Fprintln(stderr, "\nGroups:")
		for _, g := range groups() {
			fmt.Fprintf(stderr, "  %-9s %s\n", g.name, g.about)
		}
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return exitUsage
	}
	chosen, err := choose(*only)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("what is %q? bench takes flags only", flags.Arg(0))
	case s.against == "" && slices.ContainsFunc(chosen, func(g group) bool { return g.named }):
		err = errors.New("the group versions needs --against, the path of the other gcd")
	case s.rounds < 1 || s.rounds > 1000:
		err = fmt.Errorf("--rounds is %d: it must be between 1 and 1000", s.rounds)
	case s.threads < 1 || s.threads > 1024:
		err = fmt.Errorf("--threads is %d: it must be between 1 and 1024", s.threads)
	case s.time < 10*time.Millisecond || s.time > time.Hour:
		err = fmt.Errorf("--time is %v: it must be between 10ms and 1h", s.time)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitUsage
	}
	if s.quick {
		s.rounds, s.time = 1, 200*time.Millisecond
		if s.out != "" {
			fmt.Fprintf(stderr,
				"bench: figures of a smoke run belong on no page: printing them, and leaving %s as it is\n", s.out)
			s.out = ""
		}
	}
	switch err := compareAll(ctx, s, chosen, stdout, stderr); {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "bench: interrupted; everything that was started has ended")
		return 130
	default:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
}

// choose finds the groups of a list of names.
func choose(list string) ([]group, error) {
	all := groups()
	if list == "" {
		return slices.DeleteFunc(all, func(g group) bool { return g.named }), nil
	}
	var chosen []group
	for _, name := range strings.Split(list, ",") {
		i := slices.IndexFunc(all, func(g group) bool { return g.name == strings.TrimSpace(name) })
		if i < 0 {
			var names []string
			for _, g := range all {
				names = append(names, g.name)
			}
			return nil, fmt.Errorf("--only: no group %q; there are %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// compareAll runs the groups, and writes what each found as soon as it is done.
func compareAll(ctx context.Context, s settings, chosen []group, stdout, stderr io.Writer) (err error) {
	root, err := os.MkdirTemp(s.dir, "gcd-compare-")
	if err != nil {
		return err
	}
	b := &bench{settings: s, ctx: ctx, root: root, log: stderr}
	defer func() { err = errors.Join(err, b.closeAll()) }()
	if err := os.Chmod(root, 0o711); err != nil { // PostgreSQL does not run as root and passes through
		return err
	}
	if b.gcd == "" {
		b.gcd, err = build(ctx, root)
	} else {
		b.gcd, err = filepath.Abs(b.gcd)
	}
	if err != nil {
		return err
	}
	b.tool = filepath.Join(filepath.Dir(b.gcd), "gcd-tool")
	publish := func(name, result string) error {
		if b.out != "" {
			return putResult(b.out, name, result)
		}
		_, err := fmt.Fprintf(stdout, "## %s\n\n%s\n", name, result)
		return err
	}
	machine, config, err := b.describe()
	if err == nil {
		err = publish("machine", machine)
	}
	if err != nil {
		return err
	}
	measured := b.provenance()
	if b.results, err = createRaw(b.raw, measured, config); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.results.file.Close()) }()
	var failures []error
	for _, g := range chosen {
		begun := time.Now()
		b.commands = nil
		b.logf("-- %s: %s", g.name, g.about)
		result, err := g.run(b)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the others may still be measured
			failures = append(failures, fmt.Errorf("%s: %w", g.name, err))
			b.logf("-- %s: %v", g.name, err)
			continue
		}
		result += "\n" + measured + "\n\n```\n" + strings.Join(b.commands, "\n") + "\n```\n"
		if err := publish(g.name, result); err != nil {
			return err
		}
		b.logf("-- %s took %v", g.name, time.Since(begun).Round(time.Second))
	}
	b.logf("-- what each run measured is in %s", b.raw)
	return errors.Join(failures...)
}

// provenance says when and how results are measured.
func (b *bench) provenance() string {
	text := fmt.Sprintf("Measured %s, %s of %v for each cell, "+
		"gcd's own generator on %s where nothing else is said, gcd %s.",
		time.Now().UTC().Format(time.DateOnly), plural(b.rounds, "run"), b.time, plural(b.threads, "thread"),
		b.versionOf(b.gcd))
	if b.quick {
		text += " **A smoke run, whose figures mean nothing.**"
	}
	return text
}

// build builds gcd, and gcd-tool beside it, from the tree that this module is in. It returns the
// path of gcd.
func build(ctx context.Context, root string) (string, error) {
	tree, err := run(ctx, "go", []string{"list", "-m", "-f", "{{.Dir}}", "gcd"}, processOptions{})
	if err != nil {
		return "", err
	}
	_, err = run(ctx, "go", []string{"build", "-buildvcs=auto", "-o", root, "./cmd/gcd", "./cmd/gcd-tool"},
		processOptions{dir: strings.TrimSpace(tree)})
	return filepath.Join(root, "gcd"), err
}
