package main

import (
	"os"
	"path/filepath"
	"strconv"
	"time"

	"gcd/loadgen"
)

// pictureName is the file of the picture, beside the page that takes the results. It does not
// depend on the page's name, so that a section can be copied from one page to another.
const pictureName = "benchmarks-growth.svg"

// growth is throughput by a size, with one worker and with more: a table, and a chart of it.
type growth struct {
	x, fixed string // what grows, and what does not
	sizes    []int
	curves   [][]runs // by growthWorkers and sizes
}

var growthWorkers = []int{1, 2}

func (g *growth) String() string {
	header := g.x + " (" + g.fixed + ")"
	for _, workers := range growthWorkers {
		header += " | " + plural(workers, "worker")
	}
	t := newTable(header)
	for i, size := range g.sizes {
		cells := []string{grouped(size)}
		for _, curve := range g.curves {
			cells = append(cells, curve[i].text(rate))
		}
		t.row(cells...)
	}
	return t.String()
}

// groupGrowth measures how throughput changes with topics, connections and workers, and draws it.
func (b *bench) groupGrowth() (string, error) {
	topics, err := b.grow("topics", "64 connections, pipeline 16",
		[]int{1, 1000, b.scale(1_000_000, 10_000), b.scale(10_000_000, 30_000)},
		func(size int) loadgen.Options {
			return loadgen.Options{Topics: uint64(size), Clients: 64, Pipeline: 16}
		})
	if err != nil {
		return "", err
	}
	connections, err := b.grow("connections", "pipeline 1, one topic",
		[]int{1, 10, 100, b.scale(1000, 200), b.scale(10_000, 300)},
		func(size int) loadgen.Options { return loadgen.Options{Topics: 1, Clients: size, Pipeline: 1} })
	if err != nil {
		return "", err
	}
	if b.out == "" {
		return growthTables(topics, connections), nil
	}
	picture, err := drawGrowth(topics, connections)
	if err != nil {
		return "", err
	}
	return growthTables(topics, connections) + growthPicture,
		os.WriteFile(filepath.Join(filepath.Dir(b.out), pictureName), picture, 0o644)
}

const growthPicture = "\n![answers a second against topics and connections](" + pictureName + ")\n"

func growthTables(topics, connections *growth) string {
	return "INCR by gcd's own generator, answers a second. " +
		"The topics are all there before they are counted at random.\n\n" +
		topics.String() + "\n" + connections.String()
}

// grow measures all sizes, each on a new server.
func (b *bench) grow(x, fixed string, sizes []int, sized func(int) loadgen.Options) (*growth, error) {
	g := &growth{x: x, fixed: fixed, sizes: sizes}
	for _, workers := range growthWorkers {
		var curve []runs
		for _, size := range sizes {
			o := sized(size)
			o.Network, o.Prefix, o.Timeout = loadgen.RESP, fillPrefix, time.Minute
			c := b.newCell("Growth", "workers", workers,
				"topics", o.Topics, "clients", o.Clients, "pipeline", o.Pipeline)
			c.start("gcd", func() (*instance, error) {
				return b.startGCD("", "--workers", strconv.Itoa(workers), "--max-connections", "20000")
			}, b.generated(o))
			c.fill(int(o.Topics))
			measured, err := c.measure()
			if err != nil {
				return nil, err
			}
			curve = append(curve, measured["gcd"])
		}
		g.curves = append(g.curves, curve)
	}
	return g, nil
}
