package server_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"math/bits"
	"net"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gcd/server"
	"gcd/store/core"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if bits.UintSize == 32 {
		debug.SetMemoryLimit(3 << 29) // servers come and go, and what is left of them would fill the address space
	}
	if n := runtime.GOMAXPROCS(0); n < atOnce && flag.Lookup("test.parallel").Value.String() == strconv.Itoa(n) {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce)) // it is a number
	}
	goleak.VerifyTestMain(m)
}

// atOnce is how many tests run at once at least, unless they are told otherwise: most of them wait
// most of the time, for deadlines and for servers that stop.
const atOnce = 4

// patience bounds every wait of a test for something that must happen; no test depends on how long
// it takes.
const patience = 60 * time.Second

// dispatches are the ways of dispatch that every test goes through.
var dispatches = []server.Dispatch{server.Pool, server.Goroutine}

func eachDispatch(t *testing.T, f func(t *testing.T, o server.Options)) {
	for _, d := range dispatches {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			f(t, server.Options{Dispatch: d})
		})
	}
}

// eachCell runs f for every pair of network and dispatch; "resp" is RESP, and f need not know.
func eachCell(t *testing.T, f func(t *testing.T, network string, o server.Options)) {
	eachNetwork(t, []string{"tcp", "udp", "resp"}, f)
}

// eachStream is eachCell without datagrams.
func eachStream(t *testing.T, f func(t *testing.T, network string, o server.Options)) {
	eachNetwork(t, []string{"tcp", "resp"}, f)
}

// eachNetwork is eachCell over some networks.
func eachNetwork(t *testing.T, networks []string, f func(t *testing.T, network string, o server.Options)) {
	eachDispatch(t, func(t *testing.T, o server.Options) {
		for _, network := range networks {
			t.Run(network, func(t *testing.T) {
				t.Parallel()
				f(t, network, o)
			})
		}
	})
}

// running is a server that serves on ports of the loopback until the test ends.
type running struct {
	*server.Server
	options server.Options
	served  chan error
}

// serve starts a server over b; prepare, which may be nil, gets it before it serves.
func serve(t *testing.T, b server.Backend, o server.Options, prepare func(*server.Server)) *running {
	t.Helper()
	if o.TCP == "" && o.UDP == "" {
		o.TCP, o.UDP = "127.0.0.1:0", "127.0.0.1:0"
	}
	if o.Unix == anySocket {
		o.Unix = socketPath(t)
	}
	if o.Workers == 0 {
		o.Workers = 2
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = time.Hour // a connection that a test lets be silent stays however slow the machine is
	}
	s, err := server.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	s.SetProcessors(o.Workers + 1) // so that every loop of a pool has conversations
	if prepare != nil {
		prepare(s)
	}
	return serveThis(t, s, o)
}

// serveThis has a server serve that was made with some options.
func serveThis(t *testing.T, s *server.Server, o server.Options) *running {
	t.Helper()
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	r := &running{Server: s, options: o, served: make(chan error, 1)}
	go func() { r.served <- s.Serve() }()
	t.Cleanup(func() {
		s.SetParting(0) // nobody asks any more; those tests that are about a stop have made it themselves
		r.stop(t)
	})
	return r
}

// stop shuts the server down and waits for Serve; a second call does nothing.
func (r *running) stop(t *testing.T) {
	t.Helper()
	if r.served == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	select {
	case err := <-r.served:
		if err != nil && !errors.Is(err, server.ErrClosed) && !errors.Is(err, core.ErrFailed) {
			t.Error("Serve:", err)
		}
	case <-time.After(patience): // no t.Fatal: some stop beside their test
		t.Error("Serve does not return after Shutdown")
	}
	r.served = nil
}

func (r *running) addr(network string) string {
	if network == "udp" {
		return r.UDPAddr().String()
	}
	switch {
	case r.options.TLS != nil:
		return overTLS + r.TCPAddr().String()
	case r.options.Unix != "":
		return overUnix + r.options.Unix
	}
	return r.TCPAddr().String()
}

// serveFake starts a server over a new fake.
func serveFake(t *testing.T, o server.Options) (*running, *fake) {
	t.Helper()
	f := newFake()
	t.Cleanup(f.close)
	return serve(t, f, o, nil), f
}

// dial connects; the connection fails the test's reads and writes rather than hanging, and is
// closed with the test.
func dial(t testing.TB, network, addr string) net.Conn {
	t.Helper()
	c, err := connect(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// dialUnread is dial for a client that takes little of what it is sent, or nothing: the system
// keeps less for it than it usually does.
func dialUnread(t testing.TB, s *running) net.Conn {
	t.Helper()
	d := net.Dialer{Control: smallSegments}
	c, err := d.Dial("tcp", s.addr("tcp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func connect(network, addr string) (net.Conn, error) {
	if network == "udp" {
		return net.Dial(network, addr)
	}
	c, err := dialStream(addr)
	if err != nil {
		return nil, err
	}
	return speak(network, c), nil
}

// speak makes a TCP connection one of the network.
func speak(network string, c net.Conn) net.Conn {
	if network == "resp" {
		return newOverRESP(c.(stream))
	}
	return c
}

// ask sends one message and returns the answer. Over TCP that is everything up to the end, which
// must be orderly.
func ask(t testing.TB, network, addr string, msg []byte) []byte {
	t.Helper()
	c := dial(t, network, addr)
	defer c.Close()
	send(t, c, msg)
	return answer(t, c)
}

func send(t testing.TB, c net.Conn, msg []byte) {
	t.Helper()
	if _, err := c.Write(msg); err != nil {
		t.Fatal(err)
	}
}

// answer reads what a server sends: over TCP up to the end, over UDP one datagram.
func answer(t testing.TB, c net.Conn) []byte {
	t.Helper()
	if c.LocalAddr().Network() != "udp" {
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatalf("reading the answer: %v (after % x)", err, b)
		}
		return b
	}
	b := make([]byte, 65536)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func wantAnswer(t testing.TB, got []byte, want ...byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("answer is % x, want % x", got, want)
	}
}

// wantRefusal checks an answer that must be a refusal with the code; only TCP may add a text.
func wantRefusal(t testing.TB, network string, got []byte, code byte) {
	t.Helper()
	if len(got) < 2 || got[0] != 255 || got[1] != code {
		t.Fatalf("answer is %q, want a refusal with code %d", got, code)
	}
	if network == "udp" && len(got) != 2 {
		t.Fatalf("a refusal of %d bytes over UDP, want 2", len(got))
	}
}

// count and reset are the requests' bytes.
func count(topic string) []byte { return append([]byte{0}, topic...) }
func reset(topic string) []byte { return append([]byte{1}, topic...) }

// eventually waits until a condition holds that other goroutines bring about.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("never happened: ", what)
		}
		<-tick.C
	}
}

// tryAsk is ask for goroutines that are not the test's own.
func tryAsk(network, addr string, msg []byte) ([]byte, error) {
	c, err := connect(network, addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(msg); err != nil {
		return nil, err
	}
	if network != "udp" {
		return io.ReadAll(c)
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	return b[:n], err
}

// sum is the value in the answer to a COUNT, or 0 if it is no such answer.
func sum(answer []byte) uint64 {
	if len(answer) < 2 || len(answer) > 9 || answer[0] != 128 {
		return 0
	}
	var n uint64
	for _, b := range answer[1:] {
		n = n<<8 | uint64(b)
	}
	return n
}

// lockedBuffer is a log that a test reads while a server writes it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
