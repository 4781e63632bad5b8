package server_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"gcd/codec"
	"gcd/server"
	"gcd/store/core"
)

func TestMaxConns(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		o.MaxConns = 3
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetFirstByte(time.Hour) })
		var held []net.Conn
		for range 3 {
			held = append(held, dial(t, network, s.addr(network)))
		}
		eventually(t, "all places are taken", func() bool { return s.Stats().Connections == 3 })
		for range 5 {
			wantRefusal(t, network, ask(t, network, s.addr(network), count("orders")), 9)
			// else there may be no place to hear what the next speaks
			eventually(t, "it is gone", func() bool { return s.Stats().Connections == 3 })
		}
		for i, c := range held { // those that are in are served
			send(t, c, count("orders"))
			wantAnswer(t, answer(t, c), 128, byte(i+1))
		}
		eventually(t, "the places are free", func() bool { return s.Stats().Connections == 0 })
		wantAnswer(t, ask(t, network, s.addr(network), count("orders")), 128, 4)
		if n := s.Stats().Refused[codec.CodeTooManyConns]; n != 5 {
			t.Errorf("%d refusals counted, want 5", n)
		}
	})
}

// Far more connections than are let in: also those for which there is no place to linger hear why.
// TestRESPFloodOfClients has some that have spoken.
func TestFloodOfConnections(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxConns = 1
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetLinger(time.Hour) })
		first := dial(t, "tcp", s.addr("tcp"))
		eventually(t, "the place is taken", func() bool { return s.Stats().Connections == 1 })
		var extra []net.Conn
		for range 300 {
			extra = append(extra, dial(t, "tcp", s.addr("tcp")))
		}
		for _, c := range extra {
			wantRefusal(t, "tcp", answer(t, c), 9)
		}
		if n := s.Stats().Connections; n != 2 { // as many linger as are let in, at most
			t.Errorf("%d connections are kept, want 2", n)
		}
		for _, c := range extra {
			c.Close()
		}
		send(t, first, count("orders"))
		wantAnswer(t, answer(t, first), 128, 1)
	})
}

func TestMaxConnsPerSource(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		o.MaxConnsPerSource = 2
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetFirstByte(time.Hour) })
		held := []net.Conn{dial(t, network, s.addr(network)), dial(t, network, s.addr(network))}
		eventually(t, "the places are taken", func() bool { return s.Stats().Connections == 2 })
		code := byte(10)
		if network == "resp" { // has one error for both
			code = 9
		}
		wantRefusal(t, network, ask(t, network, s.addr(network), count("orders")), code)
		if runtime.GOOS == "linux" { // where all of 127.0.0.0/8 is there
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			c, err := from.Dial("tcp", s.addr("tcp"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c = speak(network, c)
			send(t, c, count("another source"))
			wantAnswer(t, answer(t, c), 128, 1)
		}
		for i, c := range held {
			send(t, c, count("orders"))
			wantAnswer(t, answer(t, c), 128, byte(i+1))
		}
		eventually(t, "the places are free", func() bool { return s.Stats().Connections == 0 })
		wantAnswer(t, ask(t, network, s.addr(network), count("orders")), 128, 3)
	})
}

func TestMaxInFlight(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, network string, o server.Options) {
		for name, limit := range map[string]func(*server.Options){
			"requests": func(o *server.Options) { o.MaxInFlight = 2 },
			"bytes": func(o *server.Options) {
				o.MaxInFlightBytes = 25
				if network == "resp" { // its framing counts
					o.MaxInFlightBytes = 75
				}
			},
		} {
			t.Run(name, func(t *testing.T) {
				o := o
				limit(&o)
				s, f := serveFake(t, o)
				f.block()
				var waiting []net.Conn
				for i := range 2 {
					c := dial(t, network, s.addr(network))
					send(t, c, count(fmt.Sprintf("topic %d...", i)))
					waiting = append(waiting, c)
					eventually(t, "it is in flight",
						func() bool { return s.Stats().InFlight == int64(i+1) && f.isStuck() })
				}
				// A loop that commits hears nothing meanwhile, but another does.
				for range 3 {
					wantRefusal(t, network, ask(t, network, s.addr(network), count("too many...")), 8)
				}
				f.unblock()
				for _, c := range waiting {
					wantAnswer(t, answer(t, c), 128, 1)
				}
				eventually(t, "nothing is in flight", func() bool { return s.Stats().InFlight == 0 })
				wantAnswer(t, ask(t, network, s.addr(network), count("too many...")), 128, 1)
			})
		}
	})
}

// A commit that takes long holds up nobody's request: while one worker commits, another takes what
// comes.
func TestCommitOfOthersIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, network string, o server.Options) {
		s, f := serveFake(t, o)
		const clients = 50
		f.block()
		var waiting []net.Conn
		for range clients {
			c := dial(t, network, s.addr(network))
			send(t, c, count("orders"))
			waiting = append(waiting, c)
			eventually(t, "a commit is under way", f.isStuck)
		}
		eventually(t, "all requests wait together", func() bool { return s.Stats().InFlight == clients })
		f.unblock()
		for _, c := range waiting {
			if n := sum(answer(t, c)); n < 1 || n > clients {
				t.Fatalf("the answer is %d", n)
			}
		}
		if f.state()["orders"] != clients {
			t.Error("not everything was counted")
		}
	})
}

func TestRefusalRate(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.RefusalRate = 1
		s, _ := serveFake(t, o)
		const bad = 50
		c := dial(t, "udp", s.addr("udp"))
		for range bad {
			send(t, c, []byte{99})
		}
		eventually(t, "all were refused", func() bool { return s.Stats().Refused[codec.CodeUnknownOpcode] == bad })
		silenced := s.Stats().SilencedRefusals
		if silenced == 0 {
			t.Fatal("no refusal was kept back")
		}
		for range bad - silenced {
			wantRefusal(t, "udp", answer(t, c), 2)
		}
		send(t, c, count("orders")) // good requests are not limited
		wantAnswer(t, answer(t, c), 128, 1)
	})
}

// Each reason of the store's has its code; an outcome that is not known has no answer.
func TestOutcomesOfTheStore(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, network string, o server.Options) {
		outcomes := map[string]struct {
			err  error
			code byte
		}{
			"overflow": {core.ErrOverflow, 7},
			"long":     {core.ErrTopicTooLong, 5},
			"many":     {core.ErrTooManyTopics, 6},
			"full":     {core.ErrLogFull, 11},
			"closed":   {core.ErrClosed, 12},
			"failed":   {core.ErrFailed, 16},
			"wrapped":  {fmt.Errorf("more about it: %w", core.ErrOverflow), 7},
		}
		f := newFake()
		t.Cleanup(f.close)
		f.decide(func(op *core.Op) error {
			if string(op.Topic) == "unknown" {
				return fmt.Errorf("%w: %w", core.ErrUnknown, core.ErrFailed)
			}
			return outcomes[string(op.Topic)].err
		})
		s := serve(t, f, o, nil)
		for topic, want := range outcomes {
			wantRefusal(t, network, ask(t, network, s.addr(network), count(topic)), want.code)
			wantRefusal(t, network, ask(t, network, s.addr(network), reset(topic)), want.code)
		}
		c := dial(t, network, s.addr(network))
		send(t, c, count("unknown"))
		eventually(t, "the unknown outcome is noted", func() bool { return s.Stats().UnknownOutcomes == 1 })
		if network != "udp" {
			wantAnswer(t, answer(t, c)) // the end, and nothing before
		} else {
			send(t, c, count("good"))
			wantAnswer(t, answer(t, c), 128, 1) // nothing before it either
		}
		if state := f.state(); state["overflow"] != 0 || network != "resp" && s.Stats().Answered > 1 {
			t.Errorf("state %v, %d answered", state, s.Stats().Answered)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]server.Options{
		"Workers":           {Workers: -1},
		"MaxConns":          {MaxConns: -1},
		"MaxConnsPerSource": {MaxConnsPerSource: -5},
		"MaxInFlight":       {MaxInFlight: -1},
		"MaxInFlightBytes":  {MaxInFlightBytes: -1},
		"RefusalRate":       {RefusalRate: -1},
		"Settle":            {Settle: -time.Second},
		"ReadTimeout":       {ReadTimeout: -1},
		"WriteTimeout":      {WriteTimeout: 48 * time.Hour},
		"dispatch":          {Dispatch: "threads"},
	} {
		if _, err := server.New(nil, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}
