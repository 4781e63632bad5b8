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
	backupP99 = 1.25 // p99 beside backups × that without, at most
	backupFor = 3    // runs are so many times as long as others: a backup is to fit into one
)

// groupBackup measures counting while backups are taken, one after the other.
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
	t := table{header: []string{"load", "without", "beside backups", "beside / without", "p99 without, µs", "p99 beside backups, µs", "beside / without", "a backup took, s"}}
	for _, pipeline := range []int{1, 16} {
		put := b.generated(loadgen.Options{Network: loadgen.RESP, Addr: in.addr, Clients: 64, Pipeline: pipeline, Prefix: "hot:"})
		var took []float64
		name := fmt.Sprintf("64 connections, pipeline %d, one topic", pipeline)
		points, err := b.compare("backup, "+name, []*subject{
			{name: "without", in: in, load: func(d time.Duration) (load, error) { return put(backupFor * d) }},
			{name: "beside backups", in: in, load: func(d time.Duration) (load, error) {
				var l load
				err := b.besideBackups(in, &took, func() (err error) {
					l, err = put(backupFor * d)
					return err
				})
				return l, err
			}},
		}, nil)
		if err != nil {
			return "", err
		}
		without, beside := points["without"], points["beside backups"]
		t.row(name, ranged(rates(without), perSecond), ranged(rates(beside), perSecond), digits(ratio(median(rates(beside)), median(rates(without)))),
			ranged(p99s(without), micros), ranged(p99s(beside), micros), atMost(ratio(median(p99s(beside)), median(p99s(without))), backupP99), ranged(took, digits))
		b.logf("backup, pipeline %d: p99 %s µs without, %s µs beside; %s took %s s", pipeline, ranged(p99s(without), micros), ranged(p99s(beside), micros), plural(len(took), "backup"), ranged(took, digits))
	}
	return fmt.Sprintf("Counting while `gcd backup` takes %s out of the snapshot, checks them and writes them to a file, again and again, on the same processors:\n\n%s",
		plural(topics, "topic"), t.String()), nil
}

// besideBackups does something while backups are taken from a server, one after the other; the last one ends behind it.
func (b *bench) besideBackups(in *instance, took *[]float64, do func() error) error {
	file := filepath.Join(b.root, "backup.ndjson")
	args := []string{"backup", "--quiet", "--addr", in.addr, file}
	b.ran("gcd "+quoteEmpty(args), in.addr, "ADDR", b.root+"/", "")
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	var backupErr error
	var taking sync.WaitGroup
	taking.Go(func() {
		runtime.LockOSThread() // see startProcess
		for backupErr == nil && ctx.Err() == nil {
			begun := time.Now()
			_, backupErr = run(b.ctx, b.gcd, args, processOptions{})
			*took = append(*took, time.Since(begun).Seconds())
		}
	})
	err := do()
	stop()
	taking.Wait()
	return errors.Join(err, backupErr, os.RemoveAll(file))
}
