package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	readGoal    = 1   // millions of topics a second and core, of dump and verify
	restoreGoal = 0.3 // millions of topics a second and core
	dumpMemory  = 200 // MiB, at most
)

// job is a command that reads or makes many topics.
type job struct {
	what   string
	path   string
	args   []string
	server *instance // that it asks; nil: none
	makes  string    // removed behind each run; "": nothing
	goal   float64   // millions of topics a second and core, at least; 0: none
	memory float64   // MiB, at most; 0: none
	used   []usage
}

// groupTools measures gcd-tool and gcd backup, and what Redis has for its files beside them.
func (b *bench) groupTools() (string, error) {
	t := table{header: []string{"", "topics", "took, s", "topics a second", "millions a second and core", "processor, s", "anonymous memory, MiB"}}
	few, many := b.scale(1_000_000, 30_000), b.scale(10_000_000, 60_000)
	theirs, err := b.redisJobs(few)
	if errors.Is(err, errNotInstalled) {
		b.logf("%v", err)
	} else if err != nil {
		return "", err
	} else {
		defer theirs[0].server.close()
	}
	if err := b.gcdJobs(&t, few, true, theirs); err != nil {
		return "", err
	}
	if err := b.gcdJobs(&t, many, false, nil); err != nil {
		return "", err
	}
	if err := b.logJobs(&t, b.scale(3_000_000, 30_000)); err != nil {
		return "", err
	}
	return fmt.Sprintf("Topics of 20 bytes with sums of %s, files in the page cache. Processor time is user and system, of the command and of the server that it asks; *and core* divides by it. "+
		"Memory is what is of no file (RssAnon), of the command alone, the most at any look, every %v.\n\n%s", grouped(bigSum), memoryEvery, t.String()), nil
}

// runJobs runs each job once a round, and writes what it has used.
func (b *bench) runJobs(t *table, topics int, jobs []*job) error {
	for round := range b.rounds {
		for i := range jobs {
			j := jobs[(i+round)%len(jobs)]
			u, err := b.used(j.path, j.args, j.server)
			if err == nil && j.makes != "" {
				err = os.RemoveAll(j.makes)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", j.what, err)
			}
			j.used = append(j.used, u)
		}
	}
	for _, j := range jobs {
		var took, rate, perCore, cpu, memory []float64
		for _, u := range j.used {
			took, cpu = append(took, u.took.Seconds()), append(cpu, u.cpu.Seconds())
			rate = append(rate, ratio(float64(topics), u.took.Seconds()))
			perCore = append(perCore, ratio(float64(topics), u.cpu.Seconds())/1e6)
			memory = append(memory, float64(u.memory)/(1<<20))
		}
		most := ranged(memory, digits)
		if j.memory > 0 {
			most = atMost(median(memory), j.memory)
		}
		t.row(j.what, grouped(topics), ranged(took, digits), perSecond(median(rate)), wanted(median(perCore), j.goal), digits(median(cpu)), most)
		b.logf("tools, %s, %s: %s s, %s a second", plural(topics, "topic"), j.what, ranged(took, digits), perSecond(median(rate)))
	}
	return nil
}

// gcdJobs measures gcd's commands on the directory of a stopped server and then a backup of a server on it, in turn with a peer's jobs.
func (b *bench) gcdJobs(t *table, topics int, backup bool, theirs []*job) error {
	dir, err := b.keepGCD(topics, true)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	work, err := b.newDir("tools")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	file := func(name string) string { return filepath.Join(work, name) }
	dump := func(format, name string) []string {
		return []string{"dump", "--quiet", "--format", format, "--output", file(name), dir}
	}
	if _, err := run(b.ctx, b.tool, dump("ndjson", "kept.ndjson"), processOptions{}); err != nil {
		return err
	}
	ours := []*job{
		{what: "gcd-tool dump, ndjson", args: dump("ndjson", "dump.ndjson"), makes: file("dump.ndjson"), goal: readGoal, memory: dumpMemory},
		{what: "gcd-tool dump, csv", args: dump("csv", "dump.csv"), makes: file("dump.csv"), goal: readGoal, memory: dumpMemory},
		{what: "gcd-tool verify", args: []string{"verify", "--quiet", dir}, goal: readGoal},
		{what: "gcd-tool restore", args: []string{"restore", "--quiet", file("kept.ndjson"), file("restored")}, makes: file("restored"), goal: restoreGoal},
	}
	for _, j := range ours {
		j.path = b.tool
		b.ran("gcd-tool "+quoteEmpty(j.args), dir, "DIR", work+"/", "")
	}
	if err := b.runJobs(t, topics, ours); err != nil || !backup {
		return err
	}
	in, err := b.startGCD(dir)
	if err != nil {
		return err
	}
	j := &job{what: "gcd backup, of a running server", path: b.gcd, server: in, makes: file("backup.ndjson"),
		args: []string{"backup", "--quiet", "--addr", in.addr, file("backup.ndjson")}}
	b.ran("gcd "+quoteEmpty(j.args), in.addr, "ADDR", work+"/", "")
	return errors.Join(b.runJobs(t, topics, append([]*job{j}, theirs...)), in.close())
}

// logJobs measures a dump beside a server whose topics are all in its log alone: there is nothing that is sorted.
func (b *bench) logJobs(t *table, topics int) error {
	in, err := b.startGCD("", "--snapshot-bytes", "0", "--snapshot-interval", "0")
	if err != nil {
		return err
	}
	defer in.close()
	if err := b.fill(in, topics, bigSum); err != nil {
		return err
	}
	file := filepath.Join(b.root, "log.ndjson")
	args := []string{"dump", "--quiet", "--format", "ndjson", "--output", file, "--temp-dir", b.root, in.dir}
	b.ran("gcd-tool "+quoteEmpty(args), in.dir, "DIR", file, "log.ndjson", b.root, "TMP")
	return b.runJobs(t, topics, []*job{
		{what: "gcd-tool dump beside a running server, all in its log", path: b.tool, args: args, server: in, makes: file, memory: dumpMemory},
	})
}

// redisJobs are what Redis has to get its topics out of a server, and to check its files. The first has the server.
func (b *bench) redisJobs(topics int) ([]*job, error) {
	var paths [3]string
	for i, name := range []string{"redis-cli", "redis-check-rdb", "redis-check-aof"} {
		var err error
		if paths[i], err = find(name); err != nil {
			return nil, err
		}
	}
	dir, err := b.keepRedis(topics)
	if err != nil {
		return nil, err
	}
	in, err := b.startRedis("everysec", dir) // leaves the RDB file alone, and has a log of its own
	if err != nil {
		return nil, err
	}
	if err := errors.Join(b.fill(in, topics, 1), in.stop()); err != nil {
		return nil, err
	}
	if in, err = b.startRedis("none", dir); err != nil {
		return nil, err
	}
	const atOnce = "CONFIG SET repl-diskless-sync-delay 0" // or it waits for five seconds, for others that want the same
	if _, err := redisCommand(in.addr, strings.Fields(atOnce)...); err != nil {
		return nil, errors.Join(err, in.close())
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	jobs := []*job{
		{what: "redis-cli --rdb, of a running Redis", path: paths[0], server: in, args: []string{"-p", portOf(in.addr), "--rdb", file("copy.rdb")}, makes: file("copy.rdb")},
		{what: "redis-check-rdb", path: paths[1], args: []string{file("dump.rdb")}},
		{what: "redis-check-aof, of as many INCRs", path: paths[2], args: []string{file("appendonlydir/appendonly.aof.manifest")}},
	}
	b.ran("redis-cli -p PORT " + atOnce)
	for _, j := range jobs {
		b.ran(filepath.Base(j.path)+" "+quoteEmpty(j.args), dir+"/", "", portOf(in.addr), "PORT")
	}
	return jobs, nil
}
