package tools

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"gcd/internal/thin"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// hostileTopics are hard on formats that have lines, quotes and commas.
func hostileTopics() []string {
	topics := []string{
		"", " ", "#", "# entries 0 digest 00", "# gcd_dump 1", `{"entries":0}`, "topic",
		"topic,sum,epoch,last", "orders", "a,b", `"`, `""`, `a"b`, `"quoted"`, `\`, `\n`, `\u0041`, `\\`,
		"a\nb", "\n", "\r", "\r\n", "\t", "a\tb ", " leading", "trailing ", "=1+1", "@x", "-1", "+1", "'",
		";", "|", "\x00", "\x00\x00", "\x01", "\x1b[31mred", "\x7f", "\u0080", "\u0085", "\u009f",
		"\u00a0", "\u200b", "\u200f", "\u2028", "\u2029", "\ufeff", "\ufeffbom", "\ufffd", "\ufffe", "\uffff",
		"\U0010ffff", "\U0001f600", "<b>&amp;</b>", `\.`,
		"Ελληνικά", "русский", "עברית", "العربية", "हिन्दी", "ไทย", "한국어", "日本語", "中文", "ქართული", "አማርኛ",
		"தமிழ்", "é", "e\u0301", "𐍈𐌰", "👩‍👩‍👧",
		"\xff", "a\xe2\x82", "\xc0\x80\n", strings.Repeat("\xfe", core.MaxTopicLen), strings.Repeat("k",
			1024), strings.Repeat("k", 1025), strings.Repeat("é", 513),
		strings.Repeat("\x00", core.MaxTopicLen), strings.Repeat("\n", core.MaxTopicLen), strings.Repeat(`"`,
			core.MaxTopicLen), strings.Repeat(`\`, core.MaxTopicLen),
		strings.Repeat("日", core.MaxTopicLen/3), strings.Repeat("\u2028", core.MaxTopicLen/3),
	}
	for c := range rune(0x100) {
		topics = append(topics, "c"+string(c))
	}
	return topics
}

// short leaves out the longest topics, which cost a thousand times as much as others, for what is
// done many times.
func short(entries []snapshot.Entry) []snapshot.Entry {
	return slices.DeleteFunc(entries, func(e snapshot.Entry) bool { return len(e.Topic) > 2000 })
}

// randomEntries are entries of hostile and random topics in their order, none newer than index.
func randomEntries(r *rand.Rand, n int, index uint64) []snapshot.Entry {
	topics := hostileTopics()
	r.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
	topics = topics[:r.IntN(len(topics)+1)]
	for range n {
		var topic strings.Builder
		for range r.IntN(30) {
			c := rune(r.IntN(0x11_0000) >> r.IntN(16))
			if utf8.ValidRune(c) {
				topic.WriteRune(c)
			}
		}
		topics = append(topics, topic.String())
	}
	slices.SortFunc(topics, func(a, b string) int { return core.CompareTopics([]byte(a), []byte(b)) })
	var entries []snapshot.Entry
	for _, topic := range slices.Compact(topics) {
		e := snapshot.Entry{Topic: []byte(topic), Last: r.Uint64N(index + 1)}
		e.Sum, e.Epoch = r.Uint64()>>r.IntN(64), r.Uint64()>>(1+r.IntN(63))
		switch r.IntN(10) {
		case 0:
			e.Sum = math.MaxUint64
		case 1:
			e.Epoch = math.MaxInt64
		case 2:
			e.Sum = 0
		}
		entries = append(entries, e)
	}
	return entries
}

func equalEntries(a, b snapshot.Entry) bool {
	return bytes.Equal(a.Topic, b.Topic) && a.Value == b.Value && a.Last == b.Last
}

// encodeDump writes a dump from its description, not with the code that dumps.
func encodeDump(format string, h DumpHeader, entries []snapshot.Entry, times bool) []byte {
	var body bytes.Buffer
	if format == "csv" {
		body.WriteString("topic,sum,epoch,last")
		if times {
			body.WriteString(",time")
		}
		body.WriteString("\n")
	}
	for i, e := range entries {
		stamp := ""
		if times && i%2 == 0 {
			stamp = time.Unix(int64(i), 7).UTC().Format(time.RFC3339Nano)
		}
		if format == "csv" {
			fmt.Fprintf(&body, "%s,%d,%d,%d", csvTopic(string(e.Topic)), e.Sum, e.Epoch, e.Last)
			if times {
				body.WriteString("," + stamp)
			}
			body.WriteString("\n")
			continue
		}
		topic := `"topic":` + jsonTopic(string(e.Topic))
		if !utf8.Valid(e.Topic) {
			topic = fmt.Sprintf(`"topic_hex":"%x"`, e.Topic)
		}
		fmt.Fprintf(&body, `{%s,"sum":%d,"epoch":%d,"last":%d`, topic, e.Sum, e.Epoch, e.Last)
		if stamp != "" {
			fmt.Fprintf(&body, `,"time":"%s"`, stamp)
		}
		body.WriteString("}\n")
	}
	return frameDump(format, h, body.Bytes(), len(entries))
}

// frameDump puts a right first and last line around a body.
func frameDump(format string, h DumpHeader, body []byte, entries int) []byte {
	sum := sha256.Sum256(body)
	var first, last, check, end string
	if format == "csv" {
		first = fmt.Sprintf("# gcd_dump 1 store %s index %d", h.Store, h.Index)
		if !h.Time.IsZero() {
			first += " time " + h.Time.Format(time.RFC3339Nano)
		}
		check, end = " check ", ""
		last = fmt.Sprintf("# entries %d digest %x\n", entries, sum)
	} else {
		first = fmt.Sprintf(`{"gcd_dump":1,"store":"%s","index":%d`, h.Store, h.Index)
		if !h.Time.IsZero() {
			first += fmt.Sprintf(`,"time":"%s"`, h.Time.Format(time.RFC3339Nano))
		}
		check, end = `,"check":"`, `"}`
		last = fmt.Sprintf("{\"entries\":%d,\"digest\":\"%x\"}\n", entries, sum)
	}
	return slices.Concat([]byte(checkedLine(first, check, end)), body, []byte(last))
}

// checkedLine is a first line with its checksum.
func checkedLine(first, check, end string) string {
	return fmt.Sprintf("%s%s%08x%s\n", first, check, crc32.Checksum([]byte(first), crc32.MakeTable(crc32.Castagnoli)),
		end)
}

func jsonTopic(topic string) string {
	return `"` + strings.ReplaceAll(escaped(topic), `"`, `\"`) + `"`
}

func csvTopic(topic string) string {
	s := escaped(topic)
	if s != "" && !strings.ContainsAny(s, `",`) && s[0] != '#' && s[0] != ' ' {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// escaped is a topic with the escapes that both formats have.
func escaped(topic string) string {
	b := []byte{}
	for i, c := range topic {
		if _, size := utf8.DecodeRuneInString(topic[i:]); c == utf8.RuneError && size == 1 {
			b = fmt.Appendf(b, `\x%02x`, topic[i])
			continue
		}
		switch {
		case c == '\\':
			b = append(b, `\\`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < 0x20, c >= 0x7f && c <= 0x9f, c == 0x2028, c == 0x2029, c == 0xfeff:
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return string(b)
}

// readDump collects what ReadDump reads.
func readDump(r io.Reader) (h DumpHeader, entries []snapshot.Entry, err error) {
	h, _, err = ReadDump(r, func(_ DumpHeader, e snapshot.Entry) error {
		e.Topic = bytes.Clone(e.Topic)
		entries = append(entries, e)
		return nil
	})
	return h, entries, err
}

func testHeader() DumpHeader {
	return DumpHeader{Store: wal.ID{0xab, 15: 0xcd}, Index: 1 << 50, Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
}

func TestReadDump(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round := 0; round < 20; round += thin.Step(3) {
		h := testHeader()
		if round%3 == 0 {
			h.Time = time.Time{}
		}
		entries := randomEntries(r, r.IntN(300), h.Index)
		switch {
		case round == 0:
			entries = nil
		case round%5 > 0:
			entries = short(entries)
		}
		for _, format := range []string{"ndjson", "csv"} {
			gotHeader, got, err := readDump(bytes.NewReader(encodeDump(format, h, entries, round%2 == 0)))
			if err != nil {
				t.Fatalf("the dump as %s is not read: %v", format, err)
			}
			if gotHeader != h {
				t.Errorf("%s: header %+v, want %+v", format, gotHeader, h)
			}
			if !slices.EqualFunc(got, entries, equalEntries) {
				t.Errorf("%s: the %d entries differ from the %d that were written", format, len(got), len(entries))
			}
		}
	}
}

func smallDump(format string) []byte {
	entries := []snapshot.Entry{
		{Topic: []byte("a"), Value: core.Value{Sum: 5, Epoch: 1}, Last: 7},
		{Topic: []byte("b,\"\n"), Value: core.Value{Sum: math.MaxUint64}},
		{Topic: []byte("ü"), Value: core.Value{Sum: 10}, Last: 9},
	}
	return encodeDump(format, testHeader(), entries, false)
}

// TestReadDumpFindsDamage cuts a dump off at each of its lengths and flips each of its bits.
func TestReadDumpFindsDamage(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"ndjson", "csv"} {
		whole := smallDump(format)
		refused := func(what string, at int, dump []byte) {
			var bad *DumpError
			if _, _, err := readDump(bytes.NewReader(dump)); !errors.As(err, &bad) {
				t.Errorf("%s: %s at byte %d of %d gives %v", format, what, at, len(whole), err)
			} else if bad.Line == 0 || bad.Line > uint64(bytes.Count(whole, []byte("\n")))+2 ||
				bad.Offset > int64(len(dump)) {
				t.Errorf("%s: %s at byte %d is said to be in line %d, offset %d", format, what, at, bad.Line,
					bad.Offset)
			}
		}
		for n := range whole {
			refused("a cut", n, whole[:n])
			for bit := range 8 {
				flipped := bytes.Clone(whole)
				flipped[n] ^= 1 << bit
				refused("bit "+strconv.Itoa(bit), n, flipped)
			}
		}
		refused("something more", len(whole), append(bytes.Clone(whole), '\n'))
		refused("the dump twice", len(whole), append(bytes.Clone(whole), whole...))
	}
}

// TestReadDumpRefuses has bodies whose digest is right.
func TestReadDumpRefuses(t *testing.T) {
	t.Parallel()
	const csvColumns = "topic,sum,epoch,last\n"
	for _, test := range []struct {
		format, body string
		line         uint64
		says         string
	}{
		{"ndjson", `{"topic":"a","sum":1,"epoch":0,"last":1}` + "\n" + `{"topic":"a","sum":1,"epoch":0,"last":1}` +
			"\n", 3, "twice"},
		{"ndjson", `{"topic":"b","sum":1,"epoch":0,"last":1}` + "\n" + `{"topic":"a","sum":1,"epoch":0,"last":1}` +
			"\n", 3, "after"},
		{"ndjson", `{"topic":"a","sum":18446744073709551616,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"a","sum":01,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"a","sum":-1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"a","sum":,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"a","sum":1.0,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"a","sum":1,"epoch":9223372036854775808,"last":1}` + "\n", 2, "epoch"},
		{"ndjson", `{"topic":"a","sum":1,"epoch":0,"last":1125899906842625}` + "\n", 2, "index"},
		{"ndjson", `{"topic":"a","sum":1,"epoch":0,"last":1} ` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"a","sum":1,"epoch":0,"last":1,"time":"yesterday"}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\ud800","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\ud800\u0041","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\udc00","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\x41","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\`, 2, "cut off"},
		{"ndjson", "{\"topic\":\"\x01\",\"sum\":1,\"epoch\":0,\"last\":1}\n", 2, "not an entry"},
		{"ndjson", "{\"topic\":\"\xff\",\"sum\":1,\"epoch\":0,\"last\":1}\n", 2, "not an entry"},
		{"ndjson", `{"topic":"` + strings.Repeat("a", core.MaxTopicLen+1) + `","sum":1,"epoch":0,"last":1}` + "\n", 2,
			"longest"},
		{"ndjson", strings.Repeat(" ", 10*maxDumpLine) + "\n", 2, "longer than"},
		{"ndjson", strings.Repeat(" ", 10*maxDumpLine), 2, "longer than"},
		{"ndjson", "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\u0061","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\u000a","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\u001B","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\/","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\b","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic":"\ud83d\ude00","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic_hex":"61","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic_hex":"6","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic_hex":"","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", `{"topic_hex":"FF","sum":1,"epoch":0,"last":1}` + "\n", 2, "not an entry"},
		{"ndjson", "{\"topic\":\"\u2028\",\"sum\":1,\"epoch\":0,\"last\":1}\n", 2, "not an entry"},
		{"ndjson", `{"topic":"a","sum":1,"epoch":0,"last":1,"time":"2026-01-02T03:04:05.10Z"}` + "\n", 2,
			"not an entry"},
		{"ndjson", `{"topic":"a","sum":1,"epoch":0,"last":1,"time":"2026-01-02T03:04:05.000Z"}` + "\n", 2,
			"not an entry"},
		{"ndjson", `{"topic":"a","sum":1,"epoch":0,"last":1,"time":"2026-01-02T03:04:05+00:00"}` + "\n", 2,
			"not an entry"},
		{"ndjson", `{"topic":"a","sum":1,"epoch":0,"last":1,"time":"2026-01-02T03:04:05,1Z"}` + "\n", 2,
			"not an entry"},
		{"csv", "", 2, "columns"},
		{"csv", "topic,sum\n", 2, "columns"},
		{"csv", csvColumns + "a,1,0,1\na,1,0,1\n", 4, "twice"},
		{"csv", csvColumns + "a,1,0,1,\n", 3, "not an entry"},
		{"csv", csvColumns + "a,1,0\n", 3, "not an entry"},
		{"csv", csvColumns + "\"a,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "a\"b,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "\"a\"b,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "\\x,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "\\,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "\\ud800,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "a\r,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "# comment\n", 3, "not an entry"},
		{"csv", csvColumns + "\\u0061,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "\\u000a,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "\\x61,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "\\xc3\\xbc,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "\"a\",1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "a\"b,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + "\u0085,1,0,1\n", 3, "not an entry"},
		{"csv", csvColumns + ",1,0,1\n", 3, "not an entry"},
		{"csv", "topic,sum,epoch,last,time\na,1,0,1,2026-01-02T03:04:05.10Z\n", 3, "not an entry"},
	} {
		entries := strings.Count(test.body, "\n")
		if test.format == "csv" {
			entries--
		}
		dump := frameDump(test.format, testHeader(), []byte(test.body), entries)
		_, _, err := readDump(bytes.NewReader(dump))
		var bad *DumpError
		if !errors.As(err, &bad) {
			t.Errorf("%.80q: reading it returned %v, want a DumpError", test.body, err)
			continue
		}
		if test.says == "cut off" { // the last line has joined it
			test.says = "not an entry"
		}
		offset := 0 // of the line
		for _, line := range bytes.SplitAfter(dump, []byte("\n"))[:test.line-1] {
			offset += len(line)
		}
		if !strings.Contains(err.Error(), test.says) || bad.Line != test.line || bad.Offset != int64(offset) {
			t.Errorf("%.80q: %v, want line %d, offset %d and %q", test.body, err, test.line, offset, test.says)
		}
	}
}

func TestReadDumpHeaders(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, says string }{
		{"", "empty"},
		{"\n", "does not begin as a dump"},
		{"PK\x03\x04\n", "does not begin as a dump"},
		{`{"header":{` + "\n", "format json"},
		{`{"gcd_dump":1,"store":"x"}` + "\n", "not the first line"},
		{`{"gcd_dump":2,"anything":1}` + "\n", "not the first line"},
		{"# gcd_dump 2 anything\n", "not the first line"},
		{`{"gcd_dump":3,"anything":1,"check":"00000000"}` + "\n", "was changed"},
		{checkedLine(`{"gcd_dump":0,"anything":1`, `,"check":"`, `"}`), "not the first line"},
		{checkedLine(`{"gcd_dump":1,"store":"00000000-0000-0000-0000-000000000000","index":0,`+
			`"time":"2026-01-02T03:04:05.10Z"`, `,"check":"`, `"}`), "not the first line"},
		{checkedLine(`# gcd_dump 1 store 00000000-0000-0000-0000-000000000000 index 0 time 2026-01-02T03:04:05.10Z`,
			` check `, ""), "not the first line"},
		{"# gcd_dump 1\n", "not the first line"},
	} {
		_, _, err := readDump(strings.NewReader(test.text))
		var bad *DumpError
		if !errors.As(err, &bad) || bad.Line != 1 || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %v, want line 1 and %q", test.text, err, test.says)
		}
	}
}

// TestReadDumpOfNewerVersion: what is whole but newer is no damage.
func TestReadDumpOfNewerVersion(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		checkedLine(`{"gcd_dump":2,"anything":1`, `,"check":"`, `"}`),
		checkedLine(`# gcd_dump 12 anything`, ` check `, ` more`),
	} {
		if _, _, err := readDump(strings.NewReader(text)); !errors.Is(err, wal.ErrVersion) ||
			errors.As(err, new(*DumpError)) {
			t.Errorf("%s: reading it returned %v, want ErrVersion alone", text, err)
		}
	}
}

// TestReadDumpOfIndexZero: nothing was counted up to it, so there is no entry.
func TestReadDumpOfIndexZero(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"ndjson", "csv"} {
		h := DumpHeader{Store: wal.ID{1}}
		if _, _, err := readDump(bytes.NewReader(encodeDump(format, h, nil, false))); err != nil {
			t.Error(err)
		}
		dump := encodeDump(format, h, []snapshot.Entry{{Topic: []byte("a"), Value: core.Value{Sum: 1}}}, false)
		if _, _, err := readDump(bytes.NewReader(dump)); !errors.As(err, new(*DumpError)) ||
			!strings.Contains(err.Error(), "index 0") {
			t.Errorf("%s: a topic at index 0 was read with %v, want a DumpError that says so", format, err)
		}
	}
}

func TestReadDumpOfPrefix(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"gcd_dump":1,"store":"00000000-0000-0000-0000-000000000000","index":1,"prefix":"a\"b","check":"00000000"}` +
			"\n",
		`# gcd_dump 1 store 00000000-0000-0000-0000-000000000000 index 1 prefix "a\"b" check 00000000` + "\n",
	} {
		if _, _, err := readDump(strings.NewReader(text)); !errors.Is(err, ErrPartial) ||
			!strings.Contains(err.Error(), `"a\"b"`) {
			t.Errorf("%s: reading it returned %v, want ErrPartial and the prefix", text, err)
		}
	}
}

// FuzzReadDump reads what a fuzzer makes of dumps: as it is, and as a body between a right first
// and last line. What is read must be read again from what its entries are written as.
func FuzzReadDump(f *testing.F) {
	for _, format := range []string{"ndjson", "csv"} {
		whole := smallDump(format)
		f.Add(whole, format == "csv", 0)
		lines := bytes.SplitAfter(whole, []byte("\n"))
		f.Add(bytes.Join(lines[1:len(lines)-2], nil), format == "csv", 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, csv bool, entries int) {
		_, _, _ = readDump(bytes.NewReader(text))
		format := "ndjson"
		if csv {
			format = "csv"
		}
		h, got, err := readDump(bytes.NewReader(frameDump(format, testHeader(), text, entries)))
		if err != nil {
			var bad *DumpError
			if !errors.As(err, &bad) {
				t.Fatalf("not a DumpError: %v", err)
			}
			return
		}
		_, again, err := readDump(bytes.NewReader(encodeDump(format, h, got, false)))
		if err != nil || !slices.EqualFunc(again, got, equalEntries) {
			t.Fatalf("%d entries were read, and written again read as %d: %v", len(got), len(again), err)
		}
	})
}

func BenchmarkReadDump(b *testing.B) {
	for _, format := range []string{"ndjson", "csv"} {
		b.Run(format, func(b *testing.B) {
			const n = 100_000
			entries := make([]snapshot.Entry, n)
			for i := range entries {
				entries[i] = snapshot.Entry{Topic: fmt.Appendf(nil, "topic-%010d", i),
					Value: core.Value{Sum: uint64(i)}, Last: uint64(i)}
			}
			dump := encodeDump(format, testHeader(), entries, false)
			b.SetBytes(int64(len(dump)))
			for b.Loop() {
				if _, _, err := ReadDump(bytes.NewReader(dump),
					func(DumpHeader, snapshot.Entry) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds()/1e6, "Mtopics/s")
		})
	}
}

// TestDumpThatCannotBeRead: a read error of the system is no damage of the dump, wherever it comes.
func TestDumpThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"ndjson", "csv"} {
		b, err := os.ReadFile(writeDump(t, format, testHeader(),
			[]snapshot.Entry{{Topic: []byte("a"), Value: core.Value{Sum: 1}, Last: 1}}))
		if err != nil {
			t.Fatal(err)
		}
		for n := range b {
			r := io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(syscall.EIO))
			_, _, err := ReadDump(r, func(DumpHeader, snapshot.Entry) error { return nil })
			if !errors.Is(err, syscall.EIO) || errors.As(err, new(*DumpError)) {
				t.Fatalf("%s, at byte %d of %d: %v", format, n, len(b), err)
			}
		}
	}
}
