package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gcd/internal/cmdline"
	"gcd/loadgen"
	"gcd/server"
)

// TestBenchVerifies counts over each door of a server with a real store, with everything verified.
func TestBenchVerifies(t *testing.T) {
	t.Parallel()
	for _, dispatch := range []server.Dispatch{server.Pool, server.Goroutine} {
		tcp, udp := serveFor(t, dispatch)
		for _, flags := range []string{
			"--network tcp", "--network udp", "--network resp", "--network resp --pipeline 16",
		} {
			t.Run(fmt.Sprintf("%s %s", dispatch, flags), func(t *testing.T) {
				t.Parallel()
				addr := tcp
				if strings.Contains(flags, "udp") {
					addr = udp
				}
				args := strings.Fields("gcd bench --yes --verify --json --quiet --clients 16 --threads 2 --topics " +
					"5 --dist zipf --warmup 1ms --requests 2000 --timeout 1m --addr " + addr + " " + flags)
				var stdout, stderr bytes.Buffer
				if code := run(t.Context(), args, &stdout, &stderr); code != cmdline.ExitOK || stderr.Len() > 0 {
					t.Fatalf("exit code %d, stderr %q, stdout %q", code, stderr.String(), stdout.String())
				}
				var result struct {
					Answers  uint64
					Prefix   string
					Errors   loadgen.Errors
					Latency  map[string]float64 `json:"latency_microseconds"`
					Verified loadgen.Verification
				}
				if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
					t.Fatalf("bench has printed no JSON: %v: %s", err, stdout.String())
				}
				v := result.Verified
				if result.Answers != 2000 || result.Errors.Total() != 0 || !v.OK() || v.Values < 2000 ||
					v.Topics != 5 || v.Explained != 0 {
					t.Errorf("want 2000 verified answers to 5 topics, and no error; it printed %s", stdout.String())
				}
				if p50, most := result.Latency["p50"], result.Latency["max"]; p50 <= 0 || p50 > most {
					t.Errorf("latencies %v", result.Latency)
				}
				// The run has topics of its own.
				if len(result.Prefix) != len("bench:0123456789ab:") || !strings.HasPrefix(result.Prefix, "bench:") {
					t.Errorf("prefix %q", result.Prefix)
				}
			})
		}
	}
}

// lyingServer answers every datagram with the sum 1.
func lyingServer(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		request := make([]byte, 1024)
		for {
			_, from, err := conn.ReadFrom(request)
			if err != nil {
				return
			}
			conn.WriteTo([]byte{0x80, 1}, from)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

func TestBenchFindsLies(t *testing.T) {
	t.Parallel()
	addr := lyingServer(t)
	args := []string{"gcd", "bench", "--yes", "--addr", addr, "--network", "udp", "--requests", "10",
		"--clients", "1", "--warmup", "0s", "--timeout", "1m"}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), append(args, "--verify"), &stdout, &stderr); code != cmdline.ExitFailure {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if !strings.Contains(stdout.String(), "NOT VERIFIED, of all 1 value of 1 topic") ||
		!strings.Contains(stdout.String(), "handed out 1 twice") {
		t.Errorf("stdout %s", stdout.String())
	}
	if !strings.Contains(stderr.String(), "the server handed out wrong values: 9 came twice") {
		t.Errorf("stderr %s", stderr.String())
	}
	if code := run(t.Context(), args, &stdout, &stderr); code != cmdline.ExitOK {
		t.Errorf("exit code %d without --verify: %s", code, stderr.String())
	}
}

func TestBenchFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		clients, threads int
		files            uint64
		ok               bool
	}{
		{64, 1, 1024, true},
		{1000, 1, 1000 + benchFiles + 2, true}, {1001, 1, 1000 + benchFiles + 2, false},
		{1000, 2, 1000 + benchFiles + 2, false},
		{1, 1, 1, false}, {loadgen.MaxClients, 1, 1<<64 - 1, true}, {loadgen.MaxClients, 1, 1 << 16, false},
		{loadgen.MaxClients + 1, 1, 1 << 16, true}, // that is wrong whatever the limit
	} {
		err := roomForClients("--clients", test.clients, test.threads, test.files)
		if (err == nil) != test.ok || err != nil && !strings.Contains(err.Error(),
			fmt.Sprintf("--clients is %d: the limit of open files, %d, ", test.clients, test.files)) {
			t.Errorf("%+v: whether there are files enough, it says %v", test, err)
		}
	}
}

// TestBenchInterrupted: what was measured is printed.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var stdout, stderr bytes.Buffer
	args := []string{"gcd", "bench", "--addr", lyingServer(t), "--yes", "--network", "udp", "--duration", "1m",
		"--quiet"}
	if code := run(ctx, args, &stdout, &stderr); code != cmdline.ExitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stdout.String(), "requests/s") || stderr.String() != "gcd: interrupted\n" {
		t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
	}
}

// TestBenchCodes: the worst of what happened decides.
func TestBenchCodes(t *testing.T) {
	t.Parallel()
	causes := [3]error{errors.New("full"), errors.New("no route"), errors.New("silence")}
	some, none := loadgen.NewHistogram(), loadgen.NewHistogram()
	if err := some.RecordValue(1000); err != nil {
		t.Fatal(err)
	}
	wrong := &loadgen.Verification{Duplicates: 2, Gaps: 1}
	for _, test := range []struct {
		result loadgen.Result
		code   int
		text   string
	}{
		{loadgen.Result{}, cmdline.ExitOK, ""},
		{loadgen.Result{Latency: none}, cmdline.ExitFailure,
			"nothing was measured: no request after the warm-up was answered"},
		{loadgen.Result{Latency: none, Interrupted: true}, cmdline.ExitInterrupted, "interrupted"},
		{loadgen.Result{Latency: none, Errors: loadgen.Errors{NotSent: 2}}, cmdline.ExitNotSent, "2 requests not sent"},
		{loadgen.Result{Verified: &loadgen.Verification{Explained: 1}}, cmdline.ExitOK, ""},
		{loadgen.Result{Errors: loadgen.Errors{NotSent: 2}}, cmdline.ExitNotSent,
			"2 requests not sent, the first: no route"},
		{loadgen.Result{Errors: loadgen.Errors{NotSent: 2, Refused: 1}}, cmdline.ExitFailure,
			"1 request refused, the first: full"},
		{loadgen.Result{Errors: loadgen.Errors{NotSent: 2, Refused: 1, Unknown: 1234}}, cmdline.ExitUnknown,
			"1,234 requests without an answer, the first: silence"},
		{loadgen.Result{Errors: loadgen.Errors{Unknown: 1}, Interrupted: true}, cmdline.ExitInterrupted, "interrupted"},
		{loadgen.Result{Errors: loadgen.Errors{Unknown: 1}, Interrupted: true, Verified: wrong}, cmdline.ExitFailure,
			"2 came twice, 1 missing without a reason"},
	} {
		test.result.Causes = causes
		if test.result.Latency == nil {
			test.result.Latency = some
		}
		var stderr bytes.Buffer
		if code := report(&stderr, benchFailure(&test.result)); code != test.code ||
			!strings.Contains(stderr.String(), test.text) {
			t.Errorf("%+v: exit code %d, %q", test.result.Errors, code, stderr.String())
		}
	}
}

func TestBenchTable(t *testing.T) {
	t.Parallel()
	latencies := loadgen.NewHistogram()
	for i := range int64(10_000) {
		if err := latencies.RecordValue((i + 1) * 1000); err != nil {
			t.Fatal(err)
		}
	}
	result := &loadgen.Result{
		Options: loadgen.Options{Network: loadgen.RESP, Addr: "host:1", Clients: 64, Pipeline: 16, Topics: 1_000_000,
			Dist: loadgen.Uniform, Rate: 5000, Warmup: time.Second},
		Elapsed: 2500 * time.Millisecond, Latency: latencies,
		Errors: loadgen.Errors{Unknown: 4}, Unsent: 1234,
		Verified: &loadgen.Verification{Topics: 1, Values: 10_000, Explained: 3},
	}
	want := `resp to host:1, 64 clients, pipeline 16, 1,000,000 topics uniform, open loop at 5,000 requests/s: 10,000 answers in 2.5s after 1s of warm-up

  requests/s      p50      p90      p99    p99.9      max  refused  not sent  unknown
       4,000  5.00 ms  9.00 ms  9.90 ms  9.99 ms  10.0 ms        0         0        4

The rate was not reached: 5,000 requests/s asked for, 4,000 reached, 1,234 requests due and never sent, since all clients waited for answers.

Verified, of all 10,000 values of 1 topic that came back, warm-up included: none came twice, none is below one that was there when its request was sent, and of each topic it is all from 1 up to the highest but for 3 values, no more than its requests with an unknown outcome (4 in all).
`
	if got := benchTable(result); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestBenchNothing: where nothing was measured, no latency is shown.
func TestBenchNothing(t *testing.T) {
	t.Parallel()
	result := &loadgen.Result{
		Options: loadgen.Options{Network: loadgen.UDP, Addr: "host:1", Clients: 1, Topics: 1},
		Latency: loadgen.NewHistogram(),
		Errors:  loadgen.Errors{Unknown: 4},
	}
	want := `udp to host:1, 1 client, 1 topic, closed loop: 0 answers in 0s after 0s of warm-up

  requests/s  p50  p90  p99  p99.9  max  refused  not sent  unknown
           0    –    –    –      –    –        0         0        4
`
	if got := benchTable(result); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, err := benchJSON(result); err != nil || !strings.Contains(got, `"latency_microseconds":null,`) {
		t.Errorf("of nothing the latency is %s, %v, want null", got, err)
	}
}

// TestBenchProgress: lines where there is no terminal, and none with --quiet.
func TestBenchProgress(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	sample := loadgen.Sample{Begin: begin, End: begin.Add(5 * time.Second), Left: 3 * time.Second, Ops: 50_000,
		Errors: loadgen.Errors{Unknown: 2}, Latency: loadgen.NewHistogram()}
	if err := sample.Latency.RecordValue(int64(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	quiet := newBenchProgress(&stderr, true)
	quiet.report(sample)
	quiet.end()
	if stderr.Len() > 0 {
		t.Errorf("quiet, but %q", stderr.String())
	}
	p := newBenchProgress(&stderr, false)
	p.report(sample)
	sample.Warmup = true
	p.report(sample)
	sample.Warmup, sample.Left = false, -1
	p.report(sample)
	sample.Begin = sample.End
	p.report(sample)
	p.end()
	want := `3s left: 10,000 requests/s, p50 1.00 ms, p99 1.00 ms, 2 failed
warming up: 10,000 requests/s, p50 1.00 ms, p99 1.00 ms, 2 failed
running: 10,000 requests/s, p50 1.00 ms, p99 1.00 ms, 2 failed
`
	if stderr.String() != want {
		t.Errorf("got\n%s\nwant\n%s", stderr.String(), want)
	}
}

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	for nanoseconds, want := range map[int64]string{
		0: "0.00 µs", 999: "1.00 µs", 9_994: "9.99 µs", 9_996: "10.0 µs",
		99_960: "100 µs", 999_400: "999 µs", 999_600: "1.00 ms",
		12_345_678: "12.3 ms", 999_700_000: "1.00 s", 3_600_000_000_000: "3600 s",
	} {
		if got := latency(nanoseconds); got != want {
			t.Errorf("%d: %q, want %q", nanoseconds, got, want)
		}
	}
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1,000", 999_999: "999,999", 1_000_000: "1,000,000",
	} {
		if got := thousands(n); got != want {
			t.Errorf("%d is written as %q, want %q", n, got, want)
		}
	}
}
