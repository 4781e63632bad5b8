package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/resp"
	"gcd/server"
	"gcd/store/core"
)

// backupText is long enough for many chunks, and no multiple of one.
var backupText = strings.Repeat("0123456789abcde\n", 20_000) + "end\r\n;0\r\n"

// backUpText writes it in pieces of odd sizes.
func backUpText(_ context.Context, w io.Writer, _ string) error {
	for rest, n := backupText, 1; rest != ""; n = 2*n + 1 {
		part := rest[:min(n, len(rest))]
		if _, err := io.WriteString(w, part); err != nil {
			return err
		}
		rest = rest[len(part):]
		n %= 1 << 16
	}
	return nil
}

// readBackup reads a streamed string.
func readBackup(c *bufio.Reader) (string, error) {
	b, err := io.ReadAll(resp.NewStreamReader(c))
	return string(b), err
}

func wantBackup(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if got, err := readBackup(r); err != nil || got != backupText {
		t.Fatalf("%d bytes, want %d: %v", len(got), len(backupText), err)
	}
}

func wantText(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got[:n], err, want)
	}
}

// A backup is a streamed string whatever HELLO said, in its place in the pipeline, and the
// conversation goes on after it.
func TestBackup(t *testing.T) {
	t.Parallel()
	eachRESP(t, func(t *testing.T, o server.Options, version int) {
		formats := make(chan string, 10)
		o.Backup = func(ctx context.Context, w io.Writer, format string) error {
			formats <- format
			return backUpText(ctx, w, format)
		}
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, version)
		r := bufio.NewReader(c)
		send(t, c,
			[]byte("INCR orders\r\nGCD.BACKUP\r\nINCR orders\r\ngcd.backup FORMAT csv\r\nGCD.BACKUP format "+
				"NDJSON\r\nPING\r\nINCR orders\r\n"))
		wantText(t, r, ":1\r\n")
		wantBackup(t, r)
		wantText(t, r, ":2\r\n")
		wantBackup(t, r)
		wantBackup(t, r)
		wantText(t, r, "+PONG\r\n:3\r\n")
		for range 3 {
			send(t, c, []byte("GCD.BACKUP\r\n"))
			wantBackup(t, r)
			send(t, c, []byte("INCR again\r\nDEL again\r\n"))
			wantText(t, r, ":1\r\n:1\r\n")
		}
		for i, want := range []string{"ndjson", "csv", "ndjson", "ndjson", "ndjson", "ndjson"} {
			if got := await(t, "a backup is made", formats); got != want {
				t.Errorf("backup %d was in %s", i, got)
			}
		}
		for in, want := range map[string]string{
			"GCD.BACKUP csv": "-ERR syntax error\r\n", "GCD.BACKUP FORMAT": "-ERR syntax error\r\n",
			"GCD.BACKUP FORMAT csv x": "-ERR syntax error\r\n",
			"GCD.BACKUP FORMAT xml":   "-ERR unknown format of a backup: use ndjson or csv\r\n",
		} {
			send(t, c, []byte(in+"\r\n"))
			wantText(t, r, want)
		}
		send(t, c, []byte("MULTI\r\nGCD.BACKUP\r\nEXEC\r\nQUIT\r\n"))
		if rest, err := io.ReadAll(r); err != nil || strings.Contains(string(rest), "$?") ||
			!strings.HasSuffix(string(rest), "+OK\r\n") {
			t.Errorf("in a refused transaction: %q, %v", rest, err)
		}
		if st := s.Stats(); st.Backups != 6 || st.BrokenBackups != 0 {
			t.Errorf("%d backups, %d broken", st.Backups, st.BrokenBackups)
		}
	})
}

// An empty backup is an empty string.
func TestBackupOfNothing(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Backup = func(context.Context, io.Writer, string) error { return nil }
		s, _ := serveMemory(t, o)
		say(t, dialRESP(t, s, 2), "GCD.BACKUP\r\nPING\r\n", "$?\r\n;0\r\n+PONG\r\n")
	})
}

func TestNoBackup(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		say(t, dialRESP(t, s, 2), "GCD.BACKUP\r\nPING\r\n",
			"-ERR there is nothing to back up: the server keeps its counters in memory only\r\n+PONG\r\n")
	})
}

// Backups are for the own machine, unless they are allowed for all.
func TestBackupFromElsewhere(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"10.0.0.7": false, "::": false, "0.0.0.0": false, "::ffff:10.0.0.7": false, "fe80::1": false,
		"2001:db8::1": false, "128.0.0.1": false} {
		for _, allowed := range []bool{false, true} {
			if got := server.MayBackUp(allowed, netip.MustParseAddr(addr)); got != (want || allowed) {
				t.Errorf("from %s, allowed for all: %t: %t", addr, allowed, got)
			}
		}
	}
	if server.MayBackUp(false, netip.Addr{}) {
		t.Error("from nowhere")
	}
}

// TestBackupFromOwnNetwork asks over an address that is not loopback, which takes a machine that
// has one: nobody is elsewhere on a machine without a network.
func TestBackupFromOwnNetwork(t *testing.T) {
	t.Parallel()
	host := ownAddress(t)
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.TCP, o.Backup = net.JoinHostPort(host, "0"), backUpText
		s, _ := serveMemory(t, o)
		say(t, dialRESP(t, s, 2), "GCD.BACKUP\r\nPING\r\n",
			"-NOPERM backups are for clients on the server's own machine, unless it is started with "+
				"--allow-backup\r\n+PONG\r\n")
		o.AllowBackup = true
		s, _ = serveMemory(t, o)
		c := dialRESP(t, s, 2)
		send(t, c, []byte("GCD.BACKUP\r\n"))
		wantBackup(t, bufio.NewReader(c))
	})
}

// ownAddress is an address of this machine that is not loopback; without one the test ends here.
func ownAddress(t *testing.T) string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			return ip.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// gate is a Backup that says when it has begun and goes on when it is told.
type gate struct {
	begun chan struct{}
	open  chan struct{}
}

func newGate() *gate { return &gate{begun: make(chan struct{}, 100), open: make(chan struct{})} }

func (g *gate) backUp(ctx context.Context, w io.Writer, format string) error {
	g.begun <- struct{}{}
	select {
	case <-g.open:
		return backUpText(ctx, w, format)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// While a backup is under way there is no second one, and everybody else is served, also by the
// same worker.
func TestOneBackupAtATime(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		g := newGate()
		o.Backup, o.Workers = g.backUp, 1
		s, _ := serveMemory(t, o)
		first, second := dialRESP(t, s, 2), dialRESP(t, s, 2)
		send(t, first, []byte("GCD.BACKUP\r\n"))
		await(t, "a backup is under way", g.begun)
		say(t, second, "INCR orders\r\nGCD.BACKUP\r\nINCR orders\r\n",
			":1\r\n-BUSY another backup is under way: there is one at a time\r\n:2\r\n")
		send(t, second, []byte("INFO gcd\r\nECHO end\r\n"))
		if got := readUntil(t, second, "$3\r\nend\r\n"); !strings.Contains(got, "backup_in_progress:1\r\n") {
			t.Errorf("INFO says %q", got)
		}
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 0x80, 3)
		send(t, first, []byte("INCR orders\r\n")) // waits
		say(t, second, "INCR orders\r\n", ":4\r\n")
		close(g.open)
		r := bufio.NewReader(first)
		wantBackup(t, r)
		wantText(t, r, ":5\r\n")
		for range 20 { // none is under way any more when a client has the whole of the last
			send(t, second, []byte("GCD.BACKUP\r\n"))
			wantBackup(t, bufio.NewReader(second))
		}
	})
}

// A backup that fails before anything of it was sent is refused; one that fails later ends the
// connection, so that it cannot be taken for whole. Neither keeps the next from being made.
func TestBackupFails(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		next := make(chan func(w io.Writer) error, 1)
		o.Backup = func(_ context.Context, w io.Writer, _ string) error { return (<-next)(w) }
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, 2)

		next <- func(io.Writer) error { return errors.New("no such\r\nfile") }
		say(t, c, "GCD.BACKUP\r\nPING\r\n", "-ERR backup failed: no such  file\r\n+PONG\r\n")

		next <- func(w io.Writer) error {
			io.WriteString(w, "little") // not sent yet
			return errors.New("disk")
		}
		say(t, c, "GCD.BACKUP\r\nPING\r\n", "-ERR backup failed: disk\r\n+PONG\r\n")

		next <- func(w io.Writer) error {
			io.WriteString(w, backupText)
			return errors.New("disk")
		}
		send(t, c, []byte("GCD.BACKUP\r\nPING\r\n"))
		got, err := readBackup(bufio.NewReader(c))
		if err != io.ErrUnexpectedEOF || got == "" || !strings.HasPrefix(backupText, got) {
			t.Errorf("%d bytes of a backup that failed, %v", len(got), err)
		}

		next <- func(w io.Writer) error {
			io.WriteString(w, backupText)
			panic("in a backup")
		}
		c = dialRESP(t, s, 2)
		send(t, c, []byte("GCD.BACKUP\r\n"))
		if _, err := readBackup(bufio.NewReader(c)); err == nil {
			t.Error("a backup that panicked is whole")
		}

		next <- func(w io.Writer) error { return backUpText(t.Context(), w, "") }
		c = dialRESP(t, s, 2)
		send(t, c, []byte("GCD.BACKUP\r\n"))
		wantBackup(t, bufio.NewReader(c))
		eventually(t, "it is counted", func() bool { return s.Stats().Backups == 1 }) // after the last write
		if st := s.Stats(); st.BrokenBackups != 3 || st.Panics != 1 {
			t.Errorf("%d broken, %d panics", st.BrokenBackups, st.Panics)
		}
	})
}

// endless never ends by itself.
func endless(_ context.Context, w io.Writer, _ string) error {
	for {
		if _, err := io.WriteString(w, backupText); err != nil {
			return err
		}
	}
}

// A client that does not read, or is gone, holds a backup no longer than the write timeout.
func TestBackupToASlowReader(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Backup, o.WriteTimeout = endless, 20*time.Millisecond
		s, _ := serveMemory(t, o)
		tries := uint64(0)
		begin := func() (c net.Conn) {
			// a backup, of which the first bytes are there: on a busy machine its time may be over
			// before
			eventually(t, "a backup begins", func() bool {
				tries++
				c = dialRESP(t, s, 2)
				send(t, c, []byte("GCD.BACKUP\r\n"))
				head := make([]byte, 4)
				_, err := io.ReadFull(c, head)
				return err == nil && string(head) == "$?\r\n"
			})
			return c
		}
		givenUp := func() bool { st := s.Stats(); return st.BrokenBackups == tries && st.Connections == 0 }
		c := begin()
		eventually(t, "it is given up", givenUp)
		if got, err := readBackup(bufio.NewReader(io.MultiReader(strings.NewReader("$?\r\n"), c))); err == nil ||
			got == "" {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		begin().Close()
		eventually(t, "it is given up", givenUp)
	})
}

// Shutdown ends a backup that waits for the disk as well as one that waits for its client.
func TestBackupEndsAtShutdown(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		for name, backUp := range map[string]func(context.Context, io.Writer, string) error{"disk": newGate().backUp,
			"client": endless} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := o
				begun := make(chan struct{}, 1)
				o.Backup = func(ctx context.Context, w io.Writer, format string) error {
					begun <- struct{}{}
					return backUp(ctx, w, format)
				}
				o.WriteTimeout = time.Hour
				s, _ := serveMemory(t, o)
				c := dialRESP(t, s, 2)
				send(t, c, []byte("GCD.BACKUP\r\n"))
				await(t, "a backup is under way", begun)
				if name == "client" {
					wantText(t, c, "$?\r\n")
				}
				s.stop(t)
				if got, err := io.ReadAll(c); err == nil && strings.HasSuffix(string(got), "\r\n;0\r\n") {
					t.Error("the backup has an end")
				}
				if st := s.Stats(); st.Connections != 0 || st.BrokenBackups != 1 {
					t.Errorf("%d connections, %d broken backups", st.Connections, st.BrokenBackups)
				}
			})
		}
	})
}

// A shutdown that is out of time drops the connection of a backup, too.
func TestBackupEndsAtAbort(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Backup = endless
		o.WriteTimeout = time.Hour
		s, f := serveFake(t, o)
		c := dialRESP(t, s, 2)
		send(t, c, []byte("GCD.BACKUP\r\n"))
		wantText(t, c, "$?\r\n")
		f.block()
		send(t, dialRESP(t, s, 2), []byte("INCR orders\r\n"))
		eventually(t, "it is in flight", func() bool { return s.Stats().InFlight == 1 })
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown returned %v", err)
		}
		f.unblock()
		if err := await(t, "Serve returns", s.served); err != nil {
			t.Error(err)
		}
		s.served = nil
		eventually(t, "the store let go", func() bool { return s.Stats().InFlight == 0 })
	})
}

// stuck is a connection whose client takes nothing: a write returns when its deadline has passed.
type stuck struct {
	writing chan struct{}
	past    chan struct{}
	once    sync.Once
}

func (c *stuck) Write([]byte) (int, error) {
	close(c.writing)
	<-c.past
	return 0, os.ErrDeadlineExceeded
}

func (c *stuck) SetWriteDeadline(at time.Time) error {
	if at.Before(time.Now()) {
		c.once.Do(func() { close(c.past) })
	}
	return nil
}

// A write that waits for a client is interrupted by a shutdown.
func TestBackupThatWaitsIsInterrupted(t *testing.T) {
	t.Parallel()
	s, err := server.New(nil, server.Options{Backup: endless, WriteTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c := &stuck{writing: make(chan struct{}), past: make(chan struct{})}
	ended := make(chan bool)
	go func() { ended <- s.BackUp(c, "ndjson") }()
	<-c.writing
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if <-ended {
		t.Error("the connection goes on")
	}
}

// When the store has stopped a backup does not keep the server from ending.
func TestBackupEndsWithTheStore(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		g := newGate()
		o.Backup, o.WriteTimeout = g.backUp, time.Hour
		s, f := serveFake(t, o)
		send(t, dialRESP(t, s, 2), []byte("GCD.BACKUP\r\n"))
		await(t, "a backup is under way", g.begun)
		close(f.failed)
		if err := await(t, "Serve returns", s.served); !errors.Is(err, core.ErrFailed) {
			t.Error(err)
		}
		s.served = nil
	})
}

// Serve does not return before a backup has ended, whatever became of its connection.
func TestServeWaitsForABackup(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		begun, release := make(chan struct{}), make(chan struct{})
		o.Backup = func(context.Context, io.Writer, string) error {
			close(begun)
			<-release
			return nil
		}
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		send(t, c, []byte("GCD.BACKUP\r\n"))
		await(t, "a backup is under way", begun)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown returned %v", err)
		}
		if o.Dispatch == server.Pool {
			eventually(t, "the loops have ended", func() bool { return s.Stats().Connections == 0 })
		}
		select {
		case <-s.served:
			t.Error("Serve returned")
			s.served = nil
		default:
		}
		close(release)
	})
}

// eagerConn is a client that asks for the next backup when it has the end of one.
type eagerConn struct {
	strings.Builder
	end func()
}

func (c *eagerConn) SetWriteDeadline(time.Time) error { return nil }

func (c *eagerConn) Write(p []byte) (int, error) {
	if string(p) == resp.StreamEnd && c.end != nil {
		c.end()
	}
	return c.Builder.Write(p)
}

// When the client has the end of a backup none is under way.
func TestBackupIsOverAtItsEnd(t *testing.T) {
	t.Parallel()
	s, err := server.New(nil, server.Options{Backup: backUpText})
	if err != nil {
		t.Fatal(err)
	}
	next := &eagerConn{}
	first := &eagerConn{end: func() { s.BackUp(next, "ndjson") }}
	if !s.BackUp(first, "ndjson") || next.String() == "" || next.String() != first.String() {
		t.Errorf("the first is %.40q, the next %.40q", first.String(), next.String())
	}
}
