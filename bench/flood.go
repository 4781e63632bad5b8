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

// elsewhere, in place of the addresses, has the flood go to sockets of its own, which take what
// comes and answer nothing: what it costs the others without the server's doing.
const elsewhere = "elsewhere"

// A flood from other machines has a rate, and takes none of the server's processors. This one has a
// pause as well, since without one its packets alone take both of two processors.
const (
	floodClients  = 50
	floodPipeline = 200 // INCR in one write
	floodPause    = 4 * time.Millisecond
	floodBurst    = 8 // datagrams before a pause
)

// floods are what one client does, and then once more after each pause, by name.
var floods = map[string]struct {
	about string
	run   func(tcp, udp string) error
}{
	"resp, reset at once":             {"2.5 M INCR a second", floodRESP(false)},
	"resp, reset when it is answered": {"2.5 M INCR a second", floodRESP(true)},
	"tcp":                             {"12,500 connections a second", floodTCP},
	"udp":                             {"100,000 datagrams a second", floodUDP},
}

// flood is what the program does with that argument, until it is killed.
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
		idle := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
		if err := unix.SchedSetAttr(id, &idle, 0); err != nil {
			return fmt.Errorf("sched_setattr: %w", err)
		}
	}
	if tcp == elsewhere {
		if tcp, udp, err = sink(); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "flooding")
	var wg sync.WaitGroup
	for range floodClients {
		wg.Go(func() {
			for { // what fails is tried again: a server may well refuse
				_ = one.run(tcp, udp)
				time.Sleep(floodPause)
			}
		})
	}
	wg.Wait()
	return nil
}

// sink opens the sockets of elsewhere. A client is answered by the end of its connection.
func sink() (tcp, udp string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	go func() {
		for {
			if c, err := l.Accept(); err == nil {
				c.Close()
			}
		}
	}()
	return l.Addr().String(), c.LocalAddr().String(), nil
}

// floodRESP sends a pipeline over a new connection and resets that.
func floodRESP(answered bool) func(tcp, udp string) error {
	pipeline := strings.Repeat("*2\r\n$4\r\nINCR\r\n$5\r\nflood\r\n", floodPipeline)
	return func(tcp, _ string) error {
		c, err := net.Dial("tcp", tcp)
		if err != nil {
			return err
		}
		defer c.Close()
		c.(*net.TCPConn).SetLinger(0)
		c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(c, pipeline); err != nil || !answered {
			return err
		}
		_, err = c.Read(make([]byte, 64))
		return err
	}
}

// floodTCP counts once, in gcd's own protocol.
func floodTCP(tcp, _ string) error {
	c, err := net.Dial("tcp", tcp)
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
func floodUDP(_, udp string) error {
	c, err := net.Dial("udp", udp)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		for range floodBurst {
			if _, err := io.WriteString(c, "\x00flood"); err != nil {
				return err
			}
		}
		time.Sleep(floodPause)
	}
}
