package server_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"gcd/server"
	"gcd/store"
)

// A connection's commands take effect and are answered in the order in which they were sent, reads
// among them.
func TestRESPOrder(t *testing.T) {
	t.Parallel()
	eachCarriedRESP(t, func(t *testing.T, o server.Options, version int) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, version)
		var in, want strings.Builder
		for n := 1; n <= 500; n++ {
			fmt.Fprintf(&in, "INCR order\r\nGET order\r\nPING %d\r\nDBSIZE\r\nSCAN 0\r\nEXISTS order\r\nKEYS o*\r\n", n)
			fmt.Fprintf(&want, ":%d\r\n%s%s:1\r\n*2\r\n%s*1\r\n%s:1\r\n*1\r\n%s", n, bulk(fmt.Sprint(n)),
				bulk(fmt.Sprint(n)), bulk("0"), bulk("order"), bulk("order"))
		}
		say(t, c, in.String(), want.String())
	})
}

// A pipeline that a client sends in one go, without reading, is answered whole.
func TestRESPLongPipeline(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, st := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		const commands = 30_000 // more than a turn takes
		var want bytes.Buffer
		for n := range commands {
			fmt.Fprintf(&want, ":%d\r\n", n+1)
		}
		say(t, c, strings.Repeat(array("INCR", "long"), commands), want.String())
		say(t, c, strings.Repeat("DEL long\n", commands), ":1\r\n"+strings.Repeat(":0\r\n", commands-1))
		if v, _ := st.Get("long"); v.Sum != 0 || v.Epoch != 1 {
			t.Errorf("after the pipeline of DEL the topic is at %+v, want {0 1}", v)
		}
	})
}

// A pipeline is one submission: however many commands there are, they share a commit.
func TestRESPPipelineIsOneGroup(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		c := dialRESP(t, s, 2)
		say(t, c, "PING\r\n", "+PONG\r\n")
		f.mu.Lock()
		before := f.rounds
		f.mu.Unlock()
		var want bytes.Buffer
		for n := range 1000 {
			fmt.Fprintf(&want, ":%d\r\n", n+1)
		}
		say(t, c, strings.Repeat("INCR x\n", 1000), want.String())
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := f.rounds - before; n > 3 { // one, unless the network has split it
			t.Errorf("%d commits", n)
		}
	})
}

// Commands with very many topics, and arguments of the largest size.
func TestRESPLargeCommands(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		names := make([]string, 20_000)
		for i := range names {
			names[i] = fmt.Sprintf("large%d", i)
		}
		var in, counted strings.Builder
		for _, name := range names {
			in.WriteString(array("INCR", name))
			counted.WriteString(":1\r\n")
		}
		say(t, c, in.String(), counted.String())
		say(t, c, array(append([]string{"MGET"}, names...)...),
			fmt.Sprintf("*%d\r\n", len(names))+strings.Repeat("$1\r\n1\r\n", len(names)))
		say(t, c, "INCR other\r\n"+array(append([]string{"EXISTS"}, names...)...)+"INCR other\r\n",
			fmt.Sprintf(":1\r\n:%d\r\n:2\r\n", len(names)))
		say(t, c, "INCR other\r\n"+array(append([]string{"DEL"}, names...)...)+"INCR other\r\n",
			fmt.Sprintf(":3\r\n:%d\r\n:4\r\n", len(names)))
		long := strings.Repeat("m", 1<<20-26)
		say(t, c, array("ECHO", long)+"INCR other\r\n", bulk(long)+":5\r\n")
		say(t, c, "DBSIZE\r\n", ":1\r\n")
	})
}

// However a pipeline is split into packets, it is answered the same.
func TestRESPEverySplit(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		const in = "*2\r\n$4\r\nINCR\r\n$1\r\nx\r\nGET " +
			"\"x\"\r\n\r\n*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n*1\r\n$6\r\nDBSIZE\r\nDEL x\r\n"
		const want = ":1\r\n$1\r\n1\r\n:2\r\n:1\r\n:1\r\n"
		c := dialRESP(t, s, 2)
		for i := range len(in) {
			sendParts(t, c, in[:i], in[i:])
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
				t.Fatalf("split at %d: %q (%v)", i, got, err)
			}
		}
		sendParts(t, c, strings.Split(in, "")...)
		expect(t, c, in, want)
	})
}

// So it is with the first command of a connection, which shows that it is RESP's, and with its
// client's end after it.
func TestRESPFirstCommand(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.Settle = never
		s, _ := serveFake(t, o)
		n := 0
		for _, in := range []string{array("INCR", "x"), "INCR \"x\"\r\n", "*0\r\n*-1\r\n\r\nincr x\n"} {
			for i := 1; i < len(in); i++ {
				c := dial(t, "tcp", s.addr("tcp"))
				sendParts(t, c, in[:i], in[i:])
				n++
				want := fmt.Sprintf(":%d\r\n", n)
				if i%2 == 0 {
					closeWrite(c)
					wantAnswer(t, answer(t, c), []byte(want)...)
				} else if before := readUntil(t, c, want); before != "" {
					t.Errorf("split at %d: %q before the answer", i, before)
				}
				c.Close()
			}
		}
		eventually(t, "nothing is left", func() bool { return s.Stats().Connections == 0 })
	})
}

// Clients of both protocols count the same topics on one port.
func TestRESPBesideTheProtocol(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		say(t, c, "INCR orders\r\n", ":1\r\n")
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 128, 2)
		wantAnswer(t, ask(t, "udp", s.addr("udp"), count("orders")), 128, 3)
		say(t, c, "GET orders\r\nINCR orders\r\n", "$1\r\n3\r\n:4\r\n")
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), reset("orders")), 129)
		say(t, c, "GET orders\r\nINCR orders\r\nDEL orders\r\n", "$-1\r\n:1\r\n:1\r\n")
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 128, 1)
		wantAnswer(t, ask(t, "udp", s.addr("udp"), []byte("INCR orders")), 255, 2) // over UDP there is no RESP
		say(t, c, "INCRBY orders 254\r\n", ":255\r\n")
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 128, 1, 0)
	})
}

func TestRESPOff(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.NoRESP = true
		s, _ := serveFake(t, o)
		for _, in := range []string{"*1\r\n$4\r\nPING\r\n", "PING\r\n", "z"} {
			c := dial(t, "tcp", s.addr("tcp"))
			send(t, c, []byte(in))
			closeWrite(c)
			wantRefusal(t, "tcp", answer(t, c), 2)
		}
	})
}

// Many connections at once take values that are dense, and none twice.
func TestRESPIsDense(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		st, err := store.Open(t.TempDir(), store.Options{SegmentSize: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		s := serve(t, st, o, nil)
		const clients, rounds, pipeline = 8, 20, 25
		seen := make(chan uint64, clients*rounds*pipeline)
		failures := make(chan error, clients)
		for range clients {
			go func() { failures <- pipelined(s.addr("tcp"), rounds, pipeline, seen) }()
		}
		for range clients {
			if err := await(t, "a client is done", failures); err != nil {
				t.Fatal(err)
			}
		}
		close(seen)
		values := make(map[uint64]bool)
		for n := range seen {
			if n == 0 || n > clients*rounds*pipeline || values[n] {
				t.Fatalf("%d is out of range or came twice", n)
			}
			values[n] = true
		}
		// A client may have its answer before that is counted.
		eventually(t, "all are counted", func() bool { return s.Stats().Answered == clients*rounds*pipeline })
	})
}

// pipelined counts the topic shared in pipelines and reports what it got, which must grow.
func pipelined(addr string, rounds, pipeline int, seen chan<- uint64) error {
	c, err := dialStream(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	var last uint64
	for range rounds {
		if _, err := io.WriteString(c, strings.Repeat(array("INCR", "shared"), pipeline)); err != nil {
			return err
		}
		for range pipeline {
			var n uint64
			if _, err := fmt.Fscanf(c, ":%d\r\n", &n); err != nil {
				return err
			}
			if n <= last {
				return fmt.Errorf("%d after %d", n, last)
			}
			last = n
			seen <- n
		}
	}
	return nil
}
