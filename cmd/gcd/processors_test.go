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

// TestAllowWaiting: beside the processors there is room for what waits, once, unless somebody said otherwise.
func TestAllowWaiting(t *testing.T) {
	t.Parallel()
	if dispatch := os.Getenv("GCD_TEST_ALLOW_WAITING"); dispatch != "" {
		before := runtime.GOMAXPROCS(0)
		allowWaiting(server.Dispatch(dispatch))
		allowWaiting(server.Dispatch(dispatch))
		fmt.Printf("%d more\n", runtime.GOMAXPROCS(0)-before)
		return
	}
	more := "2 more\n"
	if runtime.GOOS != "linux" {
		more = "0 more\n"
	}
	for _, row := range []struct{ dispatch, env, want string }{
		{"pool", "", more},
		{"pool", "3", "0 more\n"},
		{"goroutine", "", "0 more\n"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAllowWaiting$")
		cmd.Env = append(os.Environ(), "GCD_TEST_ALLOW_WAITING="+row.dispatch, "GOMAXPROCS="+row.env)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), row.want) {
			t.Errorf("%+v: %q, %v", row, out, err)
		}
	}
}
