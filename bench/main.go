// Command bench compares gcd with other servers on this machine, and with what the machine can do at all. It builds gcd, starts
// what it compares, on loopback and on one disk, and prints tables; docs/benchmarks.md says what they mean. It needs Linux.
//
// It is a module of its own, so that what the generators need never reaches who uses gcd.
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
	if len(os.Args) == 3 && os.Args[1] == bareCommand {
		if err := serveBare(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 5 && os.Args[1] == floodCommand {
		fmt.Fprintln(os.Stderr, flood(os.Args[2], os.Args[3], os.Args[4]))
		os.Exit(1)
	}
	asks := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		asks = append(asks, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), asks...)
	context.AfterFunc(ctx, func() { // a second signal ends it at once, and the system everything that it has started
		time.AfterFunc(oneStop, stop)
	})
	os.Exit(runMain(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// oneStop is the time within which several signals are one, as of gcd.
const oneStop = 500 * time.Millisecond

// exitUsage is the exit code for a wrong command line, as of gcd.
const exitUsage = 64

// pictureName is the file of the picture, beside the page that takes the results. It does not depend on the page's name, so that a
// section can be copied from one page to another.
const pictureName = "benchmarks-growth.svg"

// group is a part of the comparison that can be run alone.
type group struct {
	name  string
	about string
	run   func(b *bench, picture string) (string, error)
	named bool // it is run only when it is named
}

func groups() []group {
	plain := func(run func(b *bench) (string, error)) func(*bench, string) (string, error) {
		return func(b *bench, _ string) (string, error) { return run(b) }
	}
	return []group{
		{name: "resp", about: "INCR over connections that stay open, against Redis", run: plain((*bench).groupRESP)},
		{name: "tcp", about: "a connection for each count, against Redis and a bare loop", run: plain((*bench).groupTCP)},
		{name: "udp", about: "datagrams, against a bare loop and the disk", run: plain((*bench).groupUDP)},
		{name: "log", about: "bytes of log for each count", run: plain((*bench).groupLog)},
		{name: "memory", about: "memory for each topic", run: plain((*bench).groupMemory)},
		{name: "start", about: "time to start", run: plain((*bench).groupStart)},
		{name: "snapshot", about: "counting while a snapshot is written", run: plain((*bench).groupSnapshot)},
		{name: "backup", about: "counting while backups and dumps are taken", run: plain((*bench).groupBackup)},
		{name: "tools", about: "dumps, restores and checks of many topics, against Redis", run: plain((*bench).groupTools)},
		{name: "flood", about: "one client beside a flood of others", run: plain((*bench).groupFlood)},
		{name: "growth", about: "throughput against topics, connections and workers", run: (*bench).groupGrowth},
		{name: "peers", about: "memcached, etcd and PostgreSQL", run: plain((*bench).groupPeers)},
		{name: "versions", about: "this gcd against another build of it, --against", run: plain((*bench).groupVersions), named: true},
	}
}

// runMain runs the command line and returns the exit code.
func runMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 5, "runs of each cell")
	each := flags.Duration("time", 2*time.Second, "length of one run")
	threads := flags.Int("threads", 1, "threads of gcd's own generator; redis-benchmark has one")
	quick := flags.Bool("quick", false, "a smoke run: one round of short runs of fewer cells with fewer topics, whose figures mean nothing")
	only := flags.String("only", "", "the groups to run, with commas between; all but versions when empty")
	dir := flags.String("dir", os.TempDir(), "where the servers' data goes: a directory on the disk to be measured")
	out := flags.String("out", "", "the page to write the results into; stdout when empty")
	against := flags.String("against", "", "for the group versions: another gcd, which this one is held against")
	binary := flags.String("gcd", "", "the gcd to measure, with gcd-tool beside it; both are built from this tree when empty")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "bench compares gcd with other servers on this machine.\n\nFlags:")
		flags.PrintDefaults()
		fmt.Fprintln(stderr, "\nGroups:")
		for _, g := range groups() {
			fmt.Fprintf(stderr, "  %-9s %s\n", g.name, g.about)
		}
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}
	chosen, err := choose(*only)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("what is %q? bench takes flags only", flags.Arg(0))
	case *against == "" && slices.ContainsFunc(chosen, func(g group) bool { return g.name == "versions" }):
		err = errors.New("the group versions needs --against, the path of the other gcd")
	case *rounds < 1 || *rounds > 1000:
		err = fmt.Errorf("--rounds is %d: it must be between 1 and 1000", *rounds)
	case *threads < 1 || *threads > 1024:
		err = fmt.Errorf("--threads is %d: it must be between 1 and 1024", *threads)
	case *each < 10*time.Millisecond || *each > time.Hour:
		err = fmt.Errorf("--time is %v: it must be between 10ms and 1h", *each)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitUsage
	}
	s := settings{rounds: *rounds, time: *each, threads: *threads, quick: *quick}
	if s.quick {
		s.rounds, s.time = 1, 200*time.Millisecond
		if *out != "" {
			fmt.Fprintf(stderr, "bench: figures of a smoke run belong on no page: printing them, and leaving %s as it is\n", *out)
			*out = ""
		}
	}
	if err := compareAll(ctx, s, chosen, places{dir: *dir, out: *out, gcd: *binary, against: *against}, stdout, stderr); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(stderr, "bench: interrupted; everything that was started has ended")
			return 130
		}
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
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

// places are what a run reads and writes.
type places struct {
	dir     string // where the servers' data goes
	out     string // the page; empty: stdout
	gcd     string // the binary to measure; empty: build it
	against string // the other one, of the group versions; empty: none
}

// compareAll runs the groups, and writes what each found as soon as it is done.
func compareAll(ctx context.Context, s settings, chosen []group, at places, stdout, stderr io.Writer) (err error) {
	root, err := os.MkdirTemp(at.dir, "gcd-compare-")
	if err != nil {
		return err
	}
	b := &bench{settings: s, ctx: ctx, root: root, gcd: at.gcd, against: at.against, log: stderr}
	defer func() { err = errors.Join(err, b.closeAll()) }()
	if err := os.Chmod(root, 0o711); err != nil { // PostgreSQL does not run as root and passes through
		return err
	}
	if b.gcd == "" {
		if b.gcd, err = build(ctx, root); err != nil {
			return err
		}
	} else if b.gcd, err = filepath.Abs(b.gcd); err != nil {
		return err
	}
	b.tool = filepath.Join(filepath.Dir(b.gcd), "gcd-tool")

	about, err := b.describe()
	if err != nil {
		return err
	}
	publish := func(name, result string) error {
		_, err := fmt.Fprintf(stdout, "## %s\n\n%s\n", name, result)
		return err
	}
	picture := ""
	if at.out != "" {
		publish = func(name, result string) error {
			p, err := openPage(at.out)
			if err != nil {
				return err
			}
			if err := p.put(name, result); err != nil {
				return err
			}
			return p.save()
		}
		picture = filepath.Join(filepath.Dir(at.out), pictureName)
	}
	if err := publish("machine", about); err != nil {
		return err
	}
	version := b.versionOf(b.gcd)
	var failures []error
	for _, g := range chosen {
		begun := time.Now()
		b.commands = nil
		b.logf("-- %s: %s", g.name, g.about)
		result, err := g.run(b, picture)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the others may still be measured
			failures = append(failures, fmt.Errorf("%s: %w", g.name, err))
			b.logf("-- %s: %v", g.name, err)
			continue
		}
		if err := publish(g.name, result+b.provenance(version)); err != nil {
			return err
		}
		b.logf("-- %s took %v", g.name, time.Since(begun).Round(time.Second))
	}
	return errors.Join(failures...)
}

// provenance says when and how a result was measured.
func (b *bench) provenance(version string) string {
	text := fmt.Sprintf("\nMeasured %s, %s of %v for each cell, gcd's own generator on %s where nothing else is said, gcd %s.", today(), plural(b.rounds, "run"), b.time, plural(b.threads, "thread"), version)
	if b.quick {
		text += " **A smoke run, whose figures mean nothing.**"
	}
	return text + "\n\n```\n" + strings.Join(b.commands, "\n") + "\n```\n"
}

// build builds gcd, and gcd-tool beside it, from the tree that this module is in. It returns the path of gcd.
func build(ctx context.Context, root string) (string, error) {
	tree, err := run(ctx, "go", []string{"list", "-m", "-f", "{{.Dir}}", "gcd"}, processOptions{})
	if err != nil {
		return "", err
	}
	_, err = run(ctx, "go", []string{"build", "-buildvcs=auto", "-o", root, "./cmd/gcd", "./cmd/gcd-tool"}, processOptions{dir: strings.TrimSpace(tree)})
	return filepath.Join(root, "gcd"), err
}
