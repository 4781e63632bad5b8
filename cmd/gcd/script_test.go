package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/internal/scripttest"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gcd": main})
}

var update = flag.Bool("update", false, "rewrite the golden texts in testdata")

// hang is when a test that waits for something gives up; it decides nothing but how a failure
// looks.
const hang = time.Minute

// receive waits for a value that must come, or for the end of a channel.
func receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(hang):
		t.Fatalf("%s: nothing for %v", what, hang)
		panic("unreachable")
	}
}

// ended waits for goroutines that must end.
func ended(t testing.TB, what string, running *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		running.Wait()
	}()
	receive(t, what, done)
}

// TestScripts runs the command lines in testdata/script against the real main, as processes of
// their own. "go test ./cmd/gcd -update" rewrites the golden help texts.
func TestScripts(t *testing.T) {
	t.Parallel()
	scripttest.Run(t, *update, func(env *testscript.Env) {
		env.Values[stateKey{}] = &state{servers: make(map[string]*serverProcess)}
	}, map[string]scripttest.Command{
		"start":     cmdStart,
		"signal":    cmdSignal,
		"send":      cmdSend,
		"ends":      cmdEnds,
		"ignore":    cmdIgnore,
		"logged":    cmdLogged,
		"silent":    cmdSilent,
		"long":      cmdLong,
		"nobody":    cmdNobody,
		"occupy":    cmdOccupy,
		"umask":     cmdUmask,
		"elsewhere": cmdElsewhere,
		"appears":   cmdAppears,
		"notify":    cmdNotify,
		"notified":  cmdNotified,
	})
}

func gcdPath(ts *testscript.TestScript) string {
	path, err := exec.LookPath("gcd") // TestMain has put it there
	ts.Check(err)
	return path
}

// state is what the commands of one script remember.
type state struct {
	servers map[string]*serverProcess
	notify  *net.UnixConn
}

type stateKey struct{}

// serverProcess is a "gcd serve" in the background.
type serverProcess struct {
	command *exec.Cmd
	stderr  io.ReadCloser
	ready   chan struct{} // closed when it has said what it listens on, or ended

	mu       sync.Mutex
	log      strings.Builder
	tcp, udp string
	done     chan struct{} // closed when its stderr has ended
}

// serving is the line with the addresses, as text and as JSON.
var serving = regexp.MustCompile(`(?:serving: tcp=|"serving".*"tcp":")([^ "]+)(?: udp=|","udp":")([^ "]+)`)

// follow collects what the server writes to stderr, until it ends.
func (p *serverProcess) follow() {
	defer close(p.done)
	ready := sync.OnceFunc(func() { close(p.ready) })
	defer ready()
	for lines := bufio.NewScanner(p.stderr); lines.Scan(); {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		said := serving.FindStringSubmatch(lines.Text())
		if said != nil {
			p.tcp, p.udp = said[1], said[2]
		}
		p.mu.Unlock()
		if said != nil {
			ready()
		}
	}
}

func (p *serverProcess) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *serverProcess) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func findServer(ts *testscript.TestScript, name string) *serverProcess {
	p := ts.Value(stateKey{}).(*state).servers[name]
	if p == nil {
		ts.Fatalf("no server %q was started", name)
	}
	return p
}

// start NAME FLAGS...
//
// Starts "gcd serve FLAGS..." in the background and waits until it listens. $TCP and $UDP are its
// addresses.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: start NAME FLAGS...")
	}
	command := exec.Command(gcdPath(ts), append([]string{"serve"}, args[1:]...)...)
	command.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOCOVERDIR", "GORACE", "NOTIFY_SOCKET", "WATCHDOG_USEC",
		"GCD_DATA", "GCD_DISPATCH"} {
		if value := ts.Getenv(name); value != "" {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	stderr, err := command.StderrPipe()
	ts.Check(err)
	ts.Check(command.Start())
	p := &serverProcess{command: command, stderr: stderr, ready: make(chan struct{}), done: make(chan struct{})}
	go p.follow()
	ts.Defer(func() {
		_ = command.Process.Kill() // fails when it was stopped by the script, as it should
		<-p.done
		_ = command.Wait()
	})
	select {
	case <-p.ready:
	case <-time.After(hang):
		ts.Fatalf("gcd serve neither serves nor ends:\n%s", p.text())
	}
	ts.Value(stateKey{}).(*state).servers[args[0]] = p
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tcp == "" {
		ts.Fatalf("gcd serve ended before it served:\n%s", p.log.String())
	}
	ts.Setenv("TCP", p.tcp)
	ts.Setenv("UDP", p.udp)
}

// signal NAME SIGNAL CODE
//
// Sends the signal (INT, TERM, HUP and so on) and requires that the server ends with the code (-1
// when the signal killed it).
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: signal NAME SIGNAL CODE")
	}
	p := findServer(ts, args[0])
	ts.Check(p.command.Process.Signal(findSignal(ts, args[1])))
	p.waitFor(ts, args[2])
}

// send NAME SIGNAL...: sends the signals, one right after the other.
func cmdSend(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: send NAME SIGNAL...")
	}
	p := findServer(ts, args[0])
	for _, name := range args[1:] {
		ts.Check(p.command.Process.Signal(findSignal(ts, name)))
	}
}

func findSignal(ts *testscript.TestScript, name string) os.Signal {
	signal, ok := namedSignals[name]
	if !ok {
		ts.Fatalf("unknown signal %q", name)
	}
	return signal
}

// ends NAME CODE
//
// Waits until the server ends by itself and requires that it does so with the code.
func cmdEnds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	findServer(ts, args[0]).waitFor(ts, args[1])
}

func (p *serverProcess) waitFor(ts *testscript.TestScript, code string) {
	select {
	case <-p.done:
	case <-time.After(hang):
		ts.Fatalf("the server does not end:\n%s", p.text())
	}
	if got := strconv.Itoa(scripttest.ExitCode(ts, p.command.Wait())); got != code {
		ts.Fatalf("the server ended with exit code %s, want %s:\n%s", got, code, p.text())
	}
}

// [!] logged NAME REGEXP
//
// Waits until the server has written such a line to stderr, or has ended; with ! looks at what it
// has written so far.
func cmdLogged(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] logged NAME REGEXP")
	}
	p, want := findServer(ts, args[0]), regexp.MustCompile(`(?m)`+args[1])
	for end := time.Now().Add(hang); !neg && !want.MatchString(p.text()) && time.Now().Before(end) &&
		!p.ended(); runtime.Gosched() {
	}
	if want.MatchString(p.text()) == neg {
		ts.Fatalf("match of %q is %t in the log of %s:\n%s", args[1], neg, args[0], p.text())
	}
}

// ignore NAME: nobody reads the server's stderr any more.
func cmdIgnore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ignore NAME")
	}
	p := findServer(ts, args[0])
	ts.Check(p.stderr.Close())
	<-p.done
}

// silent: starts listeners that take what comes and never answer; $SILENT_TCP and $SILENT_UDP are
// their addresses.
func cmdSilent(ts *testscript.TestScript, _ bool, _ []string) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	ts.Defer(func() {
		tcp.Close()
		udp.Close()
		<-done
	})
	ts.Setenv("SILENT_TCP", tcp.Addr().String())
	ts.Setenv("SILENT_UDP", udp.LocalAddr().String())
}

// long SIZE: $LONG is a topic of so many bytes.
func cmdLong(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: long SIZE")
	}
	size, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Setenv("LONG", strings.Repeat("x", size))
}

// nobody: $NOBODY is an address where nothing listens, and nothing can start to: it is the client's
// end of a connection.
func cmdNobody(ts *testscript.TestScript, _ bool, _ []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	conn, err := net.Dial("tcp", listener.Addr().String())
	ts.Check(err)
	ts.Defer(func() {
		conn.Close()
		listener.Close()
	})
	ts.Setenv("NOBODY", conn.LocalAddr().String())
}

// occupy: $OCCUPIED is an address on which something else listens already.
func cmdOccupy(ts *testscript.TestScript, _ bool, _ []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { listener.Close() })
	ts.Setenv("OCCUPIED", listener.Addr().String())
}

// elsewhere: $ELSEWHERE is the address of a UDP server that answers each request from another port,
// with the sum 7.
func cmdElsewhere(ts *testscript.TestScript, _ bool, _ []string) {
	asked, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	answering, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		request := make([]byte, 1024)
		for {
			_, from, err := asked.ReadFrom(request)
			if err != nil {
				return
			}
			answering.WriteTo([]byte{0x80, 7}, from)
		}
	}()
	ts.Defer(func() {
		asked.Close()
		answering.Close()
		<-done
	})
	ts.Setenv("ELSEWHERE", asked.LocalAddr().String())
}

// appears FILE: waits until the file is there, which a server makes in its own time.
func cmdAppears(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: appears FILE")
	}
	for end := time.Now().Add(hang); ; runtime.Gosched() {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s does not appear", args[0])
		}
	}
}

// umask NAME MASK
//
// Requires the mask, in octal, with which the server makes files. Linux alone tells it.
func cmdUmask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: umask NAME MASK")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", findServer(ts, args[0]).command.Process.Pid))
	ts.Check(err)
	if !strings.Contains(string(status), "\nUmask:\t"+args[1]+"\n") {
		ts.Fatalf("the umask is not %s:\n%s", args[1], status)
	}
}

// notify: makes the socket to which a service tells its manager how it is, and sets $NOTIFY_SOCKET
// for start.
func cmdNotify(ts *testscript.TestScript, _ bool, _ []string) {
	dir, err := os.MkdirTemp("", "gcd") // the script's own directory has too long a path for a socket
	ts.Check(err)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	ts.Check(err)
	ts.Defer(func() {
		conn.Close()
		os.RemoveAll(dir)
	})
	ts.Value(stateKey{}).(*state).notify = conn
	ts.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
}

// notified REGEXP: reads what was told until something matches.
func cmdNotified(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: notified REGEXP")
	}
	conn := ts.Value(stateKey{}).(*state).notify
	want := regexp.MustCompile(args[0])
	ts.Check(conn.SetReadDeadline(time.Now().Add(hang)))
	message := make([]byte, 4096)
	for {
		n, err := conn.Read(message)
		if err != nil {
			ts.Fatalf("waiting for a notice that matches %q: %v", args[0], err)
		}
		if want.Match(message[:n]) {
			return
		}
	}
}
