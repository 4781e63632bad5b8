package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcd/internal/epoll"
	"gcd/internal/sched"
	"gcd/loadgen"
)

// The bare loops are what any server of the same shape must at least do: the ceilings against which
// gcd is measured. They run in processes of their own, as servers do, from this program's own
// binary.

// bareAnswer is what those of the protocol answer to everything: a COUNT reply with the sum 1.
var bareAnswer = []byte{0x80, 1}

// serveBare is the program of a bare server: it listens, says where, and serves until it is killed.
func serveBare(kind string) error {
	socketType := map[string]int{"tcp": unix.SOCK_STREAM, "resp": unix.SOCK_STREAM, "udp": unix.SOCK_DGRAM}[kind]
	if socketType == 0 {
		return fmt.Errorf("no bare server %q", kind)
	}
	fd, err := unix.Socket(unix.AF_INET, socketType|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if kind == "udp" { // room for a datagram of each client, and then some
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20))
	} else {
		err = os.NewSyscallError("listen", unix.Listen(fd, 4096))
	}
	if err != nil {
		return err
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	fmt.Printf("listening on 127.0.0.1:%d\n", addr.(*unix.SockaddrInet4).Port)
	switch kind {
	case "tcp":
		return acceptLoop(fd)
	case "resp":
		return durableLoop(fd)
	}
	return echoLoop(fd)
}

// acceptLoop accepts, reads, writes and closes, one connection after the other.
func acceptLoop(fd int) error {
	buf := make([]byte, 65536)
	begun, courtesy := time.Now(), sched.Courtesy{}
	for {
		if now := time.Since(begun); now >= courtesy.Due {
			courtesy.Yield(now)
		}
		conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err == unix.EINTR || err == unix.ECONNABORTED {
			continue
		}
		if err != nil {
			return os.NewSyscallError("accept4", err)
		}
		if n, err := unix.Read(conn, buf); err == nil && n > 0 {
			_, _ = unix.Write(conn, bareAnswer) // whoever has gone gets none
		}
		_ = unix.Close(conn)
	}
}

// echoBatch is how many datagrams one system call moves at most.
const echoBatch = 64

// echoLoop answers every datagram, as many as there are with two system calls.
func echoLoop(fd int) error {
	var (
		messages [echoBatch]epoll.Message
		vectors  [echoBatch]unix.Iovec
		names    [echoBatch]unix.RawSockaddrInet4
		buffers  [echoBatch][2048]byte
	)
	begun, courtesy := time.Now(), sched.Courtesy{}
	for {
		if now := time.Since(begun); now >= courtesy.Due {
			courtesy.Yield(now)
		}
		for i := range messages {
			vectors[i].Base = &buffers[i][0]
			vectors[i].SetLen(len(buffers[i]))
			m := &messages[i]
			m.Name, m.Namelen, m.Iov = (*byte)(unsafe.Pointer(&names[i])), unix.SizeofSockaddrInet4, &vectors[i]
			m.SetIovlen(1)
		}
		n, err := epoll.ReceiveMessages(fd, messages[:], unix.MSG_WAITFORONE)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvmmsg", err)
		}
		for i := range n {
			vectors[i].Base = &bareAnswer[0]
			vectors[i].SetLen(len(bareAnswer))
		}
		_, err = epoll.SendMessages(fd, messages[:n], 0)
		if err != nil && err != unix.EINTR && err != unix.ECONNREFUSED {
			return os.NewSyscallError("sendmmsg", err)
		}
	}
}

// freshBare starts a bare server.
func (b *bench) freshBare(kind string) func() (*instance, error) {
	return func() (*instance, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		in, err := b.prepare(self, "bare "+kind, "")
		if err != nil {
			return nil, err
		}
		in.process, err = startProcess(in.path, []string{bareCommand, kind}, processOptions{dir: in.dir})
		if err != nil {
			return nil, err
		}
		said, err := b.adopt(in).process.await(b.ctx, `^listening on (\S+)$`)
		if err != nil {
			return nil, errors.Join(err, in.close())
		}
		in.addr, in.udp = said[1], said[1]
		return in, nil
	}
}

const (
	recordSize = 64        // bytes that a bareLog appends at a time
	recordFile = 64 << 20  // bytes of its file, filled with zeros before
	recordPage = 256 << 10 // bytes of them that are written at once
)

// bareLog is a file whose blocks are there already, to which records are appended.
type bareLog struct {
	file *os.File
	fd   int // of file
}

func newBareLog(dir string) (*bareLog, error) {
	file, err := os.OpenFile(filepath.Join(dir, "bare-log"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	l := &bareLog{file: file, fd: int(file.Fd())}
	zeros := make([]byte, recordPage)
	for at := int64(0); at < recordFile && err == nil; at += recordPage {
		_, err = file.WriteAt(zeros, at)
	}
	if err := errors.Join(err, file.Sync()); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *bareLog) close() error { return errors.Join(l.file.Close(), os.Remove(l.file.Name())) }

// append makes a record durable.
func (l *bareLog) append(record []byte, at int64) error {
	if _, err := unix.Pwrite(l.fd, record, at); err != nil {
		return os.NewSyscallError("pwrite", err)
	}
	return os.NewSyscallError("fdatasync", unix.Fdatasync(l.fd))
}

// appendAndSync makes each record durable before the next, for a while or until ctx ends, and
// returns how long that took: what a durable answer costs at least.
func (l *bareLog) appendAndSync(ctx context.Context, d time.Duration) (load, error) {
	record, all := make([]byte, recordSize), loadgen.NewHistogram()
	begun := time.Now()
	for at := int64(0); at == 0 || time.Since(begun) < d && ctx.Err() == nil; at += recordSize {
		record[0]++
		before := time.Now()
		if err := l.append(record, at%recordFile); err != nil {
			return load{}, err
		}
		_ = all.RecordValue(int64(time.Since(before))) // fails beyond an hour only
	}
	n := float64(all.TotalCount())
	syncs := newLoad(all, uint64(n), n/time.Since(begun).Seconds())
	syncs.values[mean] = 1 / syncs.values[rate]
	return syncs, nil
}
