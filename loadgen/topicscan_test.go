package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// answers is a server that says this, piece by piece, one more for each command; then it is silent,
// or ends the connection.
func answers(t *testing.T, ends bool, replies ...string) string {
	t.Helper()
	ctx := t.Context()
	return servertest.TCP(t, func(conn *net.TCPConn) {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		from := bufio.NewReader(conn)
		for _, reply := range replies {
			if _, err := servertest.Command(from); err != nil {
				return
			}
			for _, b := range []byte(reply) { // in the smallest pieces
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
			}
		}
		if ends { // in good order: to close on what was not read would reset the connection
			_ = conn.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, from)
	})
}

// page is an answer to SCAN.
func page(cursor string, topics ...string) string {
	b := fmt.Sprintf("*2\r\n$%d\r\n%s\r\n*%d\r\n", len(cursor), cursor, len(topics))
	for _, topic := range topics {
		b += fmt.Sprintf("$%d\r\n%s\r\n", len(topic), topic)
	}
	return b
}

// TestLook holds what servers say of their topics against what comes of it.
func TestLook(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65_535)
	for _, test := range []struct {
		name    string
		replies []string
		ends    bool
		network Network
		want    error  // nil: no objection
		text    string // what the error says
	}{
		{name: "empty", replies: []string{":0\r\n"}},
		{name: "its own", replies: []string{":3\r\n", page("7", "bench:1", "bench:"), page("8"), page("0",
			"bench:\r\n2")}},
		{name: "others", replies: []string{":3\r\n", page("7", "bench:1"), page("0", "orders")},
			want: &OthersError{}, text: `"orders" is one of its 3`},
		{name: "nearly", replies: []string{":1\r\n", page("0", "bench")}, want: &OthersError{}, text: `"bench"`},
		{name: "empty topic", replies: []string{":1\r\n", page("0", "")}, want: &OthersError{}, text: `""`},
		{name: "long", replies: []string{":1\r\n", page("0", long)}, want: &OthersError{}, text: long[:64]},
		{name: "refused", replies: []string{"-LOADING not yet\r\n"}, want: ErrTopicsUnknown, text: "LOADING not yet"},
		{name: "refused later", replies: []string{":1\r\n", "-BUSY no\r\n"}, want: ErrTopicsUnknown, text: "BUSY no"},
		{name: "no RESP", replies: []string{"\xff\x02no\n"}, ends: true, network: TCP, want: ErrTopicsUnknown,
			text: "unknown opcode"},
		{name: "no RESP, over it", replies: []string{"\xff\x02no"}, ends: true, network: RESP, want: ErrNoRESP},
		{name: "too many", replies: []string{"\xff\x08"}, ends: true, want: ErrTopicsUnknown, text: "code 8"},
		{name: "HTTP", replies: []string{"HTTP/1.1 400 Bad Request\r\n\r\n"}, ends: true,
			want: ErrTopicsUnknown, text: "is not RESP"},
		{name: "a line for ever", replies: []string{":" + strings.Repeat("1", 9000)}, want: ErrTopicsUnknown,
			text: "is not RESP"},
		{name: "no end of topics", replies: []string{":1\r\n", "*2\r\n$1\r\n0\r\n*99999999\r\n"},
			want: ErrTopicsUnknown, text: "is not RESP"},
		{name: "no end of a topic", replies: []string{":1\r\n", "*2\r\n$1\r\n0\r\n*1\r\n$99999999\r\n"},
			want: ErrTopicsUnknown, text: "is not RESP"},
		{name: "negative", replies: []string{":1\r\n", "*2\r\n$-1\r\n"}, want: ErrTopicsUnknown, text: "is not RESP"},
		{name: "another shape", replies: []string{":1\r\n", "*1\r\n$1\r\n0\r\n"}, want: ErrTopicsUnknown,
			text: "is not RESP"},
		{name: "wrong length", replies: []string{":1\r\n", "*2\r\n$1\r\n0xx"}, want: ErrTopicsUnknown,
			text: "is not RESP"},
		{name: "silent", want: ErrTopicsUnknown, text: "no answer within 50ms"},
		{name: "silent within", replies: []string{":1\r\n", "*2\r\n$1\r\n"}, want: ErrTopicsUnknown,
			text: "no answer within 50ms"},
		{name: "gone", ends: true, want: ErrTopicsUnknown, text: "without an answer"},
		{name: "gone within", replies: []string{":1\r\n", "*2\r\n$1\r\n0\r\n*1\r\n$9\r\nben"}, ends: true,
			want: ErrTopicsUnknown, text: "without an answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addr := answers(t, test.ends, test.replies...)
			o := Options{Network: test.network, Own: "bench:", Timeout: time.Minute}
			if strings.HasPrefix(test.name, "silent") {
				o.Timeout = 50 * time.Millisecond
			}
			err := findOthers(t.Context(), &peer{addr: addr}, &o)
			var others *OthersError
			switch {
			case test.want == nil:
				if err != nil {
					t.Error(err)
				}
				return
			case errors.As(test.want, new(*OthersError)):
				if !errors.As(err, &others) {
					t.Fatalf("%v, want others", err)
				}
			case !errors.Is(err, test.want):
				t.Fatalf("%v, want %v", err, test.want)
			}
			if !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("%q does not say %q", err, test.text)
			}
		})
	}
}

// TestLookInterrupted: the end of the context ends a look that waits.
func TestLookInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, interrupt)
	_, err := runWithin(ctx, t, Options{Addr: answers(t, false), Own: "bench:", Timeout: time.Minute})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrTopicsUnknown) {
		t.Error(err)
	}
}

// TestLookNobody: where nobody listens over TCP nothing is known of what counts over UDP.
func TestLookNobody(t *testing.T) {
	t.Parallel()
	addr := servertest.Absent(t, "tcp")
	for network, want := range map[Network]error{TCP: ErrNotReached, RESP: ErrNotReached, UDP: ErrTopicsUnknown} {
		if _, err := runWithin(t.Context(), t, Options{Network: network, Addr: addr, Own: "bench:",
			Requests: 1}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", network, err, want)
		}
	}
}
