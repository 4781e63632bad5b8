package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	makes  string    // removed after each run; "": nothing
	goal   float64   // millions of topics a second and core, at least; 0: none
	memory float64   // MiB, at most; 0: none
}

// The units of groupTools, beside those of what a command has used.
const (
	topicRate = "topics/s"
	perCore   = "topics/cpu-sec"
)

// groupTools measures gcd-tool and gcd backup, and what Redis has for its files beside them.
func (b *bench) groupTools() (string, error) {
	t := newTable(" | topics | took, s | topics a second | millions a second and core | " +
		"processor, s | anonymous memory, MiB")
	few, many := b.scale(1_000_000, 30_000), b.scale(10_000_000, 60_000)
	theirs, err := b.redisJobs(few)
	if errors.Is(err, errNotInstalled) {
		b.logf("%v", err)
	} else if err != nil {
		return "", err
	} else {
		defer theirs[0].server.close()
	}
	if err := b.gcdJobs(t, few, true, theirs); err != nil {
		return "", err
	}
	if err := b.gcdJobs(t, many, false, nil); err != nil {
		return "", err
	}
	if err := b.logJobs(t, b.scale(3_000_000, 30_000)); err != nil {
		return "", err
	}
	return fmt.Sprintf("Topics of 20 bytes with sums of %s, files in the page cache. "+
		"Processor time is user and system, of the command and of the server that it asks; "+
		"*and core* divides by it. Memory is what is of no file (RssAnon), of the command alone, "+
		"the most at any look, every %v.\n\n%s", grouped(bigSum), memoryEvery, t.String()), nil
}

// runJobs runs each job once a round, and writes what it has used.
func (b *bench) runJobs(t *table, topics int, jobs []*job) error {
	c := b.newCell("Tools", "topics", topics)
	for _, j := range jobs {
		c.add(j.what, func() (load, error) {
			path, err := find(j.path)
			if err != nil {
				return load{}, err
			}
			v, err := b.used(path, j.args, j.server)
			if err == nil && j.makes != "" {
				err = os.RemoveAll(j.makes)
			}
			if err != nil {
				return load{}, err
			}
			n := float64(topics)
			v[topicRate], v[perCore] = ratio(n, v[took]), ratio(n, v[busy])
			return load{uint64(topics), v}, nil
		})
	}
	measured, err := c.measure()
	if err != nil {
		return err
	}
	for _, j := range jobs {
		r := measured[j.what]
		most := r.text(anonymous)
		if j.memory > 0 {
			most = atMost(r.median(anonymous)/(1<<20), j.memory)
		}
		t.row(j.what, grouped(topics), r.text(took), perSecond(r.median(topicRate)),
			wanted(r.median(perCore)/1e6, j.goal), digits(r.median(busy)), most)
	}
	return nil
}

// gcdJobs measures gcd's commands on the directory of a stopped server and then a backup of a
// server on it, in turn with a peer's jobs.
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
		{what: "gcd-tool dump, ndjson", args: dump("ndjson", "dump.ndjson"), makes: file("dump.ndjson"),
			goal: readGoal, memory: dumpMemory},
		{what: "gcd-tool dump, csv", args: dump("csv", "dump.csv"), makes: file("dump.csv"),
			goal: readGoal, memory: dumpMemory},
		{what: "gcd-tool verify", args: []string{"verify", "--quiet", dir}, goal: readGoal},
		{what: "gcd-tool restore", args: []string{"restore", "--quiet", file("kept.ndjson"), file("restored")},
			makes: file("restored"), goal: restoreGoal},
	}
	for _, j := range ours {
		j.path = b.tool
		b.ran("gcd-tool "+quoted(j.args), dir, "DIR", work+"/", "")
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
	b.ran("gcd "+quoted(j.args), in.addr, "ADDR", work+"/", "")
	return errors.Join(b.runJobs(t, topics, append([]*job{j}, theirs...)), in.close())
}

// logJobs measures a dump beside a server whose topics are all in its log alone: there is nothing
// that is sorted.
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
	b.ran("gcd-tool "+quoted(args), in.dir, "DIR", file, "log.ndjson", b.root, "TMP")
	return b.runJobs(t, topics, []*job{{what: "gcd-tool dump beside a running server, all in its log",
		path: b.tool, args: args, server: in, makes: file, memory: dumpMemory}})
}

// redisJobs are what Redis has to get its topics out of a server, and to check its files. The first
// has the server.
func (b *bench) redisJobs(topics int) ([]*job, error) {
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
	const delay = "repl-diskless-sync-delay" // five seconds, for others that want the same
	if _, err := redisCommand(in.addr, "CONFIG", "SET", delay, 0); err != nil {
		return nil, errors.Join(err, in.close())
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	jobs := []*job{
		{what: "redis-cli --rdb, of a running Redis", path: "redis-cli", server: in, makes: file("copy.rdb"),
			args: []string{"-p", portOf(in.addr), "--rdb", file("copy.rdb")}},
		{what: "redis-check-rdb", path: "redis-check-rdb", args: []string{file("dump.rdb")}},
		{what: "redis-check-aof, of as many INCRs", path: "redis-check-aof",
			args: []string{file("appendonlydir/appendonly.aof.manifest")}},
	}
	b.ran("redis-cli -p PORT CONFIG SET " + delay + " 0")
	for _, j := range jobs {
		b.ran(j.path+" "+quoted(j.args), dir+"/", "", portOf(in.addr), "PORT")
	}
	return jobs, nil
}
