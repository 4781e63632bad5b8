package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"gcd/server"
)

// TestAllowWaiting: beside the processors there is room for what waits, once, unless somebody said
// otherwise.
func TestAllowWaiting(t *testing.T) {
	t.Parallel()
	if dispatch := os.Getenv("GCD_TEST_ALLOW_WAITING"); dispatch != "" {
		before := runtime.GOMAXPROCS(0)
		allowWaiting(server.Dispatch(dispatch))
		allowWaiting(server.Dispatch(dispatch))
		fmt.Printf("%d more than %d\n", runtime.GOMAXPROCS(0)-before, before)
		return
	}
	more := "2 more than "
	if runtime.GOOS != "linux" {
		more = "0 more than "
	}
	for _, row := range []struct{ dispatch, env, want string }{
		{"pool", "", more},
		{"pool", "3", "0 more than "},
		{"goroutine", "", "0 more than "},
	} {
		if out := allowedWaiting(t, row.dispatch, row.env); !strings.HasPrefix(out, row.want) {
			t.Errorf("%+v: it allows %q", row, out)
		}
	}
}

// allowedWaiting is what TestAllowWaiting prints in a process of its own.
func allowedWaiting(t *testing.T, dispatch, env string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAllowWaiting$")
	cmd.Env = append(os.Environ(), "GCD_TEST_ALLOW_WAITING="+dispatch, "GOMAXPROCS="+env)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the process of the test failed: %q, %v", out, err)
	}
	return string(out)
}
