package tools

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"gcd/store/snapshot"
)

// A Counter is one topic of a dump.
type Counter struct {
	snapshot.Entry           // Last is 0 if it is not known
	Time           time.Time // of the record Last; zero if it is not known, or was not asked for
}

// A DumpWriter takes a dump: its header, then its counters in the order of core.CompareTopics, then
// its end. A counter's topic is valid during the call.
type DumpWriter interface {
	Header(h DumpHeader) error
	Counter(c *Counter) error
	Footer() error
}

// The formats in which dumps are written.
const (
	FormatNDJSON = "ndjson" // can be restored
	FormatCSV    = "csv"    // likewise
	FormatJSON   = "json"   // for programs
)

// NewDumpWriter makes the writer of a format. With times each counter's is written, if it is known.
// docs/dump.md has every byte. Nothing is left unwritten when Footer returned.
func NewDumpWriter(w io.Writer, format string, times bool) (DumpWriter, error) {
	body := dumpBody{w: w, sum: sha256.New(), times: times, syntax: ndjsonSyntax}
	switch format {
	case FormatNDJSON:
		return &ndjsonWriter{body}, nil
	case FormatCSV:
		body.syntax = csvSyntax
		return &csvWriter{dumpBody: body}, nil
	case FormatJSON:
		return &jsonWriter{body}, nil
	}
	return nil, fmt.Errorf("no dump can be written as %q", format)
}

// dumpBody is what the writers share: lines that are counted, hashed, and written many at a time.
type dumpBody struct {
	w       io.Writer
	syntax  dumpSyntax
	sum     hash.Hash
	times   bool
	buf     []byte // lines that are neither hashed nor written
	entries uint64
}

// pieceSize is how many bytes are hashed and written at a time, in some tens of microseconds.
const pieceSize = 16 << 10

// Header writes the first line.
func (b *dumpBody) Header(h DumpHeader) error {
	_, err := b.w.Write(append(b.syntax.appendHeader(nil, h), '\n'))
	return err
}

// Footer writes what is left, and the last line.
func (b *dumpBody) Footer() error {
	err := b.flush()
	if err == nil {
		_, err = b.w.Write(append(b.footer(), '\n'))
	}
	return err
}

func (b *dumpBody) footer() []byte { return b.syntax.appendFooter(nil, b.entries, b.sum.Sum(nil)) }

// line ends a counter's line.
func (b *dumpBody) line() error {
	b.buf = append(b.buf, '\n')
	b.entries++
	if len(b.buf) < pieceSize {
		return nil
	}
	return b.flush()
}

func (b *dumpBody) flush() error {
	b.sum.Write(b.buf)
	_, err := b.w.Write(b.buf)
	b.buf = b.buf[:0]
	return err
}

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.RFC3339Nano) }

func appendJSONCounter(b []byte, c *Counter, times bool) []byte {
	if utf8.Valid(c.Topic) {
		b = append(b, `{"topic":"`...)
		b = appendEscaped(b, c.Topic, &jsonEscapes)
	} else { // no door takes it, but package store does
		b = append(b, `{"topic_hex":"`...)
		b = hex.AppendEncode(b, c.Topic)
	}
	b = append(b, `","sum":`...)
	b = strconv.AppendUint(b, c.Sum, 10)
	b = append(b, `,"epoch":`...)
	b = strconv.AppendUint(b, c.Epoch, 10)
	b = append(b, `,"last":`...)
	b = strconv.AppendUint(b, c.Last, 10)
	if times && !c.Time.IsZero() {
		b = append(appendTime(append(b, `,"time":"`...), c.Time), '"')
	}
	return append(b, '}')
}

// ndjsonWriter writes an object a line.
type ndjsonWriter struct{ dumpBody }

func (w *ndjsonWriter) Counter(c *Counter) error {
	w.buf = appendJSONCounter(w.buf, c, w.times)
	return w.line()
}

// jsonWriter writes one document, whose digest is that of the ndjson.
type jsonWriter struct{ dumpBody }

func (w *jsonWriter) Header(h DumpHeader) error {
	_, err := fmt.Fprintf(w.w, "{\"header\":%s,\n\"counters\":[", w.syntax.appendHeader(nil, h))
	return err
}

func (w *jsonWriter) Counter(c *Counter) error {
	separator := ",\n"
	if w.entries == 0 {
		separator = "\n"
	}
	w.entries++
	w.buf = append(w.buf[:0], separator...)
	w.buf = appendJSONCounter(w.buf, c, w.times)
	_, err := w.w.Write(w.buf)
	w.sum.Write(append(w.buf[len(separator):], '\n'))
	return err
}

func (w *jsonWriter) Footer() error {
	_, err := fmt.Fprintf(w.w, "],\n\"footer\":%s}\n", w.footer())
	return err
}

// csvWriter writes rows, and header and footer as comments.
type csvWriter struct {
	dumpBody
	topic []byte
}

func (w *csvWriter) Header(h DumpHeader) error {
	err := w.dumpBody.Header(h)
	w.buf = append(w.buf, "topic,sum,epoch,last"...)
	if w.times {
		w.buf = append(w.buf, ",time"...)
	}
	w.buf = append(w.buf, '\n')
	return err
}

func (w *csvWriter) Counter(c *Counter) error {
	w.buf, w.topic = appendCSVCounter(w.buf, c, w.times, w.topic)
	return w.line()
}

// appendCSVCounter appends a row. field is memory for its topic, and is returned for the next one.
func appendCSVCounter(b []byte, c *Counter, times bool, field []byte) (row, memory []byte) {
	field = appendEscaped(field[:0], c.Topic, &csvEscapes)
	b = appendField(b, field)
	b = strconv.AppendUint(append(b, ','), c.Sum, 10)
	b = strconv.AppendUint(append(b, ','), c.Epoch, 10)
	b = strconv.AppendUint(append(b, ','), c.Last, 10)
	if times {
		b = append(b, ',')
		if !c.Time.IsZero() {
			b = appendTime(b, c.Time)
		}
	}
	return b, field
}

// appendField quotes a field if it must be.
func appendField(b, field []byte) []byte {
	quoted := len(field) == 0 || field[0] == ' ' || field[0] == '#'
	for _, c := range field {
		quoted = quoted || c == '"' || c == ','
	}
	if !quoted {
		return append(b, field...)
	}
	b = append(b, '"')
	for _, c := range field {
		if c == '"' {
			b = append(b, '"')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// escapes are what each byte below U+0080 becomes; "": itself. Above it controls, U+2028, U+2029
// and U+FEFF become \uXXXX for both.
type escapes [utf8.RuneSelf]string

var (
	csvEscapes  = makeEscapes()
	jsonEscapes = func() escapes { e := makeEscapes(); e['"'] = `\"`; return e }()
)

func makeEscapes() (e escapes) {
	for c := range e {
		if c < 0x20 || c == 0x7f {
			e[c] = fmt.Sprintf(`\u%04x`, c)
		}
	}
	e['\\'], e['\n'], e['\r'], e['\t'] = `\\`, `\n`, `\r`, `\t`
	return e
}

// appendEscaped appends text on one line, in characters that every program shows as they are.
func appendEscaped(b, text []byte, e *escapes) []byte {
	plain := 0 // from here on nothing was appended yet
	for i := 0; i < len(text); {
		escaped, size := "", 1
		if c := text[i]; c < utf8.RuneSelf {
			escaped = e[c]
		} else {
			var r rune
			switch r, size = utf8.DecodeRune(text[i:]); {
			case r == utf8.RuneError && size == 1:
				escaped = fmt.Sprintf(`\x%02x`, c)
			case r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff:
				escaped = fmt.Sprintf(`\u%04x`, r)
			}
		}
		if escaped != "" {
			b = append(append(b, text[plain:i]...), escaped...)
			plain = i + size
		}
		i += size
	}
	return append(b, text[plain:]...)
}
