package main

import (
	"bytes"
	"os/exec"
	"testing"
)

// TestClosedStdout: a number that is counted is said where nobody can have got it.
func TestClosedStdout(t *testing.T) {
	t.Parallel()
	p := runVictim(t, exec.Command("gcd", victimArgs(t.TempDir(), "pool")...))
	p.waitServing(t)
	defer p.kill(t)
	for _, test := range []struct{ redirect, stdout, stderr string }{
		{">&-", "", "gcd: stdout was closed, or is the null device: the number is 1\n"},
		{">/dev/null", "", ""},
		{"", "3\n", ""},
	} {
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "exec gcd count --addr "+p.tcp+" t "+test.redirect)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil || stdout.String() != test.stdout || stderr.String() != test.stderr {
			t.Errorf("%q: %v, %q, %q, want %q, %q", test.redirect, err, stdout.String(), stderr.String(),
				test.stdout, test.stderr)
		}
	}
}
