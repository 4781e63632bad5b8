package tools

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"time"

	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// maxDumpLine is the longest line of a dump in bytes; a topic in which each byte is escaped as six
// fits.
const maxDumpLine = 400_000

// DumpHeader is the first line of a dump file.
type DumpHeader struct {
	Store wal.ID
	Index uint64    // of the state that the dump holds
	Time  time.Time // of the record at Index; zero if it is not known

	// Prefix is what all topics of the dump begin with; others were left out. Such a dump cannot be
	// restored, and ReadDump refuses it.
	Prefix string
}

// DumpFooter is the last line of a dump file.
type DumpFooter struct {
	Entries uint64
	Digest  [sha256.Size]byte // of all bytes between the first line and this one
}

// A DumpError says that a dump file is not what a dump wrote: cut off, changed, or no dump at all.
type DumpError struct {
	Line   uint64 // the line with which it is wrong, from 1
	Offset int64  // of that line in the file, in bytes
	Err    error
}

// Error names line, offset and what is wrong.
func (e *DumpError) Error() string {
	return fmt.Sprintf("line %d (offset %d): %v", e.Line, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *DumpError) Unwrap() error { return e.Err }

// ReadDump reads a dump file, NDJSON or CSV, and calls each with every entry, in the order of
// core.CompareTopics. What each saw is to be believed only when the error is nil: the digest comes
// last. A topic is valid during the call. An error of each ends the reading and is returned; what
// is wrong with the file is a *DumpError, a newer version is wal.ErrVersion, other errors are the
// reader's.
func ReadDump(r io.Reader, each func(DumpHeader, snapshot.Entry) error) (DumpHeader, DumpFooter, error) {
	d := dumpReader{lines: bufio.NewReaderSize(r, 64<<10), digest: sha256.New()}
	header, footer, err := d.read(each)
	if errors.As(err, new(*badLine)) {
		err = &DumpError{Line: d.line, Offset: d.start, Err: err}
	}
	return header, footer, err
}

// ErrPartial says that a dump holds the topics of one prefix alone.
var ErrPartial = errors.New("the dump does not hold the whole store")

// badLine is an error that the current line explains.
type badLine struct{ text string }

func (e *badLine) Error() string { return e.text }

func badf(format string, args ...any) error { return &badLine{fmt.Sprintf(format, args...)} }

var errCutOff = &badLine{"the file is cut off: its last line, with the number of entries and their digest, is missing"}

// dumpFormat is how the lines of a dump are written. What it lets pass need not be as a dump writes
// it: that is checked for every line.
type dumpFormat interface {
	entry(line []byte) (Counter, error) // parses one entry; the topic is valid until the next call
	written(b []byte, c *Counter) []byte
}

// dumpReader reads one dump.
type dumpReader struct {
	lines  *bufio.Reader
	syntax dumpSyntax
	buf    []byte // a line that is longer than the reader's buffer
	line   uint64 // number of the current line
	start  int64  // its offset
	next   int64  // offset of the next one
	digest hash.Hash
	before []byte // the last topic
	again  []byte // a line, written from what was read of it
}

func (d *dumpReader) read(each func(DumpHeader, snapshot.Entry) error) (h DumpHeader, f DumpFooter, err error) {
	line, err := d.readLine()
	if err == io.EOF {
		return h, f, badf("the file is empty")
	}
	if err != nil {
		return h, f, err
	}
	format, syntax, err := dumpFormatOf(line)
	if d.syntax = syntax; err != nil {
		return h, f, err
	}
	if h, err = d.syntax.header(line[:len(line)-1]); err != nil {
		return h, f, err
	}
	if d.again = d.syntax.appendHeader(d.again[:0], h); !bytes.Equal(d.again, line[:len(line)-1]) {
		return h, f, badf("this is not the first line of a dump as one is written")
	}
	if csv, ok := format.(*csvDump); ok {
		line, err := d.body()
		if err != nil {
			return h, f, err
		}
		if err := csv.columns(line[:len(line)-1]); err != nil {
			return h, f, err
		}
		d.digest.Write(line)
	}
	for entries := uint64(0); ; entries++ {
		line, err := d.body()
		if err != nil {
			return h, f, err
		}
		text := line[:len(line)-1]
		f, last, err := d.syntax.footer(text)
		if err != nil {
			return h, f, err
		}
		if last {
			return h, f, d.end(f, entries)
		}
		d.digest.Write(line)
		c, err := format.entry(text)
		if err != nil {
			return h, f, err
		}
		if d.again = format.written(d.again[:0], &c); !bytes.Equal(d.again, text) { // one state has one dump
			return h, f, badf("this is not an entry of a dump as one is written")
		}
		if err := d.check(h, entries, c.Entry); err != nil {
			return h, f, err
		}
		if err := each(h, c.Entry); err != nil {
			return h, f, err
		}
	}
}

// body reads a line after the first one.
func (d *dumpReader) body() ([]byte, error) {
	line, err := d.readLine()
	if err == io.EOF {
		err = errCutOff
	}
	return line, err
}

// check looks at what one line alone cannot tell of an entry.
func (d *dumpReader) check(h DumpHeader, entries uint64, e snapshot.Entry) error {
	if h.Index == 0 {
		return badf("the dump is of index 0, at which no topic was counted yet")
	}
	if e.Last > h.Index {
		return badf("the topic changed last at %d, but the dump is of index %d", e.Last, h.Index)
	}
	if entries > 0 {
		switch order := core.CompareTopics(d.before, e.Topic); {
		case order == 0:
			return badf("the topic %.64q comes twice", e.Topic)
		case order > 0:
			return badf("the topic %.64q comes after %.64q", e.Topic, d.before)
		}
	}
	d.before = append(d.before[:0], e.Topic...)
	return nil
}

// end compares the last line with what came before it, and finds what comes after it.
func (d *dumpReader) end(f DumpFooter, entries uint64) error {
	if f.Entries != entries {
		return badf("the file holds %d entries, but should hold %d", entries, f.Entries)
	}
	if sum := d.digest.Sum(nil); !bytes.Equal(sum, f.Digest[:]) {
		return badf("the lines between the first and this one were changed: their digest is %x, but should be %x", sum,
			f.Digest)
	}
	if _, err := d.readLine(); err == nil || errors.As(err, new(*badLine)) {
		return badf("something comes after what should be the last line")
	} else if err != io.EOF {
		return err
	}
	return nil
}

// readLine returns the next line with its end; valid until the next call. io.EOF if there is none.
func (d *dumpReader) readLine() ([]byte, error) {
	d.line++
	d.start = d.next
	d.buf = d.buf[:0]
	for {
		part, err := d.lines.ReadSlice('\n')
		d.next += int64(len(part))
		switch {
		case err == nil && len(d.buf) == 0:
			return part, nil
		case err != nil && err != io.EOF && err != bufio.ErrBufferFull:
			return nil, err
		case len(d.buf)+len(part) > maxDumpLine:
			return nil, badf("the line is longer than %d bytes", maxDumpLine)
		}
		d.buf = append(d.buf, part...)
		switch {
		case err == nil:
			return d.buf, nil
		case err == io.EOF && len(d.buf) == 0:
			return nil, io.EOF
		case err == io.EOF:
			return nil, badf("the file is cut off within this line")
		}
	}
}

func dumpFormatOf(line []byte) (dumpFormat, dumpSyntax, error) {
	switch {
	case bytes.HasPrefix(line, []byte(`{"gcd_dump":`)):
		return &ndjsonDump{}, ndjsonSyntax, nil
	case bytes.HasPrefix(line, []byte(`# gcd_dump `)):
		return &csvDump{}, csvSyntax, nil
	case bytes.HasPrefix(line, []byte(`{"header":`)):
		return nil, dumpSyntax{}, badf("this is a dump in the format json, which cannot be read back; ndjson and csv " +
			"can")
	}
	return nil, dumpSyntax{}, badf("the file does not begin as a dump does; \"gcd-tool import\" takes a table of " +
		"topics and sums")
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parts takes a line apart from its beginning. When something is missing it is bad, and takes
// nothing more.
type parts struct {
	left []byte
	bad  bool
}

// skip takes a text that must be there.
func (p *parts) skip(text string) {
	if !p.try(text) {
		p.bad = true
	}
}

// try takes a text if it is there.
func (p *parts) try(text string) bool {
	if p.bad || len(p.left) < len(text) || string(p.left[:len(text)]) != text {
		return false
	}
	p.left = p.left[len(text):]
	return true
}

// until takes what comes before a byte, and leaves the byte.
func (p *parts) until(end byte) []byte {
	i := bytes.IndexByte(p.left, end)
	if p.bad || i < 0 {
		p.bad = true
		return nil
	}
	part := p.left[:i]
	p.left = p.left[i:]
	return part
}

// number takes a decimal number.
func (p *parts) number() (n uint64) {
	i := 0
	for ; i < len(p.left) && p.left[i]-'0' <= 9; i++ {
		digit := uint64(p.left[i] - '0')
		p.bad = p.bad || n > (math.MaxUint64-digit)/10
		n = 10*n + digit
	}
	p.left = p.left[i:]
	p.bad = p.bad || i == 0
	return n
}

// hex takes 2·len(to) hexadecimal digits.
func (p *parts) hex(to []byte) {
	n := 2 * len(to)
	if p.bad || len(p.left) < n {
		p.bad = true
		return
	}
	_, err := hex.Decode(to, p.left[:n])
	p.bad = err != nil
	p.left = p.left[n:]
}

// id takes a UUID.
func (p *parts) id() (id wal.ID) {
	at := 0
	for i, size := range []int{4, 2, 2, 2, 6} {
		if i > 0 {
			p.skip("-")
		}
		p.hex(id[at : at+size])
		at += size
	}
	return id
}

// time takes a time in UTC, to the nanosecond.
func (p *parts) time() time.Time {
	text := p.left
	if end := bytes.IndexByte(text, 'Z'); end >= 0 {
		text = text[:end+1]
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	p.bad = p.bad || err != nil
	p.left = p.left[len(text):]
	return t
}

// sum takes the checksum of a first line, which covers the bytes before a text that introduces it.
func (p *parts) sum(line []byte, introduction string) error {
	covered := line[:len(line)-len(p.left)]
	p.skip(introduction)
	var sum [4]byte
	p.hex(sum[:])
	if p.bad {
		return nil
	}
	if want := crc32.Checksum(covered, castagnoli); want != binary.BigEndian.Uint32(sum[:]) {
		return badf("the first line was changed: its checksum is %x, but should be %08x", sum, want)
	}
	return nil
}

// version takes the number of the format. A first line of any version ends with its checksum, so
// one that was changed is not taken for a newer one.
func (p *parts) version(line []byte, introduction string) error {
	v := p.number()
	if p.bad || v == 1 {
		return nil
	}
	at := bytes.LastIndex(p.left, []byte(introduction))
	if at < 0 || v == 0 {
		p.bad = true
		return nil
	}
	p.left = p.left[at:]
	if err := p.sum(line, introduction); err != nil || p.bad {
		return err
	}
	return fmt.Errorf("%w: the dump has version %d, and this program knows 1: a newer gcd wrote it", wal.ErrVersion, v)
}

// prefix takes the prefix that a dump of a part of the topics has, and refuses it.
func (p *parts) prefix(introduction string) error {
	if !p.try(introduction) {
		return nil
	}
	prefix := p.jsonString(nil)
	if p.bad {
		return nil
	}
	return fmt.Errorf("%w: only topics that begin with %.64q", ErrPartial, prefix)
}

// done is an error if the line is not what it should be, or has something more.
func (p *parts) done(what string) error {
	if p.bad || len(p.left) > 0 {
		return badf("this is not %s", what)
	}
	return nil
}
