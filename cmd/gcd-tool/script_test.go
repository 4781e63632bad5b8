package main

import (
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gcd/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gcd-tool": main})
}

var update = flag.Bool("update", false, "rewrite the golden texts in testdata")

// TestScripts runs the command lines in testdata/script against the real main, as processes of their own. "go test
// ./cmd/gcd-tool -update" rewrites the golden help texts.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // under the race detector a process would sleep a second before it ends
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": cmdExits,
			"count": cmdCount,
			"serve": cmdServe,
			"patch": cmdPatch,
		},
	})
}

// exits CODE PROGRAM ARGS...
//
// Runs the program and requires that it ends with the code; stdout and stderr are there for the commands of these names.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("%s ended with exit code %d, want %d", strings.Join(args[1:], " "), code, want)
	}
}

// scriptOptions make small segments, and keep them.
func scriptOptions() store.Options {
	return store.Options{SegmentSize: 64 << 10, SnapshotInterval: -1, SnapshotBytes: -1, Retain: store.Retain{Age: 24 * time.Hour}}
}

func openScriptStore(ts *testscript.TestScript, dir string) *store.Store {
	s, err := store.Open(ts.MkAbs(dir), scriptOptions())
	ts.Check(err)
	return s
}

// count DIR TOPIC...
//
// Counts the topics in the order given, each in a record of its own, and closes the store; a topic with "!" before it is reset.
func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: count DIR TOPIC...")
	}
	s := openScriptStore(ts, args[0])
	for _, topic := range args[1:] {
		op := store.Op{Kind: store.Count, Topic: []byte(topic)}
		if name, reset := strings.CutPrefix(topic, "!"); reset {
			op = store.Op{Kind: store.Reset, Topic: []byte(name)}
		}
		done := make(chan struct{})
		g := &store.Group{Ops: []store.Op{op}, Done: func(*store.Group) { close(done) }}
		s.Submit(g)
		<-done
		ts.Check(g.Ops[0].Err)
	}
	ts.Check(s.Close())
}

// serve DIR: has the directory, as a server does, to the end of the script.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve DIR")
	}
	s := openScriptStore(ts, args[0])
	ts.Defer(func() { _ = s.Close() }) // which the script's directory does not outlive
}

// patch FILE OFFSET HEX: writes bytes over a file.
func cmdPatch(ts *testscript.TestScript, neg bool, args []string) {
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
