package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errNotInstalled means that a peer is left out, since it is not on this machine.
var errNotInstalled = errors.New("not installed")

// installs says how to install what may be missing.
var installs = map[string]string{
	"redis-server":    "apt-get install redis-server",
	"redis-benchmark": "apt-get install redis-tools",
	"redis-cli":       "apt-get install redis-tools",
	"redis-check-rdb": "apt-get install redis-tools",
	"redis-check-aof": "apt-get install redis-tools",
	"memcached":       "apt-get install memcached",
	"etcd":            "apt-get install etcd-server",
	"postgres":        "apt-get install postgresql",
}

// find returns the path of a program. PostgreSQL keeps its own where no search finds them.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is %w: %s", name, errNotInstalled, installs[name])
}

// startGCD starts gcd on free ports with a new directory, or an old one, and waits until it serves.
func (b *bench) startGCD(dir string, flags ...string) (*instance, error) {
	return b.startVersion(b.gcd, dir, flags...)
}

// startVersion is startGCD of any binary.
func (b *bench) startVersion(gcd, dir string, flags ...string) (*instance, error) {
	in, err := b.launchVersion(gcd, dir, "127.0.0.1:0", flags...)
	if err != nil {
		return nil, err
	}
	said, err := in.process.await(b.ctx, `serving: tcp=(\S+) udp=(\S+)`)
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	in.addr, in.udp = said[1], said[2]
	return in, nil
}

// launchGCD starts gcd and does not wait.
func (b *bench) launchGCD(dir, tcp string, flags ...string) (*instance, error) {
	return b.launchVersion(b.gcd, dir, tcp, flags...)
}

// launchVersion is launchGCD of any binary.
func (b *bench) launchVersion(gcd, dir, tcp string, flags ...string) (*instance, error) {
	if dir == "" {
		var err error
		if dir, err = b.newDir("gcd"); err != nil {
			return nil, err
		}
	}
	args := append([]string{"serve", "--data", dir, "--tcp", tcp, "--udp", "127.0.0.1:0", "--sync", "always"}, flags...)
	p, err := startProcess(gcd, args, processOptions{})
	if err != nil {
		return nil, err
	}
	b.ran("gcd "+quoteEmpty(args), dir, "DIR", tcp, "127.0.0.1:0")
	return b.adopt(&instance{name: "gcd", process: p, addr: tcp, dir: dir, signal: syscall.SIGTERM}), nil
}

// redisModes are the ways in which Redis is durable, as its flags.
var redisModes = map[string][]string{
	"none":     {"--appendonly", "no"},
	"everysec": {"--appendonly", "yes", "--appendfsync", "everysec"},
	"always":   {"--appendonly", "yes", "--appendfsync", "always"},
}

// startRedis starts Redis in a mode and waits until it answers.
func (b *bench) startRedis(mode, dir string) (*instance, error) {
	in, err := b.launchRedis(mode, dir)
	if err != nil {
		return nil, err
	}
	err = in.process.awaitAnswer(b.ctx, func() error {
		_, err := redisCommand(in.addr, "PING")
		return err
	})
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	return in, nil
}

// launchRedis starts Redis, without snapshots and without rewriting its log, both of which it would do beside its work, and does not wait.
func (b *bench) launchRedis(mode, dir string) (*instance, error) {
	path, err := find("redis-server")
	if err != nil {
		return nil, err
	}
	if dir == "" {
		if dir, err = b.newDir("redis-" + mode); err != nil {
			return nil, err
		}
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := append([]string{"--port", portOf(addr), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--auto-aof-rewrite-percentage", "0"}, redisModes[mode]...)
	p, err := startProcess(path, args, processOptions{dir: dir})
	if err != nil {
		return nil, err
	}
	b.ran("redis-server "+quoteEmpty(args), dir, "DIR", portOf(addr), "PORT")
	return b.adopt(&instance{name: "Redis " + mode, process: p, addr: addr, dir: dir, signal: syscall.SIGTERM}), nil
}

func quoteEmpty(args []string) string {
	shown := make([]string, len(args))
	for i, arg := range args {
		if shown[i] = arg; arg == "" || strings.ContainsAny(arg, " '\"$") {
			shown[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(shown, " ")
}

// redisCommand asks a server one thing over RESP and returns the answer, of which an error is one.
func redisCommand(addr string, words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startWithin)); err != nil {
		return "", err
	}
	message := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, word := range words {
		message = fmt.Appendf(message, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := conn.Write(message); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	switch {
	case strings.HasPrefix(line, "-"):
		return "", fmt.Errorf("%s: %s", words[0], line[1:])
	case strings.HasPrefix(line, "$"):
		size, err := strconv.Atoi(line[1:])
		if err != nil || size > 1<<20 {
			return "", fmt.Errorf("%s: answered %q", words[0], line)
		}
		if size < 0 {
			return "", nil
		}
		text := make([]byte, size)
		for n := 0; n < size; {
			m, err := in.Read(text[n:])
			if err != nil {
				return "", err
			}
			n += m
		}
		return string(text), nil
	case line == "":
		return "", fmt.Errorf("%s: an empty answer", words[0])
	}
	return line[1:], nil
}
