package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gcd/internal/vfs"
)

// patience is longer than any test takes.
const patience = time.Minute

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string, o Options) *Log {
	t.Helper()
	l, err := Open(path, o)
	must(t, err)
	return l
}

func closeAll(t *testing.T, l *Log) {
	t.Helper()
	if !l.Close(patience) {
		t.Fatalf("not everything is written after %v", patience)
	}
}

// lines reads a file, each of whose lines has to be an object.
func lines(t *testing.T, path string) (all []line) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	for text := range strings.Lines(string(text)) {
		var l line
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&l); err != nil {
			t.Fatalf("%s has the line %q: %v", path, text, err)
		}
		all = append(all, l)
	}
	return all
}

// TestLines: what the lines look like.
func TestLines(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 3, 4, 5, 6, 700, time.FixedZone("", 3600))
	for _, c := range []struct {
		record Record
		want   string
	}{
		{Record{Event: Start}, `"start"`},
		{Record{
			Event: Reset, Principal: "ops", Source: "10.0.0.7:4711", Door: "resp", Topic: []byte("a<b"),
			Epoch: 3, Index: 9,
		}, `"reset","principal":"ops","source":"10.0.0.7:4711","door":"resp","topic":"a<b","epoch":3,"index":9`},
		{Record{Event: Delete, Topic: []byte{}}, `"delete","topic":""`},
		{Record{Event: Denied, Topic: []byte("a\n\"\\\xff\u202eä"), Reason: "it \x1b[2J"},
			`"denied","topic":"a\\n\\\"\\\\\\xff\\u202eä","reason":"it \\x1b[2J"`},
		{Record{Event: Denied, Topic: bytes.Repeat([]byte("x"), 256)},
			`"denied","topic":"` + strings.Repeat("x", 256) + `"`},
		{Record{Event: Denied, Topic: bytes.Repeat([]byte("x"), 65535)},
			`"denied","topic":"` + strings.Repeat("x", 256) + `","topic_length":65535`},
	} {
		want := `{"time":"2026-02-03T03:05:06.0000007Z","event":` + c.want + "}\n"
		if got := string(c.record.line(at)); got != want {
			t.Errorf("the line is\n%swant\n%s", got, want)
		}
	}
}

// TestOpen: a file is made for owner and group, and one that is there is written on.
func TestOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit")
	for range 2 {
		l := open(t, path, Options{})
		l.Write(Record{Event: Start})
		l.Write(Record{Event: Stop})
		closeAll(t, l)
		l.Write(Record{Event: Start}) // after Close it is lost, and nobody waits
		if n := l.LostLines(); n != 1 {
			t.Errorf("%d lines are said to be lost, want 1", n)
		}
	}
	var events []Event
	for _, l := range lines(t, path) {
		events = append(events, l.Event)
	}
	if want := []Event{Start, Stop, Start, Stop}; !slices.Equal(events, want) {
		t.Errorf("there is %q, want %q", events, want)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o640 {
		t.Errorf("the file has the mode %o (%v), want 640", info.Mode(), err)
	}
}

// TestTo: beside the lines of another log.
func TestTo(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := To(&b)
	l.Write(Record{Event: Start})
	must(t, l.Reopen())
	if !l.Close(0) || l.LostLines() != 0 || !strings.HasSuffix(b.String(), `"event":"start"}`+"\n") {
		t.Errorf("there is %q", b.String())
	}
}

// TestRotation: the file is renamed again and again while lines are written: none is lost, none is
// there twice, none is in pieces, and those of one writer keep their order.
func TestRotation(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // it renames no file that is open
	}
	const writers, each = 4, 2000
	dir := t.TempDir()
	path := filepath.Join(dir, "audit")
	l := open(t, path, Options{Bytes: 1 << 30})
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				l.Write(Record{Event: Reset, Principal: strconv.Itoa(w), Index: uint64(i + 1)})
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	files := []string{}
	for more := true; more; {
		select {
		case <-done:
			more = false
		default:
		}
		files = append(files, fmt.Sprintf("%s.%d", path, len(files)))
		must(t, os.Rename(path, files[len(files)-1]))
		must(t, l.Reopen())
	}
	closeAll(t, l)
	next := make(map[string]uint64)
	for _, file := range append(files, path) {
		for _, l := range lines(t, file) {
			if next[l.Principal]++; l.Index != next[l.Principal] {
				t.Fatalf("%s has line %d of writer %s, want %d", file, l.Index, l.Principal, next[l.Principal])
			}
		}
	}
	for w, n := range next {
		if n != each {
			t.Errorf("of writer %s there are %d lines, want %d", w, n, each)
		}
	}
	if len(next) != writers || l.LostLines() != 0 {
		t.Errorf("there are lines of %d writers, want %d; %d are lost", len(next), writers, l.LostLines())
	}
}

// TestOpenedAnewAtEachMoment: the file is opened anew so often that it happens at each moment of a
// Write. Each line is there once.
func TestOpenedAnewAtEachMoment(t *testing.T) {
	t.Parallel()
	const times = 10000
	path := filepath.Join(t.TempDir(), "audit")
	out := &output{path: path}
	file, err := vfs.OpenAppend(path, fileMode)
	must(t, err)
	out.file.Store(file)
	done := make(chan int)
	stop := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- i
				return
			default:
			}
			if _, err := fmt.Fprintln(out, i); err != nil {
				t.Errorf("line %d could not be written: %v", i, err)
			}
		}
	}()
	for range times {
		must(t, out.reopen())
	}
	close(stop)
	wrote := <-done
	must(t, out.close())
	text, err := os.ReadFile(path)
	must(t, err)
	i := 0
	for line := range strings.Lines(string(text)) {
		if line != strconv.Itoa(i)+"\n" {
			t.Fatalf("in the place of line %d there is %q", i, line)
		}
		i++
	}
	if i != wrote {
		t.Errorf("there are %d lines, want %d", i, wrote)
	}
}

// TestReopenFails: the file that was open goes on.
func TestReopenFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit")
	if runtime.GOOS == "windows" {
		return // it renames no file that is open
	}
	l := open(t, path, Options{})
	must(t, os.Rename(path, path+".1"))
	must(t, os.Mkdir(path, 0o700))
	if err := l.Reopen(); err == nil || !strings.Contains(err.Error(), "it is a directory") {
		t.Errorf("it says %v", err)
	}
	l.Write(Record{Event: Stop})
	closeAll(t, l)
	if all := lines(t, path+".1"); len(all) != 1 || all[0].Event != Stop {
		t.Errorf("there is %v", all)
	}
	must(t, os.Remove(path))
	if err := l.Reopen(); err == nil {
		t.Error("a log that is closed is opened again")
	}
}

// FuzzLine: whatever bytes a topic has, it is told in one line of JSON, and is told apart.
func FuzzLine(f *testing.F) {
	f.Add([]byte("orders"), "10.0.0.7:4711", "no")
	f.Add([]byte("\x00\xff\"\\\n\u2028\u202e"), "\x1b]0;", "\xc3")
	f.Add(bytes.Repeat([]byte("\u00e4"), 200), "", strings.Repeat("x", 300))
	f.Fuzz(func(t *testing.T, topic []byte, source, reason string) {
		text := Record{Event: Denied, Topic: topic, Source: source, Reason: reason}.line(time.Now())
		var l line
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&l); err != nil {
			t.Fatalf("%q: the line is %q: %v", topic, text, err)
		}
		if bytes.Count(text, []byte("\n")) != 1 || !bytes.HasSuffix(text, []byte("}\n")) || len(text) > 8000 {
			t.Fatalf("%q: the line is %q", topic, text)
		}
		for _, c := range string(text[:len(text)-1]) {
			if !strconv.IsPrint(c) {
				t.Fatalf("%q: the line has %q, which does not show", topic, c)
			}
		}
		if (l.Topic == nil) != (topic == nil) {
			t.Fatalf("%q: is there a topic: %t", topic, l.Topic != nil)
		}
		if topic == nil {
			return
		}
		told, err := strconv.Unquote(`"` + *l.Topic + `"`)
		if err != nil || told != string(topic[:min(len(topic), maxText)]) {
			t.Fatalf("%q is told as %q (%v)", topic, told, err)
		}
		if cut := len(topic) > maxText; cut != (l.TopicLength == len(topic)) && len(topic) > 0 {
			t.Fatalf("%q: its length is told as %d", topic, l.TopicLength)
		}
	})
}
