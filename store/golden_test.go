package store

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"gcd/store/core"
	"gcd/wal"
)

var update = flag.Bool("update", false,
	"make the golden directories of the present formats anew; those of older formats are never made anew")

// goldenState is what the directories in testdata hold: v1 was written by the first release of the
// formats, and every later one reads it.
var goldenState = map[string]core.Value{
	"orders":                   {Sum: 41, Epoch: 0},
	"invoices":                 {Sum: 3, Epoch: 2},
	"":                         {Sum: 1, Epoch: 0},
	"rechnungen/ärger":         {Sum: 1 << 40, Epoch: 0},
	"gone":                     {Sum: 0, Epoch: 1},
	"full":                     {Sum: 1<<64 - 1, Epoch: 0},
	strings.Repeat("l", 1025):  {Sum: 2, Epoch: 0},
	"behind the last snapshot": {Sum: 7, Epoch: 0},
}

func makeGolden(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s, err := open(t, dir, Options{SegmentSize: 8192, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range 41 {
		runOps(t, s, []core.Op{count("orders", 1)})
	}
	runOps(t, s,
		[]core.Op{count("invoices", 9), reset("invoices"), reset("invoices"), count("invoices", 3), count("", 1)})
	runOps(t, s, []core.Op{count("rechnungen/ärger", 1<<40), count("gone", 5), reset("gone"), count("full", 1<<64-1)})
	for range 2 {
		runOps(t, s, []core.Op{count(strings.Repeat("l", 1025), 1)})
	}
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 7 {
		runOps(t, s, []core.Op{count("behind the last snapshot", 1)})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, logName, "spare")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// TestGolden opens the directories that were kept of each format: an accidental change of a format
// fails here at once. The first is older than the mark; it is never made anew.
func TestGolden(t *testing.T) {
	t.Parallel()
	marked := filepath.Join("testdata", "v1-mark")
	if *update {
		makeGolden(t, marked)
	}
	for kept, want := range map[string]wal.MarkState{filepath.Join("testdata", "v1"): wal.MarkMissing,
		marked: wal.MarkSound} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		s := openStore(t, dir, Options{SegmentSize: 8192, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
		model := modelStore{values: goldenState}
		model.compare(t, s)
		if r := s.Recovery(); !r.Clean || r.Entries != 7 || r.Records != 7 || r.Index != 52 {
			t.Errorf("%s: recovery %+v", kept, r)
		}
		if found := s.wal.Mark(); found.State != want || want == wal.MarkSound &&
			(found.Index != 52 || !found.SyncEach) {
			t.Errorf("%s: the mark is %+v", kept, found)
		}
		if strings.Contains(log.String(), "[WARN]") {
			t.Errorf("%s: the start warns: %s", kept, log.String())
		}
	}
}
