package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcd/internal/cmdline"
)

// logObjects are the lines of a log in JSON, each of which is to be an object.
func logObjects(t *testing.T, log string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(log) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Errorf("a line of the log is no JSON: %q: %v", line, err)
		}
		all = append(all, object)
	}
	return all
}

// TestFatalInJSON: what a server ends with has the form of its log, however early that is.
func TestFatalInJSON(t *testing.T) {
	t.Parallel()
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "file"), []byte("not gcd's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		env  string
		code int
		json bool
		says string
	}{
		{[]string{"--log-format", "json", "--data", foreign}, "", cmdline.ExitForeign, true, foreign},
		{[]string{"--log-format=json", "--sync", "never"}, "", cmdline.ExitUsage, true, `--sync cannot be "never"`},
		{[]string{"--sync", "never", "-log-format", "json"}, "", cmdline.ExitUsage, true, `--sync cannot be "never"`},
		{[]string{"--log-format", "json", "now"}, "", cmdline.ExitUsage, true, "takes no arguments"},
		{[]string{"--nothing"}, "GCD_LOG_FORMAT=json", cmdline.ExitUsage, true, "unknown flag --nothing"},
		{[]string{"--log-format", "text", "--nothing"}, "GCD_LOG_FORMAT=json", cmdline.ExitUsage, false,
			"unknown flag --nothing"},
		{[]string{"--log-format", "xml"}, "", cmdline.ExitUsage, false, "--log-format cannot be"},
	} {
		cmd := exec.CommandContext(t.Context(), "gcd", append([]string{"serve", "--tcp", "127.0.0.1:0", "--udp",
			""}, test.args...)...)
		cmd.Env = append(os.Environ(), test.env)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		_ = cmd.Run() // how it ended is in ProcessState
		if code := cmd.ProcessState.ExitCode(); code != test.code ||
			!strings.Contains(strings.ReplaceAll(stderr.String(), `\"`, `"`), test.says) {
			t.Errorf("%q: code %d, %s", test.args, code, stderr.String())
		}
		if !test.json {
			if !strings.HasPrefix(stderr.String(), "gcd: ") {
				t.Errorf("%q: want a line for people, it said %s", test.args, stderr.String())
			}
			continue
		}
		lines := logObjects(t, stderr.String())
		last := lines[len(lines)-1]
		if last["@level"] != "error" || last["@module"] != "gcd" || last["exit_code"] != float64(test.code) ||
			last["hint"] == nil {
			t.Errorf("%q: the last line is %v", test.args, last)
		}
	}
}

// TestTimesAreNumbers: what takes time is a number in the log, whose unit is in its name.
func TestTimesAreNumbers(t *testing.T) {
	t.Parallel()
	p := runVictim(t, exec.Command("gcd", append(victimArgs(t.TempDir(), "pool"), "--sync", "interval",
		"--sync-interval", "50ms")...))
	p.waitServing(t)
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(hang):
		t.Fatal("the server does not end")
	}
	seen := map[string]bool{}
	for _, line := range logObjects(t, p.output()) {
		for name, value := range line {
			text, isText := value.(string)
			if _, err := time.ParseDuration(text); isText && err == nil {
				t.Errorf("%s is %q in %v", name, text, line)
			}
			if strings.HasSuffix(name, "_seconds") {
				_, isNumber := value.(float64)
				seen[name] = isNumber
			}
		}
	}
	for _, name := range []string{"took_seconds", "timeout_seconds", "loses_up_to_seconds"} {
		if !seen[name] {
			t.Errorf("%s is no number in %s", name, p.output())
		}
	}
}
