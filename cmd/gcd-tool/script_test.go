package main

import (
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gcd/internal/scripttest"
	"gcd/store"
	"gcd/store/core"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gcd-tool": main})
}

var update = flag.Bool("update", false, "rewrite the golden texts in testdata")

// TestScripts runs the command lines in testdata/script against the real main, as processes of
// their own. "go test ./cmd/gcd-tool -update" rewrites the golden help texts.
func TestScripts(t *testing.T) {
	t.Parallel()
	scripttest.Run(t, *update, nil, map[string]scripttest.Command{
		"count": cmdCount,
		"serve": cmdServe,
	})
}

// scriptOptions make small segments, and keep them.
func scriptOptions() store.Options {
	return store.Options{SegmentSize: 64 << 10, SnapshotInterval: -1, SnapshotBytes: -1,
		Retain: store.Retain{Age: 24 * time.Hour}}
}

func openScriptStore(ts *testscript.TestScript, dir string) *store.Store {
	s, err := store.Open(ts.MkAbs(dir), scriptOptions())
	ts.Check(err)
	return s
}

// count DIR TOPIC...
//
// Counts the topics in the order given, each in a record of its own, and closes the store; a topic
// with "!" before it is reset.
func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: count DIR TOPIC...")
	}
	s := openScriptStore(ts, args[0])
	for _, topic := range args[1:] {
		op := core.Op{Kind: core.Count, Topic: []byte(topic)}
		if name, reset := strings.CutPrefix(topic, "!"); reset {
			op = core.Op{Kind: core.Reset, Topic: []byte(name)}
		}
		ops := []core.Op{op}
		submit(ts.Fatalf, s, ops...)
		ts.Check(ops[0].Err)
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
