package server_test

import (
	"fmt"
	"strings"
	"testing"

	"gcd/server"
)

// The conformance suite: the protocol's literal bytes through raw sockets, for every network,
// dispatch and carrier.

func TestCountValuesAndWidths(t *testing.T) {
	t.Parallel()
	eachCarriedCell(t, func(t *testing.T, network string, o server.Options) {
		s, f := serveFake(t, o)
		for _, c := range []struct {
			before uint64
			want   []byte
		}{
			{0, []byte{128, 1}},
			{1, []byte{128, 2}},
			{126, []byte{128, 127}},
			{127, []byte{128, 128}},
			{254, []byte{128, 255}},
			{255, []byte{128, 1, 0}},
			{256, []byte{128, 1, 1}},
			{65534, []byte{128, 255, 255}},
			{65535, []byte{128, 1, 0, 0}},
			{1<<24 - 1, []byte{128, 1, 0, 0, 0}},
			{1<<32 - 1, []byte{128, 1, 0, 0, 0, 0}},
			{1<<56 - 1, []byte{128, 1, 0, 0, 0, 0, 0, 0, 0}},
			{1<<64 - 2, []byte{128, 255, 255, 255, 255, 255, 255, 255, 255}},
		} {
			f.setSum("orders", c.before)
			wantAnswer(t, ask(t, network, s.addr(network), []byte("\x00orders")), c.want...)
		}
	})
}

func TestCountIsDensePerTopic(t *testing.T) {
	t.Parallel()
	eachCarriedCell(t, func(t *testing.T, network string, o server.Options) {
		s, _ := serveFake(t, o)
		for n := 1; n <= 300; n++ {
			want := []byte{128, byte(n)}
			if n > 255 {
				want = []byte{128, byte(n >> 8), byte(n)}
			}
			wantAnswer(t, ask(t, network, s.addr(network), []byte("\x00default")), want...)
			if n == 10 {
				wantAnswer(t, ask(t, network, s.addr(network), []byte("\x00another")), 128, 1)
			}
		}
	})
}

func TestReset(t *testing.T) {
	t.Parallel()
	eachCarriedCell(t, func(t *testing.T, network string, o server.Options) {
		s, f := serveFake(t, o)
		f.setSum("orders", 65535)
		f.setSum("others", 7)
		wantAnswer(t, ask(t, network, s.addr(network), []byte("\x00orders")), 128, 1, 0, 0)
		wantAnswer(t, ask(t, network, s.addr(network), []byte("\x01orders")), 129)
		wantAnswer(t, ask(t, network, s.addr(network), []byte("\x00orders")), 128, 1)
		wantAnswer(t, ask(t, network, s.addr(network), []byte("\x01never counted")), 129)
		wantAnswer(t, ask(t, network, s.addr(network), []byte("\x00others")), 128, 8)
	})
}

// A wrapped function runs first and is stamped afterwards: the stamps of functions that ran one
// after another grow, also when several callers share the topic.
func TestWrap(t *testing.T) {
	t.Parallel()
	eachCarriedCell(t, func(t *testing.T, network string, o server.Options) {
		s, _ := serveFake(t, o)
		const callers, calls = 8, 20
		stamps := make(chan uint64, callers*calls)
		failures := make(chan error, callers)
		for range callers {
			go func() {
				var last uint64
				for range calls {
					got, err := tryAsk(network, s.addr(network), []byte("\x00wrapped"))
					if err != nil {
						failures <- err
						return
					}
					stamp := sum(got)
					if stamp <= last {
						failures <- fmt.Errorf("stamp %d after %d", stamp, last)
						return
					}
					last = stamp
					stamps <- stamp
				}
				failures <- nil
			}()
		}
		for range callers {
			if err := await(t, "a client is done", failures); err != nil {
				t.Fatal(err)
			}
		}
		close(stamps)
		seen := make(map[uint64]bool)
		for n := range stamps {
			if n == 0 || n > callers*calls || seen[n] {
				t.Fatalf("stamp %d is out of range or came twice", n)
			}
			seen[n] = true
		}
	})
}

func TestTopics(t *testing.T) {
	t.Parallel()
	eachCarriedCell(t, func(t *testing.T, network string, o server.Options) {
		s, f := serveFake(t, o)
		topics := []string{"", "a", "naïve café", "日本語", "🧮", "e\u0301", "with\x00zero", "line\nbreak", " ", "*",
			"GET /", strings.Repeat("x", 534), strings.Repeat("x", 535), strings.Repeat("x", 536),
			strings.Repeat("y", 1400), strings.Repeat("ü", 5000)}
		for _, topic := range topics {
			wantAnswer(t, ask(t, network, s.addr(network), count(topic)), 128, 1)
			wantAnswer(t, ask(t, network, s.addr(network), count(topic)), 128, 2)
		}
		state := f.state()
		for _, topic := range topics {
			if state[topic] != 2 {
				t.Errorf("topic %.20q has sum %d, want 2", topic, state[topic])
			}
		}
		if len(state) != len(topics) {
			t.Errorf("%d topics were made of %d", len(state), len(topics))
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	eachCarriedCell(t, func(t *testing.T, network string, o server.Options) {
		o.RefusalRate = 1000 // above what this test asks for
		o.NoRESP = network != "resp"
		s, f := serveFake(t, o)
		refused := func(msg []byte, code byte) {
			t.Helper()
			wantRefusal(t, network, ask(t, network, s.addr(network), msg), code)
		}
		for op := 2; op < 128; op++ {
			refused([]byte{byte(op), 'x'}, 2)
		}
		if network != "udp" {
			for op := 128; op < 256; op++ {
				refused([]byte{byte(op), 'x'}, 2)
			}
		}
		refused([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 2)
		refused([]byte{2}, 2)
		for _, bad := range []string{"\xff", "a\xffb", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "ab\xc3",
			"\xe6\x97", "\xf0\x9f\xa7"} {
			refused(count(bad), 4)
			refused(reset(bad), 4)
		}
		if state := f.state(); len(state) != 0 {
			t.Errorf("refused requests changed the state to %v", state)
		}
		wantAnswer(t, ask(t, network, s.addr(network), count("still served")), 128, 1)
		if got := s.Stats().Refused; got[4] != 18 {
			t.Errorf("%v refusals counted, want 18 with code 4", got)
		}
	})
}
