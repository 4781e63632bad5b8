package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// floodCommand is the first argument with which this program is a flood of clients that nobody
// wants.
const floodCommand = "flood"

const (
	floodClients  = 50
	floodPipeline = 200 // INCR in one write
)

// floods are the kinds, by name: what one client does over and over.
var floods = map[string]func(tcp, udp string) error{
	"resp, reset at once":             func(tcp, _ string) error { return floodRESP(tcp, false) },
	"resp, reset when it is answered": func(tcp, _ string) error { return floodRESP(tcp, true) },
	"tcp":                             func(tcp, _ string) error { return floodTCP(tcp) },
	"udp":                             func(_, udp string) error { return floodUDP(udp) },
}

// flood is what the program does with that argument, until it is killed. It leaves the processors
// to everybody else, as if it were on other machines.
func flood(kind, tcp, udp string) error {
	one, ok := floods[kind]
	if !ok {
		return fmt.Errorf("no flood %q", kind)
	}
	// Each thread has a priority of its own, and those that are still to come take it over.
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, _ := strconv.Atoi(thread.Name())
		if err := unix.Setpriority(unix.PRIO_PROCESS, id, 19); err != nil {
			return fmt.Errorf("setpriority: %w", err)
		}
	}
	fmt.Fprintln(os.Stderr, "flooding")
	var wg sync.WaitGroup
	for range floodClients {
		wg.Go(func() {
			for { // what fails is tried again: a server may well refuse
				_ = one(tcp, udp)
			}
		})
	}
	wg.Wait()
	return nil
}

// floodRESP sends a pipeline over a new connection and resets that.
func floodRESP(addr string, answered bool) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.(*net.TCPConn).SetLinger(0)
	c.SetDeadline(time.Now().Add(time.Minute))
	pipeline := strings.Repeat("*2\r\n$4\r\nINCR\r\n$5\r\nflood\r\n", floodPipeline)
	if _, err := io.WriteString(c, pipeline); err != nil || !answered {
		return err
	}
	_, err = c.Read(make([]byte, 64))
	return err
}

// floodTCP counts once, in gcd's own protocol.
func floodTCP(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, "\x00flood"); err != nil {
		return err
	}
	_, err = io.ReadAll(c)
	return err
}

// floodUDP sends datagrams and reads no answer.
func floodUDP(addr string) error {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for err == nil {
		_, err = io.WriteString(c, "\x00flood")
	}
	return err
}
