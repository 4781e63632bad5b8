package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"gcd/loadgen"
)

const (
	backupP99 = 1.25 // p99 beside backups or dumps × that without, at most
	backupFor = 3    // runs are so many times as long as others: a backup is to fit into one
)

// copying is a command that takes all topics out of a running server or its directory.
type copying struct {
	name string
	path string
	args []string
	file string    // that it makes
	took []float64 // seconds
}

// groupBackup measures counting while backups, or dumps of the server's directory, are taken, one after the other.
func (b *bench) groupBackup() (string, error) {
	topics := b.scale(1_000_000, 30_000)
	dir, err := b.keepGCD(topics, true)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	in, err := b.startGCD(dir)
	if err != nil {
		return "", err
	}
	defer in.close()
	file := filepath.Join(b.root, "backup.ndjson")
	backup := []string{"backup", "--quiet", "--addr", in.addr, file}
	b.ran("gcd "+quoteEmpty(backup), in.addr, "ADDR", b.root+"/", "")
	dump := []string{"dump", "--quiet", "--format", "ndjson", "--output", file, "--temp-dir", b.root, dir}
	b.ran("gcd-tool "+quoteEmpty(dump), dir, "DIR", file, "backup.ndjson", b.root, "TMP")
	t := table{header: []string{"load", "beside", "without", "beside it", "beside / without", "p99 without, µs", "p99 beside it, µs", "beside / without", "one took, s"}}
	for _, pipeline := range []int{1, 16} {
		put := b.generated(loadgen.Options{Network: loadgen.RESP, Addr: in.addr, Clients: 64, Pipeline: pipeline, Prefix: "hot:"})
		name := fmt.Sprintf("64 connections, pipeline %d, one topic", pipeline)
		copyings := []*copying{{name: "gcd backup", path: b.gcd, args: backup, file: file}, {name: "gcd-tool dump", path: b.tool, args: dump, file: file}}
		subjects := []*subject{{name: "without", in: in, load: func(d time.Duration) (load, error) { return put(backupFor * d) }}}
		for _, c := range copyings {
			subjects = append(subjects, &subject{name: c.name, in: in, load: func(d time.Duration) (l load, err error) {
				err = b.beside(c, func() (err error) {
					l, err = put(backupFor * d)
					return err
				})
				return l, err
			}})
		}
		points, err := b.compare("backup, "+name, subjects, nil)
		if err != nil {
			return "", err
		}
		without := points["without"]
		for _, c := range copyings {
			beside := points[c.name]
			t.row(name, "`"+c.name+"`", ranged(rates(without), perSecond), ranged(rates(beside), perSecond), digits(ratio(median(rates(beside)), median(rates(without)))),
				ranged(p99s(without), micros), ranged(p99s(beside), micros), atMost(ratio(median(p99s(beside)), median(p99s(without))), backupP99), ranged(c.took, digits))
			b.logf("backup, pipeline %d, %s: p99 %s µs without, %s µs beside; %d took %s s", pipeline, c.name, ranged(p99s(without), micros), ranged(p99s(beside), micros), len(c.took), ranged(c.took, digits))
		}
	}
	return fmt.Sprintf("Counting while `gcd backup`, or `gcd-tool dump` of the running server's directory, takes %s out of the snapshot and writes them to a file, again and again, on the same processors:\n\n%s",
		plural(topics, "topic"), t.String()), nil
}

// beside does something while copies are taken, one after the other; the last one ends behind it.
func (b *bench) beside(c *copying, do func() error) error {
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	var copyErr error
	var taking sync.WaitGroup
	taking.Go(func() {
		runtime.LockOSThread() // see startProcess
		for copyErr == nil && ctx.Err() == nil {
			begun := time.Now()
			_, copyErr = run(b.ctx, c.path, c.args, processOptions{})
			c.took = append(c.took, time.Since(begun).Seconds())
		}
	})
	err := do()
	stop()
	taking.Wait()
	return errors.Join(err, copyErr, os.RemoveAll(c.file))
}
