// Command countpath says which functions of gcd run for each COUNT, by package and file. It builds
// gcd with counters in every block (go build -cover), has it answer two numbers of counts, one
// after the other, and takes what ran more often by as much as there were more counts. So it tells
// how far a reader has to go who wants to know what happens to a count. No program that is shipped
// imports this one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
)

// way is how a count comes to the server, and how the server works.
type way struct{ network, dispatch string }

var ways = []way{
	{"tcp", "pool"}, {"resp", "pool"}, {"udp", "pool"},
	{"tcp", "goroutine"}, {"resp", "goroutine"}, {"udp", "goroutine"},
}

func main() {
	flags := flag.NewFlagSet("countpath", flag.ExitOnError)
	list := flags.Bool("list", false, "name the functions, too")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: go run ./internal/countpath [-list] [DIR]\n"+
			"DIR has the source of gcd, in this version or an older one; by default it is this directory.")
		flags.PrintDefaults()
	}
	_ = flags.Parse(os.Args[1:]) // exits where it fails
	root := "."
	if flags.NArg() > 0 {
		root = flags.Arg(0)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := report(ctx, root, *list); err != nil {
		fmt.Fprintln(os.Stderr, "countpath:", err)
		os.Exit(1)
	}
}

// report prints a line for each way, and the functions if they are asked for.
func report(ctx context.Context, root string, list bool) error {
	p, err := build(ctx, root)
	if err != nil {
		return err
	}
	defer p.remove()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "way\tfunctions\tfiles\tby package: functions in files")
	var named []string
	for _, w := range ways {
		ran, err := p.perCount(ctx, w)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", w.network, w.dispatch, err)
		}
		files := files(ran)
		fmt.Fprintf(out, "%s, %s\t%d\t%d\t%s\n", w.network, w.dispatch, len(ran), len(files), byPackage(ran))
		if list {
			named = append(named, fmt.Sprintf("\n%s, %s", w.network, w.dispatch))
			for _, f := range ran {
				named = append(named, fmt.Sprintf("  %-32s %s", f.file, f.name))
			}
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = fmt.Println(strings.Join(named, "\n"))
	return err
}

// files are those that the functions stand in.
func files(ran []function) []string {
	var all []string
	for _, f := range ran {
		all = append(all, f.file)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// byPackage says of each package how many functions ran, in how many files.
func byPackage(ran []function) string {
	var said, packages []string
	for _, f := range ran {
		packages = append(packages, path.Dir(f.file))
	}
	slices.Sort(packages)
	for _, p := range slices.Compact(packages) {
		inside := slices.DeleteFunc(slices.Clone(ran), func(f function) bool { return path.Dir(f.file) != p })
		said = append(said, fmt.Sprintf("%s %d in %d", p, len(inside), len(files(inside))))
	}
	return strings.Join(said, ", ")
}
