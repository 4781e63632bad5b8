package tools

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"unicode/utf8"

	"gcd/store/core"
	"gcd/store/snapshot"
)

// dumpSyntax is the text around the values in the first and the last line of a dump.
type dumpSyntax struct {
	version, store, index, time, timeEnd, prefix, check, entries, digest, end string
}

var (
	ndjsonSyntax = dumpSyntax{
		version: `{"gcd_dump":`, store: `,"store":"`, index: `","index":`, time: `,"time":"`, timeEnd: `"`,
		prefix: `,"prefix":"`, check: `,"check":"`, entries: `{"entries":`, digest: `,"digest":"`, end: `"}`,
	}
	csvSyntax = dumpSyntax{
		version: `# gcd_dump `, store: ` store `, index: ` index `, time: ` time `,
		prefix: ` prefix "`, check: ` check `, entries: `# entries `, digest: ` digest `,
	}
)

// header parses the first line. What it lets pass is not as appendHeader writes it.
func (s *dumpSyntax) header(line []byte) (h DumpHeader, err error) {
	p := parts{left: line}
	p.skip(s.version)
	if err := p.version(line, s.check); err != nil {
		return h, err
	}
	p.skip(s.store)
	h.Store = p.id()
	p.skip(s.index)
	h.Index = p.number()
	if p.try(s.time) {
		h.Time = p.time()
		p.skip(s.timeEnd)
	}
	if err := p.prefix(s.prefix); err != nil {
		return h, err
	}
	if err := p.sum(line, s.check); err != nil {
		return h, err
	}
	p.skip(s.end)
	return h, p.done("the first line of a dump")
}

func (s *dumpSyntax) appendHeader(b []byte, h DumpHeader) []byte {
	b = fmt.Appendf(b, "%s1%s%s%s%d", s.version, s.store, h.Store, s.index, h.Index)
	if !h.Time.IsZero() {
		b = append(appendTime(append(b, s.time...), h.Time), s.timeEnd...)
	}
	if h.Prefix != "" {
		b = append(appendEscaped(append(b, s.prefix...), []byte(h.Prefix), &jsonEscapes), '"')
	}
	return fmt.Appendf(b, "%s%08x%s", s.check, crc32.Checksum(b, castagnoli), s.end)
}

// footer parses the last line; ok is false if the line is none.
func (s *dumpSyntax) footer(line []byte) (f DumpFooter, ok bool, err error) {
	p := parts{left: line}
	if !p.try(s.entries) {
		return f, false, nil
	}
	f.Entries = p.number()
	p.skip(s.digest)
	p.hex(f.Digest[:])
	if !bytes.Equal(s.appendFooter(nil, f.Entries, f.Digest[:]), line) {
		return f, true, badf("this is not the last line of a dump")
	}
	return f, true, nil
}

func (s *dumpSyntax) appendFooter(b []byte, entries uint64, digest []byte) []byte {
	return fmt.Appendf(b, "%s%d%s%x%s", s.entries, entries, s.digest, digest, s.end)
}

// ndjsonDump reads the entries of a dump as NDJSON.
type ndjsonDump struct{ topic []byte }

func (*ndjsonDump) written(b []byte, c *Counter) []byte { return appendJSONCounter(b, c, true) }

func (d *ndjsonDump) entry(line []byte) (c Counter, err error) {
	p := parts{left: line}
	if raw := p.try(`{"topic_hex":"`); raw {
		d.topic = p.hexString(d.topic[:0])
	} else {
		p.skip(`{"topic":"`)
		d.topic = p.jsonString(d.topic[:0])
	}
	p.skip(`,"sum":`)
	c.Sum = p.number()
	p.skip(`,"epoch":`)
	c.Epoch = p.number()
	p.skip(`,"last":`)
	c.Last = p.number()
	if p.try(`,"time":"`) {
		c.Time = p.time()
		p.skip(`"`)
	}
	p.skip("}")
	c.Topic = d.topic
	return c, p.entry(c.Entry)
}

// entry says what is wrong with an entry.
func (p *parts) entry(e snapshot.Entry) error {
	if err := p.done("an entry of a dump"); err != nil {
		return err
	}
	if len(e.Topic) > core.MaxTopicLen {
		return badf("the topic has %d bytes, the longest may have %d", len(e.Topic), core.MaxTopicLen)
	}
	if e.Epoch > math.MaxInt64 {
		return badf("the epoch %d is higher than a topic can reach", e.Epoch)
	}
	return nil
}

// jsonString takes a string after its opening quote, and the closing one, and appends what it means
// to to.
func (p *parts) jsonString(to []byte) []byte {
	for !p.bad {
		n := bytes.IndexAny(p.left, `"\`)
		if n < 0 {
			break
		}
		to = append(to, p.left[:n]...)
		p.left = p.left[n:]
		if p.try(`"`) {
			return to
		}
		p.skip(`\`)
		to = p.escape(to, `"`)
	}
	p.bad = true
	return to
}

// hexString takes a topic that is not UTF-8, in hexadecimal, and the closing quote.
func (p *parts) hexString(to []byte) []byte {
	to, err := hex.AppendDecode(to, p.until('"'))
	p.bad = p.bad || err != nil
	p.skip(`"`)
	return to
}

// escape takes what follows a backslash, and appends the character that it means: itself, for one
// of the given bytes.
func (p *parts) escape(to []byte, themselves string) []byte {
	const letters, meanings = `\nrt`, "\\\n\r\t"
	if len(p.left) > 0 {
		c := p.left[0]
		if i := strings.IndexByte(letters, c); i >= 0 {
			p.left = p.left[1:]
			return append(to, meanings[i])
		}
		if strings.IndexByte(themselves, c) >= 0 {
			p.left = p.left[1:]
			return append(to, c)
		}
	}
	p.skip("u")
	var code [2]byte
	p.hex(code[:])
	return utf8.AppendRune(to, rune(code[0])<<8|rune(code[1]))
}

// csvDump reads the entries of a dump as CSV.
type csvDump struct {
	times bool // there is a fifth column
	field []byte
	topic []byte
}

func (d *csvDump) written(b []byte, c *Counter) []byte {
	b, d.field = appendCSVCounter(b, c, d.times, d.field)
	return b
}

// columns reads the line with their names.
func (d *csvDump) columns(line []byte) error {
	p := parts{left: line}
	p.skip(`topic,sum,epoch,last`)
	d.times = p.try(`,time`)
	return p.done("the line with the names of a dump's columns")
}

func (d *csvDump) entry(line []byte) (c Counter, err error) {
	p := parts{left: line}
	d.field = p.csvField(d.field[:0])
	p.skip(",")
	c.Sum = p.number()
	p.skip(",")
	c.Epoch = p.number()
	p.skip(",")
	c.Last = p.number()
	if d.times {
		p.skip(",")
		if len(p.left) > 0 {
			c.Time = p.time()
		}
	}
	if err := p.done("an entry of a dump"); err != nil {
		return c, err
	}
	escaped := parts{left: d.field}
	d.topic = escaped.csvUnescape(d.topic[:0])
	c.Topic = d.topic
	return c, escaped.entry(c.Entry)
}

// csvField takes a field, with quotes or without, and appends it to to.
func (p *parts) csvField(to []byte) []byte {
	if !p.try(`"`) {
		return append(to, p.until(',')...)
	}
	for !p.bad {
		to = append(to, p.until('"')...)
		p.skip(`"`)
		if !p.try(`"`) {
			return to
		}
		to = append(to, '"')
	}
	return to
}

// csvUnescape takes everything and undoes the escapes that keep each entry on one line.
func (p *parts) csvUnescape(to []byte) []byte {
	for !p.bad {
		n := bytes.IndexByte(p.left, '\\')
		if n < 0 {
			to = append(to, p.left...)
			p.left = nil
			break
		}
		to = append(to, p.left[:n]...)
		p.left = p.left[n+1:]
		if p.try("x") { // a byte that is not UTF-8
			var c [1]byte
			p.hex(c[:])
			to = append(to, c[0])
			continue
		}
		to = p.escape(to, "")
	}
	return to
}
