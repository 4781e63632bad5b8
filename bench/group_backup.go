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
	backupFor = 3    // runs are so many times as long as others: a backup must fit into one
)

// groupBackup measures counting while backups, or dumps of the server's directory, are taken, one
// after the other.
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
	b.ran("gcd "+quoted(backup), in.addr, "ADDR", b.root+"/", "")
	dump := []string{"dump", "--quiet", "--format", "ndjson", "--output", file, "--temp-dir", b.root, dir}
	b.ran("gcd-tool "+quoted(dump), dir, "DIR", file, "backup.ndjson", b.root, "TMP")
	t := newTable("load | beside | without | beside it | beside / without | p99 without, µs | " +
		"p99 beside it, µs | beside / without | one took, s")
	copyings := []struct {
		name, path string
		args       []string
	}{{"gcd backup", b.gcd, backup}, {"gcd-tool dump", b.tool, dump}}
	for _, pipeline := range []int{1, 16} {
		put := b.generated(loadgen.Options{Network: loadgen.RESP, Clients: 64, Pipeline: pipeline, Prefix: "hot:"})
		c := b.newCell("Backup", "topics", topics, "clients", 64, "pipeline", pipeline)
		c.load("without", in, func(in *instance, d time.Duration) (load, error) { return put(in, backupFor*d) })
		for _, other := range copyings {
			c.load(other.name, in, func(in *instance, d time.Duration) (load, error) {
				got, err := b.beside(other.path, other.args, func() (load, error) { return put(in, backupFor*d) })
				return got, errors.Join(err, os.RemoveAll(file))
			})
		}
		measured, err := c.measure()
		if err != nil {
			return "", err
		}
		without := measured["without"]
		for _, other := range copyings {
			beside := measured[other.name]
			t.row(fmt.Sprintf("64 connections, pipeline %d, one topic", pipeline), "`"+other.name+"`",
				without.text(rate), beside.text(rate), digits(beside.over(without, rate)),
				without.text(p99), beside.text(p99), atMost(beside.over(without, p99), backupP99), beside.text(took))
		}
	}
	return fmt.Sprintf("Counting while `gcd backup`, or `gcd-tool dump` of the running server's directory, takes %s "+
		"out of the snapshot and writes them to a file, again and again, on the same processors:\n\n%s",
		plural(topics, "topic"), t.String()), nil
}

// beside puts load on a server while a command copies its topics, again and again. The last copy
// ends after the load.
func (b *bench) beside(path string, args []string, put func() (load, error)) (load, error) {
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	var seconds []float64
	var copyErr error
	var taking sync.WaitGroup
	taking.Go(func() {
		runtime.LockOSThread() // see startProcess
		for copyErr == nil && ctx.Err() == nil {
			begun := time.Now()
			_, copyErr = run(b.ctx, path, args, processOptions{})
			seconds = append(seconds, time.Since(begun).Seconds())
		}
	})
	got, err := put()
	stop()
	taking.Wait()
	if err := errors.Join(err, copyErr); err != nil {
		return load{}, err
	}
	got.values[took] = median(seconds)
	return got, nil
}
