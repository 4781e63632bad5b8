package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gcd/codec"
	"gcd/internal/servertest"
)

func TestCountMany(t *testing.T) {
	t.Parallel()
	const (
		ok     = "+OK\r\n"
		queued = "+QUEUED\r\n"
		taken  = ok + queued + queued + queued
		stops  = "-LOADING the server is shutting down: try again\r\n"
	)
	for _, test := range []struct {
		name, answers string
		sums          []uint64
		class         string // "partial": some were refused
		code          codec.Code
		text          string
	}{
		{"counted", taken + "*3\r\n$1\r\n1\r\n:2\r\n$20\r\n18446744073709551615\r\n",
			[]uint64{1, 2, 1<<64 - 1}, "", 0, ""},
		{"one refused", taken + "*3\r\n$1\r\n1\r\n-OOM too many topics\r\n$1\r\n3\r\n",
			[]uint64{1, 0, 3}, "partial", 6, "1 of 3"},
		{"the first refused", taken + "*3\r\n-OOM too many topics\r\n$1\r\n1\r\n$1\r\n3\r\n",
			[]uint64{0, 1, 3}, "partial", 6, "1 of 3"},
		{"the last refused", taken + "*3\r\n$1\r\n1\r\n$1\r\n2\r\n-OOM too many topics\r\n",
			[]uint64{1, 2, 0}, "partial", 6, "1 of 3"},
		{"all refused", taken + "*3\r\n-MISCONF no room\r\n-MISCONF no room\r\n-MISCONF no room\r\n",
			nil, "refused", 11, ""},
		{"not begun", "-ERR MULTI is not supported: no transactions\r\n-ERR x\r\n-ERR x\r\n-ERR x\r\n-EXECABORT x\r\n",
			nil, "refused", 1, "MULTI"},
		{"not queued", ok + queued + "-ERR topic is too long for this server\r\n" + queued + "-EXECABORT x\r\n",
			nil, "refused", 5, ""},
		{"too large", taken + "-EXECABORT Transaction discarded because what it changes may not fit\r\n",
			nil, "refused", 3, "not fit"},
		{"busy", taken + "-BUSY too many requests in flight: try again later\r\n", nil, "refused", 8, ""},
		{"stopping", ok + queued + stops, nil, "refused", 12, ""},
		{"stopping before EXEC", taken + stops, nil, "refused", 12, ""},
		{"no answer", "", nil, "unknown", 0, ""},
		{"half an answer", ok + queued, nil, "unknown", 0, ""},
		{"half of the sums", taken + "*3\r\n$1\r\n1\r\n", nil, "unknown", 0, ""},
		{"another answer to MULTI", queued, nil, "unknown", 0, "transaction"},
		{"another answer to a command", ok + ok, nil, "unknown", 0, "transaction"},
		{"a sum before EXEC", ok + ":1\r\n", nil, "unknown", 0, "transaction"},
		{"fewer sums", taken + "*2\r\n:1\r\n:2\r\n", nil, "unknown", 0, "of 3 counts"},
		{"no array", taken + "+OK\r\n", nil, "unknown", 0, "of 3 counts"},
		{"a nil array", taken + "*-1\r\n", nil, "unknown", 0, ""},
		{"a sum that is none", taken + "*3\r\n:1\r\n+OK\r\n:3\r\n", nil, "unknown", 0, "no sum"},
		{"zero", taken + "*3\r\n:1\r\n:0\r\n:3\r\n", nil, "unknown", 0, "at least 1"},
		{"done though a command was refused", ok + queued + "-ERR x\r\n" + queued + "*3\r\n:1\r\n:2\r\n:3\r\n",
			nil, "unknown", 0, "of 3 counts"},
		{"more than sums", taken + "*3\r\n:1\r\n:2\r\n:3\r\n:4\r\n", []uint64{1, 2, 3}, "", 0, ""},
	} {
		for _, whole := range []bool{true, false} {
			t.Run(fmt.Sprint(test.name, whole), func(t *testing.T) {
				t.Parallel()
				addr := respServer(t, func(conn *respConn) {
					conn.expect(t, "MULTI", "GCD.COUNT a", "GCD.COUNT b", "GCD.COUNT a", "EXEC")
					if whole {
						conn.send(test.answers)
						return
					}
					for _, b := range []byte(test.answers) {
						conn.send(string([]byte{b}))
					}
				})
				c := newClient(t, addr, Options{})
				sums, err := c.CountMany(patient(t), "a", "b", "a")
				if !slices.Equal(sums, test.sums) {
					t.Errorf("got %d, want %d", sums, test.sums)
				}
				var refusal *RefusedError
				var partial *PartialError
				switch {
				case test.class == "":
					if err != nil {
						t.Error(err)
					}
					return
				case test.class == "partial":
					wantClass(t, err, "none of them")
					if !errors.As(err, &partial) || len(partial.Refused) != 3 || Retryable(err) {
						t.Fatalf("got %v, want that one of three was refused", err)
					}
					for i, sum := range test.sums {
						switch {
						case sum > 0 && partial.Refused[i] != nil:
							t.Errorf("topic %d was counted and is refused by %v", i, partial.Refused[i])
						case sum == 0:
							wantClass(t, partial.Refused[i], "refused")
							if !errors.As(partial.Refused[i], &refusal) || refusal.Code != test.code {
								t.Errorf("topic %d was refused by %v", i, partial.Refused[i])
							}
						}
					}
				case err == nil:
					t.Fatalf("got %d, want a failure that is %s", sums, test.class)
				default:
					wantClass(t, err, test.class)
					if errors.As(err, &refusal) && refusal.Code != test.code || errors.As(err, &partial) {
						t.Errorf("got %v, want code %d", err, test.code)
					}
				}
				text := fmt.Sprint(err)
				if !strings.Contains(text, `COUNT of 3 topics "a", "b", "a"`) || !strings.Contains(text, test.text) {
					t.Errorf("%v, want %q", err, test.text)
				}
			})
		}
	}
}

// Other calls on the connection get their own answers, before and after those of a transaction,
// and a transaction that nobody waits for any more takes its answers away.
func TestCountManyBesideOthers(t *testing.T) {
	t.Parallel()
	begun1, goOn := make(chan struct{}), make(chan struct{})
	addr := respServer(t, func(conn *respConn) {
		conn.expect(t, "GCD.COUNT before", "MULTI", "GCD.COUNT a", "GCD.COUNT b", "EXEC", "GCD.COUNT after")
		close(begun1)
		receive(t, goOn)
		conn.send(bulk(1) + "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n" + bulk(2) + bulk(3) + bulk(4))
		conn.expect(t, "GCD.COUNT next")
		conn.send(bulk(5))
		conn.expectEnd(t)
	})
	c := newClient(t, addr, Options{})
	before := c.CountAsync(patient(t), "before")
	begun(c, 0, 1)
	ctx, cancel := context.WithCancel(patient(t))
	result := make(chan error, 1)
	go func() {
		_, err := c.CountMany(ctx, "a", "b")
		result <- err
	}()
	begun(c, 0, 2)
	after := c.CountAsync(patient(t), "after")
	receive(t, begun1)
	cancel()
	err := receive(t, result)
	wantClass(t, err, "unknown")
	close(goOn)
	sum, err := outcome(t, before)
	wantSum(t, sum, err, 1)
	sum, err = outcome(t, after)
	wantSum(t, sum, err, 4)
	sum, err = c.Count(patient(t), "next")
	wantSum(t, sum, err, 5)
}

func TestCountManyThatIsNotSent(t *testing.T) {
	t.Parallel()
	c := newClient(t, servertest.Absent(t, "tcp"), Options{})
	if sums, err := c.CountMany(patient(t)); len(sums) > 0 || err != nil {
		t.Errorf("no topics: %d, %v", sums, err)
	}
	_, err := c.CountMany(patient(t), "a", "b")
	wantClass(t, err, "not sent")
	for _, topics := range [][]string{
		{"a", "\xff"},
		{"a", strings.Repeat("x", 65_536)},
		make([]string, 65_537),
		slices.Repeat([]string{strings.Repeat("x", 60_000)}, 20),
	} {
		_, err := c.CountMany(patient(t), topics...)
		wantClass(t, err, "refused")
		if Retryable(err) || len(fmt.Sprint(err)) > 1000 {
			t.Error(err)
		}
	}
	_, err = newClient(t, "127.0.0.1:1", Options{Network: "udp"}).CountMany(patient(t), "a")
	wantUnsupported(t, err)
}
