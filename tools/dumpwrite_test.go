package tools

import (
	"bytes"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestDumpedBytes: what is written is what docs/dump.md says, byte by byte, and is read back whole;
// of a part of it nobody takes it for the whole.
func TestDumpedBytes(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	for _, format := range []string{"ndjson", "csv"} {
		for round := range 4 {
			entries, cuts := randomEntries(r, 40, 1<<40), 5
			if round > 0 {
				entries, cuts = short(entries), 50
			}
			header := DumpHeader{Store: wal.ID{1, 2, 0xff}, Index: 1 << 40}
			if r.IntN(2) == 0 {
				header.Time = time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC()
			}
			var b bytes.Buffer
			w, err := NewDumpWriter(&b, format, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Header(header); err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if err := w.Counter(&Counter{Entry: e, Time: time.Unix(1, 0)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Footer(); err != nil {
				t.Fatal(err)
			}
			h, got, err := readDump(bytes.NewReader(b.Bytes()))
			if err != nil || h != header || !slices.EqualFunc(got, entries, equalEntries) {
				t.Fatalf("%s: read back %+v with %d entries, %v; want %+v with %d", format, h, len(got), err, header,
					len(entries))
			}
			if format == "csv" && !bytes.Equal(b.Bytes(), encodeDump(format, header, entries, false)) {
				t.Error("csv: other bytes than the description has")
			}
			for range cuts {
				if _, _, err := readDump(bytes.NewReader(b.Bytes()[:r.IntN(b.Len())])); err == nil {
					t.Errorf("%s: a dump that was cut off was taken", format)
				}
			}
			if bytes.Count(b.Bytes(), []byte("\n")) != len(entries)+2+strings.Count(format, "csv") {
				t.Errorf("%s: an entry is not one line", format)
			}
			for i, c := range b.Bytes() {
				if c < ' ' && c != '\n' || c == 0x7f {
					t.Fatalf("%s: a control character at %d", format, i)
				}
			}
		}
	}
}

// TestDumpGolden: the documented examples.
func TestDumpGolden(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	header := DumpHeader{Store: wal.ID{0xab}, Index: 123, Time: at, Prefix: "a\"\n"}
	counters := []Counter{
		{Entry: snapshot.Entry{Topic: []byte("a\"\n,\\\x7f\u2028ß"), Value: core.Value{Sum: math.MaxUint64, Epoch: 7},
			Last: 120}, Time: at},
		{Entry: snapshot.Entry{Topic: []byte("\xff")}},
		{Entry: snapshot.Entry{Topic: nil, Last: 3}},
	}
	for format, want := range map[string]string{
		"ndjson": `{"gcd_dump":1,"store":"ab000000-0000-0000-0000-000000000000","index":123,` +
			`"time":"2026-01-02T03:04:05.000000006Z","prefix":"a\"\n","check":"CHECK"}
{"topic":"a\"\n,\\\u007f\u2028ß","sum":18446744073709551615,"epoch":7,"last":120,` +
			`"time":"2026-01-02T03:04:05.000000006Z"}
{"topic_hex":"ff","sum":0,"epoch":0,"last":0}
{"topic":"","sum":0,"epoch":0,"last":3}
{"entries":3,"digest":"DIGEST"}
`,
		"json": `{"header":{"gcd_dump":1,"store":"ab000000-0000-0000-0000-000000000000","index":123,` +
			`"time":"2026-01-02T03:04:05.000000006Z","prefix":"a\"\n","check":"CHECK"},
"counters":[
{"topic":"a\"\n,\\\u007f\u2028ß","sum":18446744073709551615,"epoch":7,"last":120,` +
			`"time":"2026-01-02T03:04:05.000000006Z"},
{"topic_hex":"ff","sum":0,"epoch":0,"last":0},
{"topic":"","sum":0,"epoch":0,"last":3}],
"footer":{"entries":3,"digest":"DIGEST"}}
`,
		"csv": `# gcd_dump 1 store ab000000-0000-0000-0000-000000000000 index 123` +
			` time 2026-01-02T03:04:05.000000006Z prefix "a\"\n" check CHECK
topic,sum,epoch,last,time
"a""\n,\\\u007f\u2028ß",18446744073709551615,7,120,2026-01-02T03:04:05.000000006Z
\xff,0,0,0,
"",0,0,3,
# entries 3 digest DIGEST
`,
	} {
		var b bytes.Buffer
		w, err := NewDumpWriter(&b, format, true)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Header(header)
		for i := range counters {
			err = errors.Join(err, w.Counter(&counters[i]))
		}
		if err := errors.Join(err, w.Footer()); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		got = regexp.MustCompile(`(check"?[: ]"?)[0-9a-f]{8}\b`).ReplaceAllString(got, "${1}CHECK")
		got = regexp.MustCompile(`(digest"?[: ]"?)[0-9a-f]{64}\b`).ReplaceAllString(got, "${1}DIGEST")
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", format, got, want)
		}
	}
	if _, err := NewDumpWriter(nil, "table", false); err == nil {
		t.Error("a format that is none was taken")
	}
}
