package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/textproto"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gcd/loadgen"
)

// closedLoop calls a function from many goroutines, each as soon as its last call returned, for a
// while: the generator for peers whose protocol gcd's own does not speak. The random numbers are
// the goroutine's own.
func closedLoop(ctx context.Context, clients int, d time.Duration,
	call func(client int, random *rand.Rand) error) (load, error) {
	running, ctx := errgroup.WithContext(ctx)
	all := loadgen.NewHistogram()
	var mu sync.Mutex
	begun := time.Now()
	for i := range clients {
		running.Go(func() error {
			mine, random := loadgen.NewHistogram(), rand.New(rand.NewPCG(1, uint64(i)))
			for first := true; first || time.Since(begun) < d && ctx.Err() == nil; first = false {
				before := time.Now()
				if err := call(i, random); err != nil {
					return err
				}
				_ = mine.RecordValue(max(1, int64(time.Since(before)))) // fails beyond an hour only
			}
			mu.Lock()
			defer mu.Unlock()
			all.Merge(mine)
			return ctx.Err()
		})
	}
	err := running.Wait()
	n := uint64(all.TotalCount())
	return newLoad(all, n, float64(n)/time.Since(begun).Seconds()), err
}

func topicName(n int) string { return fmt.Sprintf("%s%012d", fillPrefix, n) }

// startMemcached starts memcached with so many counters.
func (b *bench) startMemcached(topics int) (*instance, error) {
	in, err := b.prepare("memcached", "memcached", "")
	if err != nil {
		return nil, err
	}
	args := []string{"-l", "127.0.0.1", "-p", portOf(in.addr), "-U", "0", "-m", "4096", "-c", "4096"}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "root")
	}
	err = b.launch(in, args, processOptions{}, portOf(in.addr), "PORT")
	return b.ready(in, err, func() error { return fillMemcached(in.addr, topics) })
}

// fillMemcached sets counters to zero.
func fillMemcached(addr string, topics int) error {
	conn, err := textproto.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range topics {
		fmt.Fprintf(conn.W, "set %s 0 0 1 noreply\r\n0\r\n", topicName(i))
	}
	if err := conn.PrintfLine("version"); err != nil { // answered when all of that is done
		return err
	}
	line, err := conn.ReadLine()
	if err == nil && !strings.HasPrefix(line, "VERSION") {
		err = fmt.Errorf("memcached answered %q", line)
	}
	return err
}

// memcachedLoad increments counters over connections that stay open.
func (b *bench) memcachedLoad(clients, topics int) loader {
	return func(in *instance, d time.Duration) (load, error) {
		conns := make([]*textproto.Conn, clients)
		for i := range conns {
			var err error
			if conns[i], err = textproto.Dial("tcp", in.addr); err != nil {
				return load{}, err
			}
			defer conns[i].Close()
		}
		return closedLoop(b.ctx, clients, d, func(i int, random *rand.Rand) error {
			if err := conns[i].PrintfLine("incr %s 1", topicName(random.IntN(topics))); err != nil {
				return err
			}
			line, err := conns[i].ReadLine()
			if err == nil && strings.Trim(line, "0123456789 ") != "" {
				err = fmt.Errorf("memcached answered %q", line)
			}
			return err
		})
	}
}

// startEtcd starts one node of etcd.
func (b *bench) startEtcd() (*instance, error) {
	in, err := b.prepare("etcd", "etcd", "")
	if err != nil {
		return nil, err
	}
	peer, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := []string{
		"--data-dir", in.dir, "--log-level", "error",
		"--listen-client-urls", "http://" + in.addr, "--advertise-client-urls", "http://" + in.addr,
		"--listen-peer-urls", "http://" + peer, "--initial-advertise-peer-urls", "http://" + peer,
		"--initial-cluster", "default=http://" + peer,
	}
	err = b.launch(in, args, processOptions{dir: in.dir}, portOf(in.addr), "PORT", portOf(peer), "PEERPORT")
	return b.ready(in, err, func() error {
		client, err := etcdClient(in.addr)
		if err != nil {
			return err
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(b.ctx, 2*time.Second)
		defer cancel()
		_, err = client.Put(ctx, "ready", "")
		return err
	})
}

func etcdClient(addr string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{addr}, DialTimeout: time.Second, Logger: zap.NewNop()})
}

// etcdLoad puts keys: the revision, or of many keys the version, is the number that nobody else
// gets.
func (b *bench) etcdLoad(clients, topics int) loader {
	const callers = 16 // of one connection
	return func(in *instance, d time.Duration) (load, error) {
		conns := make([]*clientv3.Client, (clients+callers-1)/callers)
		for i := range conns {
			var err error
			if conns[i], err = etcdClient(in.addr); err != nil {
				return load{}, err
			}
			defer conns[i].Close()
		}
		var options []clientv3.OpOption
		if topics > 1 {
			options = append(options, clientv3.WithPrevKV())
		}
		return closedLoop(b.ctx, clients, d, func(i int, random *rand.Rand) error {
			_, err := conns[i/callers].Put(b.ctx, topicName(random.IntN(topics)), "", options...)
			return err
		})
	}
}

// postgresProgram is the path of a program of PostgreSQL, which Debian keeps where no search finds
// it.
func postgresProgram(name string) (string, error) {
	server, err := find("postgres")
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); err != nil && len(found) > 0 {
		server, err = found[len(found)-1], nil
	}
	if err == nil {
		server, err = filepath.EvalSymlinks(server)
	}
	return filepath.Join(filepath.Dir(server), name), err
}

// postgresUser is who PostgreSQL runs as: it refuses to run as root.
func postgresUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user for it: %w", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// startPostgres starts PostgreSQL with its defaults, and a table of so many counters and a
// sequence.
func (b *bench) startPostgres(topics int) (*instance, error) {
	server, err := postgresProgram("postgres")
	if err != nil {
		return nil, err
	}
	as, err := postgresUser()
	if err != nil {
		return nil, err
	}
	in, err := b.prepare(server, "PostgreSQL", "")
	if err != nil {
		return nil, err
	}
	if as != nil {
		if err := os.Chown(in.dir, int(as.Uid), int(as.Gid)); err != nil {
			return nil, err
		}
	}
	o := processOptions{dir: in.dir, user: as, env: []string{"LC_ALL=C"}}
	data, port := filepath.Join(in.dir, "data"), portOf(in.addr)
	initdb := []string{"-D", data, "-U", "postgres", "--auth=trust", "--no-sync"}
	if _, err := run(b.ctx, filepath.Join(filepath.Dir(server), "initdb"), initdb, o); err != nil {
		return nil, err
	}
	args := []string{"-D", data, "-h", "127.0.0.1", "-p", port, "-c", "unix_socket_directories="}
	err = b.launch(in, args, o, port, "PORT")
	query := func(statements ...string) error {
		args := []string{"-h", "127.0.0.1", "-p", port, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-q"}
		for _, statement := range statements {
			args = append(args, "-c", statement)
		}
		_, err := run(b.ctx, filepath.Join(filepath.Dir(server), "psql"), args, o)
		return err
	}
	if in, err = b.ready(in, err, func() error { return query("select 1") }); err != nil {
		return nil, err
	}
	if err := query(
		"create table counters (topic text primary key, sum bigint not null)",
		fmt.Sprintf("insert into counters select '%s' || lpad(i::text, 12, '0'), 0 from generate_series(0, %d) i",
			fillPrefix, topics-1),
		"create sequence numbers",
		"vacuum analyze counters",
		"checkpoint",
	); err != nil {
		return nil, errors.Join(err, in.close())
	}
	return in, nil
}

// The statements that count in PostgreSQL.
const (
	pgUpdate = `\set i random(0, :topics - 1)` + "\nupdate counters set sum = sum + 1 where topic = '" + fillPrefix +
		"' || lpad((:i)::text, 12, '0') returning sum;\n"
	pgNextval = "select nextval('numbers');\n"
)

// pgbenchLoad runs a statement by pgbench.
func (b *bench) pgbenchLoad(clients, topics int, script string) loader {
	return func(in *instance, d time.Duration) (load, error) {
		pgbench, err := postgresProgram("pgbench")
		if err != nil {
			return load{}, err
		}
		work, err := b.newDir("pgbench")
		if err != nil {
			return load{}, err
		}
		defer os.RemoveAll(work)
		file := filepath.Join(work, "script.sql")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			return load{}, err
		}
		whole := max(1, int(d.Round(time.Second).Seconds())) // pgbench counts in seconds
		args := strings.Fields(fmt.Sprintf("-h 127.0.0.1 -p %s -U postgres -n -M prepared -c %d -j 1 -D topics=%d -f",
			portOf(in.addr), clients, topics))
		args = append(args, file, "-l", "-T", strconv.Itoa(whole), "postgres")
		if _, err := run(b.ctx, pgbench, args, processOptions{dir: work}); err != nil {
			return load{}, err
		}
		b.ran("pgbench "+quoted(args), portOf(in.addr), "PORT", file, "SCRIPT")
		return readPgbench(work)
	}
}

// readPgbench reads the logs of pgbench in a directory: client, transaction, microseconds, script,
// and when it ended in seconds and microseconds.
func readPgbench(dir string) (load, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "pgbench_log.*"))
	if err != nil || len(logs) == 0 {
		return load{}, fmt.Errorf("pgbench left no log in %s (%v)", dir, err)
	}
	latencies := loadgen.NewHistogram()
	first, last := math.Inf(1), 0.0
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			return load{}, err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 6 {
				continue
			}
			elapsed, err1 := strconv.ParseInt(fields[2], 10, 64)
			seconds, err2 := strconv.ParseFloat(fields[4], 64)
			micros, err3 := strconv.ParseFloat(fields[5], 64)
			if errors.Join(err1, err2, err3) != nil {
				continue // one that failed
			}
			ended := seconds + micros/1e6
			first, last = min(first, ended-float64(elapsed)/1e6), max(last, ended)
			_ = latencies.RecordValue(max(1, elapsed*1000)) // fails beyond an hour only
		}
	}
	n := uint64(latencies.TotalCount())
	return newLoad(latencies, n, ratio(float64(n), last-first)), nil
}
