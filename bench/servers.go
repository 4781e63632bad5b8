package main

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// errNotInstalled means that a peer is left out, since it is not on this machine.
var errNotInstalled = errors.New("not installed")

// packages have the programs that may be missing, in Debian.
var packages = map[string]string{
	"redis-server":    "redis-server",
	"redis-benchmark": "redis-tools",
	"redis-cli":       "redis-tools",
	"redis-check-rdb": "redis-tools",
	"redis-check-aof": "redis-tools",
	"memcached":       "memcached",
	"etcd":            "etcd-server",
	"postgres":        "postgresql",
}

// find returns the path of a program. PostgreSQL keeps its own where no search finds them.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is %w: apt-get install %s", name, errNotInstalled, packages[name])
}

// prepare finds a server's program, makes a directory for its data if none is given, and chooses a
// free address.
func (b *bench) prepare(program, name, dir string) (*instance, error) {
	path, err := find(program)
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err == nil && dir == "" {
		dir, err = b.newDir(name)
	}
	return &instance{name: name, path: path, addr: addr, dir: dir}, err
}

// freeAddr returns an address of the loopback network on which nothing listens.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// launch starts a server and does not wait until it answers. What differs from run to run in its
// command line is replaced on the page.
func (b *bench) launch(in *instance, args []string, o processOptions, replace ...string) (err error) {
	if in.process, err = startProcess(in.path, args, o); err != nil {
		return err
	}
	b.adopt(in)
	b.ran(in.process.name+" "+quoted(args), append(replace, in.dir, "DIR", b.root, "TMP")...)
	return nil
}

// ready waits until a server that was launched answers, and stops it if it does not.
func (b *bench) ready(in *instance, err error, try func() error) (*instance, error) {
	if err != nil {
		return nil, err
	}
	if err := in.process.awaitAnswer(b.ctx, try); err != nil {
		return nil, errors.Join(err, in.close())
	}
	return in, nil
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// quoted writes arguments as a shell wants them.
func quoted(args []string) string {
	shown := make([]string, len(args))
	for i, arg := range args {
		if shown[i] = arg; arg == "" || strings.ContainsAny(arg, " '\"$") {
			shown[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(shown, " ")
}

// launchGCD starts gcd on an address, with a new directory or an old one, and does not wait.
func (b *bench) launchGCD(in *instance, flags ...string) error {
	args := []string{"serve", "--data", in.dir, "--tcp", in.addr, "--udp", "127.0.0.1:0", "--sync", "always"}
	return b.launch(in, append(args, flags...), processOptions{}, in.addr, "127.0.0.1:0")
}

// startGCD starts gcd on free ports and waits until it serves.
func (b *bench) startGCD(dir string, flags ...string) (*instance, error) {
	return b.startVersion(b.gcd, dir, flags...)
}

// freshGCD and freshRedis start servers with new directories.
func (b *bench) freshGCD() (*instance, error) { return b.startGCD("") }

func (b *bench) freshRedis(mode string) func() (*instance, error) {
	return func() (*instance, error) { return b.startRedis(mode, "") }
}

// startVersion is startGCD of any binary.
func (b *bench) startVersion(gcd, dir string, flags ...string) (*instance, error) {
	in, err := b.prepare(gcd, "gcd", dir)
	if err != nil {
		return nil, err
	}
	in.addr = "127.0.0.1:0"
	if err := b.launchGCD(in, flags...); err != nil {
		return nil, err
	}
	said, err := in.process.await(b.ctx, `serving: tcp=(\S+) udp=(\S+)`)
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	in.addr, in.udp = said[1], said[2]
	return in, nil
}

// redisModes are the ways in which Redis is durable, as its flags.
var redisModes = map[string][]string{
	"none":     {"--appendonly", "no"},
	"everysec": {"--appendonly", "yes", "--appendfsync", "everysec"},
	"always":   {"--appendonly", "yes", "--appendfsync", "always"},
}

// startRedis starts Redis in a mode and waits until it answers.
func (b *bench) startRedis(mode, dir string, flags ...string) (*instance, error) {
	in, err := b.launchRedis(mode, dir, flags...)
	return b.ready(in, err, func() error {
		_, err := redisCommand(in.addr, "PING")
		return err
	})
}

// launchRedis starts Redis, without snapshots and without rewriting its log, both of which it would
// do beside its work, and does not wait.
func (b *bench) launchRedis(mode, dir string, flags ...string) (*instance, error) {
	in, err := b.prepare("redis-server", "Redis "+mode, dir)
	if err != nil {
		return nil, err
	}
	args := append([]string{"--port", portOf(in.addr), "--bind", "127.0.0.1", "--dir", in.dir, "--save", "",
		"--auto-aof-rewrite-percentage", "0"}, redisModes[mode]...)
	replace := []string{portOf(in.addr), "PORT"}
	if i := slices.Index(flags, "--tls-port"); i >= 0 {
		replace = append(replace, flags[i+1], "TLSPORT")
	}
	return in, b.launch(in, append(args, flags...), processOptions{dir: in.dir}, replace...)
}

// redisCommand asks a server one thing over RESP and returns the answer, of which an error is one.
func redisCommand(addr, command string, args ...any) (string, error) {
	conn, err := redis.Dial("tcp", addr, redis.DialConnectTimeout(time.Second),
		redis.DialReadTimeout(startWithin), redis.DialWriteTimeout(startWithin))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	answer, err := redis.String(conn.Do(command, args...))
	if err != nil {
		err = fmt.Errorf("%s: %w", command, err)
	}
	return answer, err
}
