package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/server"
	"gcd/store"
)

// readArgs runs the flag parser over the arguments of serve and returns the settings that come of
// them.
func readArgs(t *testing.T, args ...string) settings {
	t.Helper()
	var got settings
	if err := tryArgs(t, &got, args...); err != nil {
		t.Fatal(err)
	}
	return got
}

// tryArgs is readArgs for arguments that may be wrong.
func tryArgs(t *testing.T, got *settings, args ...string) error {
	t.Helper()
	serve := serveCommand(nil)
	serve.Action = func(c *cli.Context) (err error) {
		*got, err = readSettings(c, io.Discard)
		return err
	}
	p := cmdline.Program{Name: "gcd", Commands: []*cli.Command{serve}}
	return p.Run(t.Context(), append([]string{"gcd", "serve"}, args...), io.Discard, io.Discard)
}

// TestSettings gives every flag another value than its default, and each a different one.
func TestSettings(t *testing.T) {
	t.Parallel()
	got := readArgs(t,
		"--data", "elsewhere", "--tcp", "127.0.0.1:1", "--udp", "[::1]:2", "--allow-backup",
		"--sync", "interval", "--sync-interval", "3s",
		"--snapshot-interval", "4m", "--snapshot-bytes", "5MiB", "--segment-size", "68KiB", "--retain", "3d,18MiB",
		"--max-topics", "6", "--max-topic-length", "7", "--max-connections", "8", "--max-connections-per-address", "9",
		"--max-in-flight", "10", "--max-in-flight-bytes", "17MiB", "--refusal-rate", "11",
		"--read-timeout", "12s", "--write-timeout", "13s",
		"--workers", "14", "--settle", "15ms", "--shutdown-timeout", "16s",
		"--log-level", "error", "--log-format", "json")
	if got.dir != "elsewhere" || got.shutdownTimeout != 16*time.Second || got.log.IsWarn() || !got.log.IsError() {
		t.Errorf("directory %q, timeout %v, log level %v", got.dir, got.shutdownTimeout, got.log.GetLevel())
	}
	// The options hold functions and interfaces, so they cannot be compared as a whole.
	counters, doors := got.store, got.server
	for _, field := range []struct {
		name      string
		got, want any
	}{
		{"store Sync", counters.Sync, store.SyncInterval},
		{"store SyncInterval", counters.SyncInterval, 3 * time.Second},
		{"store SnapshotInterval", counters.SnapshotInterval, 4 * time.Minute},
		{"store SnapshotBytes", counters.SnapshotBytes, int64(5 << 20)},
		{"store SegmentSize", counters.SegmentSize, int64(68 << 10)},
		{"store Retain", counters.Retain, store.Retain{Age: 72 * time.Hour, Bytes: 18 << 20}},
		{"store MaxTopics", counters.MaxTopics, 6},
		{"store MaxTopicLen", counters.MaxTopicLen, 7},
		{"server TCP", doors.TCP, "127.0.0.1:1"},
		{"server UDP", doors.UDP, "[::1]:2"},
		{"server AllowBackup", doors.AllowBackup, true},
		{"server MaxConns", doors.MaxConns, 8},
		{"server MaxConnsPerSource", doors.MaxConnsPerSource, 9},
		{"server MaxInFlight", doors.MaxInFlight, 10},
		{"server MaxInFlightBytes", doors.MaxInFlightBytes, 17 << 20},
		{"server RefusalRate", doors.RefusalRate, 11},
		{"server ReadTimeout", doors.ReadTimeout, 12 * time.Second},
		{"server WriteTimeout", doors.WriteTimeout, 13 * time.Second},
		{"server Workers", doors.Workers, 14},
		{"server Settle", doors.Settle, 15 * time.Millisecond},
	} {
		if field.got != field.want {
			t.Errorf("option %s is %v, want %v", field.name, field.got, field.want)
		}
	}
}

// TestSettingsOff: what the flags turn off with 0 or nothing must not become a default of the
// libraries.
func TestSettingsOff(t *testing.T) {
	t.Parallel()
	got := readArgs(t, "--memory", "--udp", "")
	if got.dir != "" || got.server.UDP != "" || got.server.TCP != server.DefaultAddr || got.server.NoRESP {
		t.Errorf("directory %q, TCP %q, UDP %q, RESP off: %v", got.dir, got.server.TCP, got.server.UDP,
			got.server.NoRESP)
	}
	got = readArgs(t, "--resp=false", "--dispatch", "goroutine") // beside which others have no effect
	if !got.server.NoRESP || got.server.Dispatch != server.Goroutine {
		t.Errorf("RESP off: %v, dispatch %q", got.server.NoRESP, got.server.Dispatch)
	}
	got = readArgs(t, "--snapshot-interval", "0", "--snapshot-bytes", "0")
	if got.store.SnapshotInterval >= 0 || got.store.SnapshotBytes >= 0 {
		t.Errorf("snapshots every %v and %d bytes, want never", got.store.SnapshotInterval, got.store.SnapshotBytes)
	}
}

func TestGCPercent(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{
		0: 100, 1 << 20: 100, garbageAllowance: 100, 4 * garbageAllowance: 25, 1 << 40: minGCPercent,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d live bytes: %d, want %d", live, got, want)
		}
	}
}

// TestLostLines: what was lost is said in the form of the log.
func TestLostLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"", "[WARN]  gcd: 3 lines lost: lines=3 reason="},
		{"--log-format=json", `"@level":"warn","@message":"3 lines lost"`},
	} {
		var line []byte
		serve := serveCommand(nil)
		serve.Action = func(c *cli.Context) error {
			line = lostLines(c)(3)
			return nil
		}
		p := cmdline.Program{Name: "gcd", Commands: []*cli.Command{serve}}
		args := append([]string{"gcd", "serve"}, strings.Fields(test.args)...)
		if err := p.Run(t.Context(), args, io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(line), test.want) || !strings.HasSuffix(string(line), "\n") {
			t.Errorf("%s: %q, want %q", test.args, line, test.want)
		}
	}
}
