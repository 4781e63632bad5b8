package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a counter service in memory, made of raw sockets and bytes written out, that may lie.
type fake struct {
	t       *testing.T
	network Network
	addr    string
	// lie changes what is answered to the n-th request (from 1 on), which made a sum of its topic; nil: nothing.
	lie func(n int, topic string, sum uint64) outcome

	mu   sync.Mutex
	n    int
	sums map[string]uint64
}

// outcome is what a fake does with a request.
type outcome struct {
	sum    uint64
	refuse bool   // answer that it was refused; it is not counted
	plain  string // RESP: say this and end the connection; it is not counted
	silent bool   // count and do not answer: TCP and RESP close
	twice  bool   // answer twice
	late   bool   // UDP: answer before the next answer
}

// hang is how long what must end is waited for.
const hang = time.Minute

// runWithin is Run, which must end, if only because ctx does.
func runWithin(ctx context.Context, t *testing.T, o Options) (*Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, hang)
	defer cancel()
	type ended struct {
		result *Result
		err    error
	}
	run := make(chan ended, 1)
	go func() {
		r, err := Run(ctx, o)
		run <- ended{r, err}
	}()
	select {
	case e := <-run:
		if ctx.Err() == context.DeadlineExceeded {
			t.Fatalf("the run had not ended by itself after %v: %+v, %v", hang, e.result, e.err)
		}
		return e.result, e.err
	case <-time.After(2 * hang):
		t.Fatalf("the run goes on, %v after its context has ended", hang)
		panic("unreachable")
	}
}

// waitFor waits for what a test's server does, which ends when the test's clients have gone.
func waitFor(t *testing.T, wait func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	select {
	case <-done:
	case <-time.After(hang):
		t.Errorf("the test's server still has a client after %v", hang)
	}
}

// startFake starts a fake that ends with the test.
func startFake(t *testing.T, network Network, lie func(n int, topic string, sum uint64) outcome) *fake {
	t.Helper()
	f := &fake{t: t, network: network, lie: lie, sums: make(map[string]uint64)}
	var running sync.WaitGroup
	if network == UDP {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		f.addr = conn.LocalAddr().String()
		running.Go(func() { f.serveUDP(conn) })
		t.Cleanup(func() {
			conn.Close()
			waitFor(t, running.Wait)
		})
		return f
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = listener.Addr().String()
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				if network == TCP {
					f.serveTCP(conn)
				} else {
					f.serveRESP(conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		waitFor(t, running.Wait)
	})
	return f
}

// count makes a count and says what to do with it.
func (f *fake) count(topic string) outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	sum := f.sums[topic] + 1
	o := outcome{sum: sum}
	if f.lie != nil {
		o = f.lie(f.n, topic, sum)
	}
	if !o.refuse && o.plain == "" {
		f.sums[topic] = sum
	}
	return o
}

// counted returns the sums.
func (f *fake) counted() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.sums)
}

// message is the protocol's answer.
func (o outcome) message() []byte {
	if o.refuse {
		return []byte("\xff\x08")
	}
	return binary.BigEndian.AppendUint64([]byte{0x80}, o.sum)
}

func (f *fake) serveUDP(conn *net.UDPConn) {
	buf := make([]byte, 1<<16)
	late := func() {}
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if buf[0] != 0 {
			f.t.Errorf("request % x", buf[:n])
		}
		o := f.count(string(buf[1:n]))
		if o.silent {
			continue
		}
		if o.late {
			late = func() { conn.WriteToUDPAddrPort(o.message(), from) }
			continue
		}
		late()
		late = func() {}
		conn.WriteToUDPAddrPort(o.message(), from)
		if o.twice {
			conn.WriteToUDPAddrPort(o.message(), from)
		}
	}
}

func (f *fake) serveTCP(conn net.Conn) {
	buf := make([]byte, 1024)
	n, err := conn.Read(buf)
	if err != nil || n < 2 || buf[0] != 0 {
		return // one that gave up
	}
	o := f.count(string(buf[1:n]))
	if o.silent {
		return
	}
	conn.Write(o.message())
	if o.twice {
		conn.Write(o.message())
	}
}

func (f *fake) serveRESP(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		words, err := readCommand(in)
		if err != nil {
			return
		}
		switch {
		case len(words) == 1 && words[0] == "QUIT":
			io.WriteString(conn, "+OK\r\n")
			return
		case len(words) == 2 && words[0] == "INCR":
		case len(words) == 3 && words[0] == "INCRBY":
			by, _ := strconv.ParseUint(words[2], 10, 64)
			f.mu.Lock()
			f.sums[words[1]] += by - 1
			f.mu.Unlock()
		default:
			f.t.Errorf("command %q", words)
			return
		}
		o := f.count(words[1])
		reply := fmt.Sprintf(":%d\r\n", o.sum)
		switch {
		case o.silent:
			return
		case o.plain != "":
			io.WriteString(conn, o.plain)
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn) // closing on unread bytes would destroy the answer
			return
		case o.refuse:
			reply = "-ERR too many requests\r\n"
		case o.twice:
			reply += reply
		}
		io.WriteString(conn, reply)
	}
}

func readCommand(in *bufio.Reader) ([]string, error) {
	number := func(mark byte) (int, error) {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		if line[0] != mark {
			return 0, fmt.Errorf("line %q", line)
		}
		return strconv.Atoi(string(bytes.TrimRight(line[1:], "\r\n")))
	}
	count, err := number('*')
	if err != nil {
		return nil, err
	}
	words := make([]string, count)
	for i := range words {
		size, err := number('$')
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}
