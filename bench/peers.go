package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
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

	"gcd/loadgen"
)

// closedLoop calls a function from many goroutines, each as soon as its last call returned, for a while: the generator for peers whose
// protocol gcd's own does not speak. The random numbers are the goroutine's own.
func closedLoop(ctx context.Context, clients int, d time.Duration, call func(client int, random *rand.Rand) error) (load, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all := loadgen.NewHistogram()
	var mu sync.Mutex
	var firstErr error
	var running sync.WaitGroup
	begun := time.Now()
	for i := range clients {
		running.Go(func() {
			mine, random := loadgen.NewHistogram(), rand.New(rand.NewPCG(1, uint64(i)))
			var err error
			for first := true; err == nil && (first || time.Since(begun) < d && ctx.Err() == nil); first = false {
				before := time.Now()
				if err = call(i, random); err == nil {
					err = mine.RecordValue(max(1, int64(time.Since(before))))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.Merge(mine)
			if err != nil && firstErr == nil {
				firstErr = err
				stop()
			}
		})
	}
	running.Wait()
	took := time.Since(begun)
	if firstErr != nil {
		return load{}, firstErr
	}
	n := uint64(all.TotalCount())
	return load{
		answers: n, rate: float64(n) / took.Seconds(),
		p50: time.Duration(all.ValueAtQuantile(50)), p99: time.Duration(all.ValueAtQuantile(99)),
	}, ctx.Err()
}

func topicName(n int) string { return fmt.Sprintf("%s%012d", fillPrefix, n) }

// startMemcached starts memcached with so many counters.
func (b *bench) startMemcached(topics int) (*instance, error) {
	path, err := find("memcached")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := []string{"-l", "127.0.0.1", "-p", portOf(addr), "-U", "0", "-m", "4096", "-c", "4096"}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "root")
	}
	p, err := startProcess(path, args, processOptions{})
	if err != nil {
		return nil, err
	}
	b.ran("memcached "+quoteEmpty(args), portOf(addr), "PORT")
	in := b.adopt(&instance{name: "memcached", process: p, addr: addr, signal: syscall.SIGTERM})
	err = p.awaitAnswer(b.ctx, func() error { return fillMemcached(addr, 1) })
	if err == nil {
		err = fillMemcached(addr, topics)
	}
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	return in, nil
}

// fillMemcached sets counters to zero.
func fillMemcached(addr string, topics int) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	out := bufio.NewWriterSize(conn, 1<<16)
	for i := range topics {
		fmt.Fprintf(out, "set %s 0 0 1 noreply\r\n0\r\n", topicName(i))
	}
	fmt.Fprint(out, "version\r\n") // answered when all of that is done
	if err := out.Flush(); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "VERSION") {
		err = fmt.Errorf("memcached answered %q", line)
	}
	return err
}

// memcachedLoad increments counters over connections that stay open.
func (b *bench) memcachedLoad(in *instance, clients, topics int) func(time.Duration) (load, error) {
	return func(d time.Duration) (load, error) {
		conns, readers, requests := make([]net.Conn, clients), make([]*bufio.Reader, clients), make([][]byte, clients)
		for i := range conns {
			conn, err := net.Dial("tcp", in.addr)
			if err != nil {
				return load{}, err
			}
			defer conn.Close()
			conns[i], readers[i] = conn, bufio.NewReaderSize(conn, 256)
		}
		return closedLoop(b.ctx, clients, d, func(i int, random *rand.Rand) error {
			requests[i] = fmt.Appendf(requests[i][:0], "incr %s%012d 1\r\n", fillPrefix, random.IntN(topics))
			if _, err := conns[i].Write(requests[i]); err != nil {
				return err
			}
			line, err := readers[i].ReadSlice('\n')
			if err == nil && (line[0] < '0' || line[0] > '9') {
				err = fmt.Errorf("memcached answered %q", line)
			}
			return err
		})
	}
}

// startEtcd starts one node of etcd.
func (b *bench) startEtcd() (*instance, error) {
	path, err := find("etcd")
	if err != nil {
		return nil, err
	}
	dir, err := b.newDir("etcd")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	peer, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := []string{
		"--data-dir", dir, "--log-level", "error", "--listen-client-urls", "http://" + addr, "--advertise-client-urls", "http://" + addr,
		"--listen-peer-urls", "http://" + peer, "--initial-advertise-peer-urls", "http://" + peer, "--initial-cluster", "default=http://" + peer,
	}
	p, err := startProcess(path, args, processOptions{dir: dir})
	if err != nil {
		return nil, err
	}
	b.ran("etcd "+quoteEmpty(args), dir, "DIR", addr, "127.0.0.1:PORT", peer, "127.0.0.1:PEERPORT")
	in := b.adopt(&instance{name: "etcd", process: p, addr: addr, dir: dir, signal: syscall.SIGTERM})
	err = p.awaitAnswer(b.ctx, func() error {
		client, err := etcdClient(addr)
		if err != nil {
			return err
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(b.ctx, 2*time.Second)
		defer cancel()
		_, err = client.Put(ctx, "ready", "")
		return err
	})
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	return in, nil
}

func etcdClient(addr string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{addr}, DialTimeout: time.Second, Logger: zap.NewNop()})
}

// etcdLoad puts keys: the revision, or of many keys the version, is the number that nobody else gets.
func (b *bench) etcdLoad(in *instance, clients, topics int) func(time.Duration) (load, error) {
	const callers = 16 // of one connection
	return func(d time.Duration) (load, error) {
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

// postgresProgram finds a program of PostgreSQL, which Debian keeps where no search finds it.
func postgresProgram(name string) (string, error) {
	server, err := find("postgres")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
		if len(found) == 0 {
			return "", err
		}
		server = found[len(found)-1]
	}
	if server, err = filepath.EvalSymlinks(server); err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(server), name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if path, err := find(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is %w: %s", name, errNotInstalled, installs["postgres"])
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
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// startPostgres starts PostgreSQL with its defaults, and a table of so many counters and a sequence.
func (b *bench) startPostgres(topics int) (*instance, error) {
	initdb, err := postgresProgram("initdb")
	if err != nil {
		return nil, err
	}
	server, err := postgresProgram("postgres")
	if err != nil {
		return nil, err
	}
	psql, err := postgresProgram("psql")
	if err != nil {
		return nil, err
	}
	as, err := postgresUser()
	if err != nil {
		return nil, err
	}
	dir, err := b.newDir("postgres")
	if err != nil {
		return nil, err
	}
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			return nil, err
		}
	}
	o := processOptions{dir: dir, user: as, env: []string{"LC_ALL=C"}}
	data := filepath.Join(dir, "data")
	if _, err := run(b.ctx, initdb, []string{"-D", data, "-U", "postgres", "--auth=trust", "--no-sync"}, o); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := []string{"-D", data, "-h", "127.0.0.1", "-p", portOf(addr), "-c", "unix_socket_directories="}
	p, err := startProcess(server, args, o)
	if err != nil {
		return nil, err
	}
	b.ran("postgres "+quoteEmpty(args), dir, "DIR", portOf(addr), "PORT")
	in := b.adopt(&instance{name: "PostgreSQL", process: p, addr: addr, dir: dir, signal: syscall.SIGINT})
	query := func(statement string) error {
		_, err := run(b.ctx, psql, []string{"-h", "127.0.0.1", "-p", portOf(addr), "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-qc", statement}, o)
		return err
	}
	err = p.awaitAnswer(b.ctx, func() error { return query("select 1") })
	for _, statement := range []string{
		"create table counters (topic text primary key, sum bigint not null)",
		fmt.Sprintf("insert into counters select '%s' || lpad(i::text, 12, '0'), 0 from generate_series(0, %d) i", fillPrefix, topics-1),
		"create sequence numbers",
		"vacuum analyze counters",
		"checkpoint",
	} {
		if err == nil {
			err = query(statement)
		}
	}
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	return in, nil
}

// The statements that count in PostgreSQL.
const (
	pgUpdate  = `\set i random(0, :topics - 1)` + "\nupdate counters set sum = sum + 1 where topic = '" + fillPrefix + "' || lpad((:i)::text, 12, '0') returning sum;\n"
	pgNextval = "select nextval('numbers');\n"
)

// pgbenchLoad runs a statement by pgbench.
func (b *bench) pgbenchLoad(in *instance, clients, topics int, script string) func(time.Duration) (load, error) {
	return func(d time.Duration) (load, error) {
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
		args := []string{"-h", "127.0.0.1", "-p", portOf(in.addr), "-U", "postgres", "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", "1",
			"-D", fmt.Sprintf("topics=%d", topics), "-f", file, "-l", "-T", strconv.Itoa(whole), "postgres"}
		if _, err := run(b.ctx, pgbench, args, processOptions{dir: work}); err != nil {
			return load{}, err
		}
		b.ran("pgbench "+quoteEmpty(args), portOf(in.addr), "PORT", file, "SCRIPT")
		return readPgbench(work)
	}
}

// readPgbench reads the logs of pgbench in a directory: client, transaction, microseconds, script, and when it ended in seconds and
// microseconds.
func readPgbench(dir string) (load, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "pgbench_log.*"))
	if err != nil || len(logs) == 0 {
		return load{}, fmt.Errorf("pgbench left no log in %s (%v)", dir, err)
	}
	latencies := loadgen.NewHistogram()
	var first, last float64
	for _, name := range logs {
		file, err := os.Open(name)
		if err != nil {
			return load{}, err
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 6 {
				continue
			}
			took, err1 := strconv.ParseInt(fields[2], 10, 64)
			seconds, err2 := strconv.ParseFloat(fields[4], 64)
			micros, err3 := strconv.ParseFloat(fields[5], 64)
			if errors.Join(err1, err2, err3) != nil {
				continue // one that failed
			}
			ended := seconds + micros/1e6
			if begun := ended - float64(took)/1e6; first == 0 || begun < first {
				first = begun
			}
			last = max(last, ended)
			_ = latencies.RecordValue(max(1, took*1000)) // fails beyond an hour only
		}
		file.Close()
	}
	n := uint64(latencies.TotalCount())
	return load{
		answers: n, rate: ratio(float64(n), last-first),
		p50: time.Duration(latencies.ValueAtQuantile(50)), p99: time.Duration(latencies.ValueAtQuantile(99)),
	}, nil
}
