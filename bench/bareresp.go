package main

import (
	"bytes"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"gcd/internal/epoll"
	"gcd/internal/sched"
)

// durableEvents is how many connections one system call finds ready at most.
const durableEvents = 1024

// durableLoop answers every command with 1, on connections that stay open. In a turn it reads what
// there is, 64 KiB of a connection at most, appends one record, syncs, and writes all answers: what
// a server must at least do that has each answer on disk, and does one thing after the other. A
// command is counted by its "*", which the arguments that redis-benchmark sends do not have.
func durableLoop(listener int) error {
	log, err := newBareLog(".")
	if err != nil {
		return err
	}
	defer log.close()
	poller, err := epoll.New(durableEvents)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	watch := func(fd int) error {
		return os.NewSyscallError("epoll_ctl", poller.Add(fd, unix.EPOLLIN, int32(fd), 0))
	}
	if err := watch(listener); err != nil {
		return err
	}
	var (
		buf      = make([]byte, 64<<10)
		asked    = map[int]int{} // commands of this turn, by connection
		answers  = bytes.Repeat([]byte(":1\r\n"), len(buf))
		record   = make([]byte, recordSize)
		at       int64
		begun    = time.Now()
		courtesy sched.Courtesy
	)
	for {
		if now := time.Since(begun); now >= courtesy.Due {
			courtesy.Yield(now)
		}
		clear(asked)
		for _, e := range poller.Wait(-1) {
			fd := int(e.Fd)
			if fd == listener {
				conn, _, err := epoll.Accept(listener)
				if err == nil {
					err = errors.Join(unix.SetsockoptInt(conn, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), watch(conn))
				}
				if err != nil {
					return err
				}
				continue
			}
			n, err := epoll.Read(fd, buf)
			if err != nil || n == 0 {
				_ = unix.Close(fd)
				continue
			}
			if n := bytes.Count(buf[:n], []byte("*")); n > 0 {
				asked[fd] += n
			}
		}
		if len(asked) == 0 {
			continue
		}
		if err := log.append(record, at); err != nil {
			return err
		}
		at = (at + recordSize) % recordFile
		for fd, n := range asked {
			_, _ = epoll.Write(fd, answers[:4*n], false) // whoever has gone gets none
		}
	}
}
