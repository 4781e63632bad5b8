package client

import (
	"context"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOptionDefaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		given Options
		over  string
		want  Options
	}{
		{Options{}, "tcp", Options{
			Network: "tcp", Timeout: 5 * time.Second, Attempts: 5, ResetAttempts: 1, MaxInFlight: 256,
		}},
		{Options{}, "udp", Options{
			Network: "udp", Timeout: 100 * time.Millisecond, Attempts: 5, ResetAttempts: 1, MaxInFlight: 256,
		}},
		{Options{}, "resp", Options{
			Network: "resp", Timeout: 5 * time.Second, Attempts: 5, ResetAttempts: 1, MaxInFlight: 16_384,
		}},
		{
			Options{Timeout: 1, Attempts: 2, ResetAttempts: 3, MaxInFlight: 4, AnyPort: true}, "udp",
			Options{Network: "udp", Timeout: 1, Attempts: 2, ResetAttempts: 3, MaxInFlight: 4, AnyPort: true},
		},
		{Options{MaxInFlight: 4}, "resp", Options{
			Network: "resp", Timeout: 5 * time.Second, Attempts: 5, ResetAttempts: 1, MaxInFlight: 4,
		}},
	} {
		test.want.Logger = slog.Default()
		if got := test.given.over(test.over); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v over %s: got %+v, want %+v", test.given, test.over, got, test.want)
		}
	}
}

// Which calls go over which network.
func TestNetworks(t *testing.T) {
	t.Parallel()
	for network, want := range map[string][2]bool{
		"": {true, true}, "tcp": {true, false}, "udp": {true, false}, "resp": {false, true},
	} {
		c := newClient(t, "", Options{Network: network})
		if got := [2]bool{c.transport != nil, c.pipeline != nil}; got != want {
			t.Errorf("network %q: the protocol and RESP are %v, want %v", network, got, want)
		}
	}
}

func TestNewRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		addr string
		opts Options
		text string // in the error; "" where there is none
	}{
		{"", Options{}, ""},
		{"127.0.0.1:5555", Options{}, ""},
		{"[::1]:5555", Options{Network: "udp"}, ""},
		{"[::1]:5555", Options{Network: "resp"}, ""},
		{"counter.example:5555", Options{}, ""},
		{":5555", Options{}, ""},
		{"127.0.0.1", Options{}, "host:port"},
		{"::1:5555", Options{}, "host:port"},
		{"127.0.0.1:", Options{}, "port from 1 to 65535"},
		{"127.0.0.1:0", Options{}, "port from 1 to 65535"},
		{"127.0.0.1:65536", Options{}, "port from 1 to 65535"},
		{"127.0.0.1:counter", Options{}, "port from 1 to 65535"},
		{"/run/gcd.sock", Options{Dial: new(net.Dialer).DialContext}, ""},
		{"", Options{Network: "udp", Dial: new(net.Dialer).DialContext}, "Dial"},
		{"", Options{Network: "unix"}, `network "unix"`},
		{"", Options{Timeout: -1}, "Timeout"},
		{"", Options{Attempts: -1}, "Attempts"},
		{"", Options{ResetAttempts: -1}, "ResetAttempts"},
		{"", Options{MaxInFlight: -1}, "MaxInFlight"},
	} {
		c, err := New(test.addr, test.opts)
		if err == nil {
			closeClient(t, c)
		}
		if (err == nil) != (test.text == "") || err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("%q, %+v: got %v, want %q", test.addr, test.opts, err, test.text)
		}
	}
}

func TestOneLiners(t *testing.T) {
	t.Parallel()
	count := func(ctx context.Context, addr string, topic ...string) (uint64, error) {
		return countAt(ctx, addr, topic)
	}
	reset := func(ctx context.Context, addr string, topic ...string) (uint64, error) {
		return 0, resetAt(ctx, addr, topic)
	}
	for _, test := range []struct {
		name  string
		call  func(ctx context.Context, addr string, topic ...string) (uint64, error)
		topic []string
		want  string // over RESP
		sum   uint64
	}{
		{"count", count, nil, "GCD.COUNT default", 2},
		{"count a topic", count, []string{"orders"}, "GCD.COUNT orders", 2},
		{"count the empty topic", count, []string{""}, "GCD.COUNT ", 2},
		{"reset", reset, nil, "GCD.RESET default", 0},
		{"reset a topic", reset, []string{"orders"}, "GCD.RESET orders", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addr := respServer(t, func(conn *respConn) {
				conn.expect(t, test.want)
				if test.sum > 0 {
					conn.send(bulk(test.sum))
				} else {
					conn.send("+OK\r\n")
				}
				conn.expectEnd(t)
			})
			sum, err := test.call(t.Context(), addr, test.topic...)
			wantSum(t, sum, err, test.sum)
		})
	}
}

func TestOneLinersTakeOneTopic(t *testing.T) {
	t.Parallel()
	_, err := Count(patient(t), "a", "b")
	wantClass(t, err, "not sent")
	wantClass(t, Reset(patient(t), "a", "b"), "not sent")
	work := func(context.Context) (string, error) { return "result", nil }
	sum, result, err := WrapDefault(work, "a", "b")(patient(t))
	wantClass(t, err, "not sent")
	if sum != 0 || result != "result" {
		t.Errorf("got %d, %q", sum, result)
	}
	sum, result, err = WrapAsyncDefault(work, "a", "b")(patient(t)).Result()
	wantClass(t, err, "not sent")
	if sum != 0 || result != "result" {
		t.Errorf("got %d, %q", sum, result)
	}
}

func TestWrapDefaultFunctionFails(t *testing.T) {
	t.Parallel()
	fail := func(context.Context) (string, error) { return "half", errWork }
	sum, result, err := WrapDefault(fail)(patient(t))
	if sum != 0 || result != "half" || err != errWork {
		t.Errorf("got %d, %q, %v", sum, result, err)
	}
	sum, result, err = WrapAsyncDefault(fail)(patient(t)).Result()
	if sum != 0 || result != "half" || err != errWork {
		t.Errorf("got %d, %q, %v", sum, result, err)
	}
}

// Who makes one call and no more is told nothing of what it costs to make others. Not parallel,
// since it changes the default logger.
func TestOneLinersLogNothing(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	log := new(said)
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	s := newOtherServer(t, "\xff\x02")
	for want := uint64(1); want < 3; want++ {
		sum, err := countAt(patient(t), s.addr, nil)
		wantSum(t, sum, err, want)
	}
	if lines := log.lines(); lines[0] != "" {
		t.Errorf("logged %q", lines)
	}
}
