package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"gcd/internal/thin"
	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
)

// importText imports a table into a directory that is not there.
func importText(t testing.TB, table string, o ImportOptions) (dir string, r Imported, err error) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	o.SegmentSize = testSegment
	r, err = Import(t.Context(), strings.NewReader(table), dir, o)
	return dir, r, err
}

// csvText is a field as every writer of CSV writes it.
func csvText(topic string) string {
	return `"` + strings.ReplaceAll(topic, `"`, `""`) + `"`
}

// TestImport imports random tables with memory for all, some and one of their topics, in pieces of
// all sizes: the store has each topic with its sum and counts on from there, and its backup can be
// restored.
func TestImport(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round, memory := range []int{0, 1, 2000, 20_000} {
		want := map[string]core.Value{
			"": {Sum: 3}, ",": {Sum: 4}, `"`: {Sum: 5}, "a\r\nb\n": {Sum: 6}, `back\slash`: {Sum: 7},
			" blank ": {Sum: 8}, "#": {Sum: 9}, "é\u2028": {Sum: 10},
			"topic": {Sum: 11}, strings.Repeat(`"`, core.MaxTopicLen): {Sum: math.MaxUint64},
			strings.Repeat("long", 1000): {Sum: 1}, "\x00": {Sum: 1},
		}
		if round == 1 { // it is looked at anew with each byte that comes
			delete(want, strings.Repeat(`"`, core.MaxTopicLen))
		}
		for range r.IntN(300) {
			want[fmt.Sprintf("t%x", r.Uint64())] = core.Value{Sum: 1 + r.Uint64()>>r.IntN(64)}
		}
		var table strings.Builder
		if round%2 == 0 {
			table.WriteString("\uFEFFtopic,sum\r\n")
		}
		table.WriteString("never counted,0\n")
		topics := slices.Sorted(maps.Keys(want)) // so that the seed alone says in which order
		r.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
		for _, topic := range topics {
			field := topic
			if topic == "" || strings.ContainsAny(topic, "\",\n") || r.IntN(2) == 0 {
				field = csvText(topic)
			}
			fmt.Fprintf(&table, "%s,%d%s", field, want[topic].Sum, []string{"\n", "\r\n"}[r.IntN(2)])
		}
		var from io.Reader = strings.NewReader(table.String())
		if round == 1 {
			from = iotest.OneByteReader(from)
		}
		dir := filepath.Join(t.TempDir(), "data")
		got, err := Import(t.Context(), from, dir, ImportOptions{SegmentSize: testSegment, memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		m, entries := readEntries(t, dir)
		if got.Topics != uint64(len(want)) || got.Zeros != 1 || got.Store != m.Store {
			t.Errorf("imported %+v, want %d topics of %s", got, len(want), m.Store)
		}
		if !equalValues(valuesOf(entries), want) {
			t.Errorf("%d entries, want %d, or others", len(entries), len(want))
		}
		for _, e := range entries { // so that a topic that was counted since is told from it
			if e.Last != 1 {
				t.Errorf("topic %.64q is of record %d, want 1", e.Topic, e.Last)
			}
		}
		onlyNames(t, filepath.Dir(dir), "data")
		checkModes(t, dir)

		if v, err := Verify(t.Context(), dir, VerifyOptions{}); err != nil || v.Err() != nil {
			t.Errorf("verify: %v, %v", err, v.Err())
		}
		dump := filepath.Join(t.TempDir(), "dump")
		file, err := os.Create(dump)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewDumpWriter(file, "ndjson", false)
		if err == nil {
			_, err = Dump(t.Context(), dir, w, DumpOptions{})
		}
		if err = errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(t.TempDir(), "again")
		if _, err := Restore(t.Context(), dump, again, RestoreOptions{SegmentSize: testSegment}); err != nil {
			t.Fatal(err)
		}
		if !equalValues(sums(t, again), want) {
			t.Error("a restore of its backup has other counters")
		}
		if !equalValues(sums(t, dir), want) {
			t.Error("the store that starts has other counters")
		}
	}
}

// TestImportWrong names each line that is wrong by its number, and makes nothing.
func TestImportWrong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", core.MaxTopicLen+1)
	for _, test := range []struct {
		table string
		want  string // lines of the error, of which each is to contain one
	}{
		{"a\n", "line 1: it is not topic,sum"},
		{"a;1\n", "line 1: it is not topic,sum"},
		{"a\t1\n", "line 1: it is not topic,sum"},
		{"a,1\n\nb,2\n", "line 2: it is empty"},
		{"a,1,2\n", "line 1: it has more than two fields"},
		{"a,1\nname,value\n", `line 2: the sum "value" is no whole number`},
		{"a,1\ntopic,sum\n", `line 2: the sum "sum" is no whole number`},
		{"a,-1\nb,1.5\nc,1e3\nd, 1\ne,+1\nf,\n",
			"line 1: the sum \"-1\"\nline 2: the sum \"1.5\"\nline 3: the sum \"1e3\"\nline 4: the sum \" 1\"\n" +
				"line 5: the sum \"+1\"\nline 6: the sum \"\""},
		{"a,18446744073709551615\nb,18446744073709551616\n",
			`line 2: the sum "18446744073709551616" is no whole number from 0 to 18446744073709551615`},
		{"a,\"1\"\nb,\"1\nc,1\n", "line 2: the sum \"\\\"1\""},
		{"a,1\n\xff,2\n\"\xe9\",3\n",
			"line 2: the topic \"\\xff\" is not UTF-8\nline 3: the topic \"\\xe9\" is not UTF-8"},
		{long + ",1\nb,1\n", "line 1: the topic has 65536 bytes, the longest may have 65535"},
		{strings.Repeat(long, 5) + ",1\nb,x\n", "line 1: the line is longer than 262144 bytes\nline 2: the sum"},
		{`"` + strings.Repeat(long+"\n", 5) + "b,x\n",
			"line 1: the quote (\") that it begins with has no end\nline 2: it is not\nline 3: it is not\nline 4: " +
				"it is not\nline 5: it is not\nline 6: the sum"},
		{"\"a,1\nb,2\nc,x\n", "line 1: the quote (\") that it begins with has no end\nline 3: the sum"},
		{"\"a\" ,1\n", "line 1: it is not topic,sum"},
		{"a\"b,1\n", "line 1: the topic \"a\\\"b\" has a quote"},
		{",1\n\"\",1\n", "line 1: the topic is missing"},
		{"a,1\nb,2", "line 2: the line has no end"},
		{"a,1\n\"b\nc\",2\nd,x\n", "line 4: the sum"},
		{"a,1\nb,1\na,2\nb,2\na,1\n", "line 3: the topic \"a\" is on line 1\nline 4: the topic \"b\" is on line 2\n" +
			"line 5: the topic \"a\" is on line 1"},
		{"a,0\na,1\n", "line 2: the topic \"a\" is on line 1"},
		{"\x1f\x8b\x08\x00", "line 1: it is compressed with gzip"},
		{"# gcd_dump 1 store\n", "line 1: this is a dump"},
		{"{\"gcd_dump\":1\n", "line 1: this is a dump"},
		{"BZh91AY&SYabc\n", "line 1: it is compressed with bzip2"},
		{"\xfd7zXZ\x00\x00\n", "line 1: it is compressed with xz"},
		{"\x28\xb5\x2f\xfd\n\n", "line 1: it is compressed with zstd"},
		{"PK\x03\x04\n\n", "line 1: it is a zip archive, or a workbook"},
		{"\xff\xfea\x00,\x001\x00\n\x00", "line 1: it is UTF-16"},
		{"\xfe\xff\x00a\x00,\x001\x00\n", "line 1: it is UTF-16"},
		{"name,value\na,1\n", `line 1: the sum "value" is no whole number from 0 to 18446744073709551615; the ` +
			`names of columns have to be topic,sum`},
		{"\"sum\",\"topic\"\na,1\n", `line 1: the sum "topic" is no whole number`},
	} {
		for _, memory := range []int{0, 1} {
			dir, _, err := importText(t, test.table, ImportOptions{memory: memory})
			var wrong *ImportError
			if !errors.As(err, &wrong) {
				t.Errorf("%.40q: the import returned %v, want an ImportError", test.table, err)
				continue
			}
			lines, want := strings.Split(wrong.Error(), "\n"), strings.Split(test.want, "\n")
			if wrong.Total != uint64(len(want)) || !slices.EqualFunc(lines, want, strings.HasPrefix) {
				t.Errorf("%.40q: %q, want %q", test.table, lines, want)
			}
			onlyNames(t, filepath.Dir(dir))
		}
	}
}

// TestImportManyWrong: of many wrong lines the first are named, and all counted.
func TestImportManyWrong(t *testing.T) {
	t.Parallel()
	_, _, err := importText(t, strings.Repeat("a\n", maxBadLines+5), ImportOptions{})
	var wrong *ImportError
	if !errors.As(err, &wrong) || len(wrong.Lines) != maxBadLines || wrong.Total != maxBadLines+5 ||
		!strings.HasSuffix(err.Error(), "\nand 5 more") {
		t.Errorf("the error has not all its lines, or not how many more: %.200v", err)
	}
}

// TestImportNothing: a table without a topic that was counted looks like a query that failed.
func TestImportNothing(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"", "topic,sum\n", "\uFEFFTopic,Sum\r\n", "\"topic\",\"sum\"\n",
		"\uFEFF\"Topic\",Sum\r\n", "a,0\n"} {
		dir, _, err := importText(t, table, ImportOptions{})
		if !errors.Is(err, ErrNothingToImport) {
			t.Errorf("%q: the import returned %v, want ErrNothingToImport", table, err)
		}
		onlyNames(t, filepath.Dir(dir))
	}
}

// TestImportPlace: nothing is made where something is, nor below what is not there, and a directory
// that is empty gets the store.
func TestImportPlace(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	used, empty := filepath.Join(parent, "used"), filepath.Join(parent, "empty")
	old := oldStore(t, used)
	if err := os.Mkdir(empty, 0o750); err != nil {
		t.Fatal(err)
	}
	o := ImportOptions{SegmentSize: testSegment, LockWait: -1} // what was not released is found busy
	unread := iotest.ErrReader(errors.New("it was read"))
	if _, err := Import(t.Context(), unread, used, o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a store: %v", err)
	}
	if _, err := Import(t.Context(), unread, filepath.Join(parent, "not", "there"), o); err == nil ||
		!strings.Contains(err.Error(), "there is no directory") {
		t.Errorf("below what is not there: %v", err)
	}
	if _, err := Import(t.Context(), unread, empty, o); err == nil || !strings.Contains(err.Error(), "it was read") {
		t.Errorf("a table that cannot be read: %v", err)
	}
	onlyNames(t, parent, "empty", "used")
	onlyNames(t, empty)
	if _, err := Import(t.Context(), strings.NewReader("a,7\n"), empty, o); err != nil {
		t.Error(err)
	}
	onlyNames(t, parent, "empty", "used")
	if got := sums(t, empty); got["a"].Sum != 7 {
		t.Errorf("the store has %v", got)
	}
	if now := sums(t, used); len(now) != len(old) {
		t.Errorf("the store that was there has %v", now)
	}
}

// TestImportStopped stops an import at each operation on the disk and at each of its steps: nothing
// is there, or the store, and no part.
func TestImportStopped(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"error", "error afterwards"} {
		for n := 1; ; n += thin.Step(3) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "data")
			i := interruption{way: way, n: n}
			_, err := Import(t.Context(), strings.NewReader("b,2\na,1\n"), dir,
				ImportOptions{SegmentSize: smallSegment, memory: 1, seams: seams{step: i.step, fs: i.disk()}})
			if i.over(t, err) {
				break
			}
			if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
				onlyNames(t, parent)
				continue
			}
			onlyNames(t, parent, "data")
			if got := sumsOf(t, openDir(t, dir, smallSegment)); len(got) != 2 || got["b"].Sum != 2 {
				t.Errorf("%s: the store has %v", i.what, got)
			}
		}
	}
}

// TestImportInterrupted ends an import while it reads, sorts and builds.
func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	for i := range 3 * progressEvery {
		fmt.Fprintf(&table, "topic-%d,1\n", i*7919%(3*progressEvery))
	}
	phases := map[string]bool{}
	for _, phase := range []string{"reading", "checking", "building", "reading back"} {
		ctx, cancel := context.WithCancel(t.Context())
		dir := filepath.Join(t.TempDir(), "data")
		_, err := Import(ctx, strings.NewReader(table.String()), dir,
			ImportOptions{SegmentSize: testSegment, Progress: func(p Progress) {
				if p.Phase == phase {
					phases[phase] = true
					cancel()
				}
			}})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted while %s: %v", phase, err)
		}
		onlyNames(t, filepath.Dir(dir))
	}
	if len(phases) != 4 {
		t.Errorf("only these phases were reached: %v", phases)
	}
}

// TestImportSyncs: everything of the new directory is durable before it gets its name, and that
// name before Import returns.
func TestImportSyncs(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	w := newPowerWatch(t, dir)
	o := ImportOptions{SegmentSize: smallSegment, seams: seams{fs: w.disk(vfs.OS{})}}
	if _, err := Import(t.Context(), strings.NewReader("a,1\n"), dir, o); err != nil {
		t.Fatal(err)
	}
	w.end()
}

// TestImportNoRoom: what is wrong with the disk is said as it is, and nothing is left.
func TestImportNoRoom(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	parent := t.TempDir()
	disk := vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindWrite {
			return vfstest.Fail(full)
		}
		return vfstest.Outcome{}
	})
	o := ImportOptions{SegmentSize: smallSegment, seams: seams{fs: disk}}
	_, err := Import(t.Context(), strings.NewReader("a,1\n"), filepath.Join(parent, "data"), o)
	if !errors.Is(err, full) {
		t.Error(err)
	}
	onlyNames(t, parent)
	o = ImportOptions{TempDir: filepath.Join(parent, "nowhere"), memory: 1}
	_, err = Import(t.Context(), strings.NewReader("a,1\nb,1\n"), filepath.Join(parent, "data"), o)
	if !errors.Is(err, ErrTemp) {
		t.Error(err)
	}
	onlyNames(t, parent)
}
