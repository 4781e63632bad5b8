// Package scripttest is what the tests of gcd's programs share: they build the real program, run
// command lines out of script files against it, and put it on a terminal. No program imports it.
package scripttest

import (
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// A Command is one that scripts have in addition to those of testscript.
type Command = func(ts *testscript.TestScript, neg bool, args []string)

// Run runs the scripts in testdata/script, each as a subtest, with the commands exits and patch and
// these. With update it rewrites the golden texts in them. setup, if not nil, prepares the
// environment of each.
func Run(t *testing.T, update bool, setup func(*testscript.Env), commands map[string]Command) {
	all := map[string]Command{"exits": exits, "patch": patch}
	maps.Copy(all, commands)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each process sleeps a second before it ends
			if setup != nil {
				setup(env)
			}
			return nil
		},
		Cmds: all,
	})
}

// Build builds programs of this module into a directory that is there, and returns the path of the
// first of them.
func Build(t testing.TB, dir string, packages ...string) string {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", dir}, packages...)...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%q is not built: %v\n%s", packages, err, out)
	}
	source, err := filepath.Abs(packages[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, filepath.Base(source))
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	return program
}

// ExitCode is that of a process that was run, whose error is err.
func ExitCode(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// exits CODE PROGRAM ARGS...
//
// Runs the program and requires that it ends with the code; stdout and stderr are there for the
// commands of these names.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := ExitCode(ts, ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("%s ended with exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// patch FILE OFFSET HEX: writes bytes over a file.
func patch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: patch FILE OFFSET HEX")
	}
	offset, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	data, err := hex.DecodeString(args[2])
	ts.Check(err)
	file, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	_, err = file.WriteAt(data, offset)
	ts.Check(err)
	ts.Check(file.Close())
}
