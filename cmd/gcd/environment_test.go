package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"gcd/internal/cmdline"
)

// TestUnknownVariables: one that looks like gcd's, and that nothing reads, is said at the start of
// a server with the nearest name, and by no other command.
func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	environ := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, envPrefix) })
	environ = append(environ, "GCD_DATADIR=elsewhere", "GCD_MAX_TOPIC=3", "GCD_TELEPHONE=3", "GCDX=3",
		"GCD_PREFIX=of the command bench", "GCD_QUIET=true", "GCD_ANY_PORT=true", // which other commands read
		"GCD_TOKEN=theirs", "GCD_TLS_CA=theirs",
		"GCD_SERVICE_HOST=10.0.0.7", "GCD_PRIMARY_SERVICE_PORT=5555", "GCD_PORT_5555_TCP_ADDR=10.0.0.7")
	cmd := exec.Command("gcd", victimArgs(t.TempDir(), "pool")...)
	cmd.Env = environ
	p := runVictim(t, cmd)
	p.waitServing(t)
	p.kill(t)
	var said []string
	for line := range strings.Lines(p.output()) {
		if strings.Contains(line, "unknown") {
			said = append(said, line)
		}
	}
	const warns = `"@level":"warn","@message":"a variable in the environment is unknown: no command of gcd reads it"`
	for i, want := range []string{
		`"did_you_mean":"GCD_DATA","variable":"GCD_DATADIR"`,
		`"did_you_mean":"GCD_MAX_TOPICS","variable":"GCD_MAX_TOPIC"`,
		`"variable":"GCD_TELEPHONE"`,
	} {
		if i >= len(said) || !strings.Contains(said[i], warns) || !strings.Contains(said[i], want) {
			t.Errorf("line %d is not of %s: %q", i+1, want, said)
		}
	}
	if len(said) != 3 || strings.Contains(p.output(), "elsewhere") {
		t.Errorf("it says %q, want 3 lines without values", said)
	}

	quiet := exec.CommandContext(t.Context(), "gcd", "version")
	quiet.Env = environ
	if out, err := quiet.CombinedOutput(); err != nil || strings.Contains(string(out), envPrefix) {
		t.Errorf("version says %s, %v", out, err)
	}
}

// TestNearestVariable looks at what is near.
func TestNearestVariable(t *testing.T) {
	t.Parallel()
	known := []string{"GCD_ADDR", "GCD_DATA", "GCD_MAX_TOPICS", "GCD_TCP", "GCD_SNAPSHOT_INTERVAL"}
	for name, want := range map[string]string{
		"GCD_DATADIR": "GCD_DATA", "GCD_DATA_DIR": "GCD_DATA", "GCD_DATE": "GCD_DATA",
		"GCD_MAXTOPICS":        "GCD_MAX_TOPICS",
		"GCD_SNAPSHOTINTERVAL": "GCD_SNAPSHOT_INTERVAL", "GCD_TELEPHONE": "", "GCD_": "",
	} {
		got := cmdline.UnknownVariables([]string{name + "=x"}, envPrefix, known)
		if len(got) != 1 || got[0].Name != name || got[0].Nearest != want {
			t.Errorf("%s: %+v, want %q", name, got, want)
		}
	}
	for _, name := range append(known, "GCD_SERVICE_HOST", "GCD_SERVICE_PORT", "GCD_PORT", "GCD_PORT_5555_UDP_PROTO",
		"PATH", "GCDX", "XGCD_DATA") {
		if got := cmdline.UnknownVariables([]string{name + "=x"}, envPrefix, known); len(got) > 0 {
			t.Errorf("%s: %+v, want nothing", name, got)
		}
	}
}
