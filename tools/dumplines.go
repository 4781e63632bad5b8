package tools

import (
	"bytes"
	"math"
	"unicode/utf8"

	"gcd/store"
)

// ndjsonDump reads the lines of a dump as NDJSON. They are taken just as a dump writes them: the digest would not be right for
// any other spelling.
type ndjsonDump struct{ topic []byte }

func (*ndjsonDump) columns() func([]byte) error { return nil }

func (*ndjsonDump) header(line []byte) (h DumpHeader, err error) {
	p := parts{rest: line}
	p.skip(`{"gcd_dump":`)
	if err := p.version(); err != nil {
		return h, err
	}
	p.skip(`,"store":"`)
	h.Store = p.id()
	p.skip(`","index":`)
	h.Index = p.number()
	if p.try(`,"time":"`) {
		h.Time = p.time(p.until('"'))
		p.skip(`"`)
	}
	if err := p.prefix(`,"prefix":"`); err != nil {
		return h, err
	}
	if err := p.sum(line, `,"check":"`); err != nil {
		return h, err
	}
	p.skip(`"}`)
	return h, p.done("the first line of a dump")
}

func (*ndjsonDump) footer(line []byte) (f DumpFooter, ok bool, err error) {
	p := parts{rest: line}
	if !p.try(`{"entries":`) {
		return f, false, nil
	}
	f.Entries = p.number()
	p.skip(`,"digest":"`)
	p.hex(f.Digest[:])
	p.skip(`"}`)
	return f, true, p.done("the last line of a dump")
}

func (d *ndjsonDump) entry(line []byte) (e store.Entry, err error) {
	p := parts{rest: line}
	if raw := p.try(`{"topic_hex":"`); raw {
		d.topic = p.hexString(d.topic[:0])
	} else {
		p.skip(`{"topic":"`)
		d.topic = p.jsonString(d.topic[:0])
		p.bad = p.bad || !utf8.Valid(d.topic)
	}
	p.skip(`,"sum":`)
	e.Sum = p.number()
	p.skip(`,"epoch":`)
	e.Epoch = p.number()
	p.skip(`,"last":`)
	e.Last = p.number()
	if p.try(`,"time":"`) {
		p.time(p.until('"'))
		p.skip(`"`)
	}
	p.skip("}")
	e.Topic = d.topic
	return e, p.entry(e)
}

// entry says what is wrong with an entry.
func (p *parts) entry(e store.Entry) error {
	if err := p.done("an entry of a dump"); err != nil {
		return err
	}
	if len(e.Topic) > store.MaxTopicLen {
		return badf("the topic has %d bytes, the longest may have %d", len(e.Topic), store.MaxTopicLen)
	}
	if e.Epoch > math.MaxInt64 {
		return badf("the epoch %d is higher than a topic can reach", e.Epoch)
	}
	return nil
}

// jsonString takes the rest of a string behind its opening quote, and the closing one, and appends what it means to to.
func (p *parts) jsonString(to []byte) []byte {
	for !p.bad {
		n := bytes.IndexAny(p.rest, `"\`)
		if n < 0 {
			break
		}
		for _, c := range p.rest[:n] {
			if c < 0x20 {
				p.bad = true
			}
		}
		to = append(to, p.rest[:n]...)
		p.rest = p.rest[n:]
		if p.try(`"`) {
			return to
		}
		p.skip(`\`)
		to = p.jsonEscape(to)
	}
	p.bad = true
	return to
}

// hexString takes a topic that is not UTF-8, in hexadecimal, and the closing quote.
func (p *parts) hexString(to []byte) []byte {
	digits := parts{rest: p.until('"')}
	p.skip(`"`)
	var c [1]byte
	for len(digits.rest) > 0 && !digits.bad {
		digits.hex(c[:])
		to = append(to, c[0])
	}
	p.bad = p.bad || digits.bad
	return to
}

// jsonEscape takes what follows a backslash.
func (p *parts) jsonEscape(to []byte) []byte {
	const letters, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if len(p.rest) > 0 {
		if i := bytes.IndexByte([]byte(letters), p.rest[0]); i >= 0 {
			p.rest = p.rest[1:]
			return append(to, meanings[i])
		}
	}
	p.skip("u")
	r := p.hex4()
	if r&0xfc00 == 0xd800 { // the first half of a pair
		p.skip(`\u`)
		low := p.hex4()
		if low&0xfc00 != 0xdc00 {
			p.bad = true
		}
		r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
	}
	return p.rune(to, r)
}

// hex4 takes the four digits of an escape.
func (p *parts) hex4() rune {
	var code [2]byte
	p.hex(code[:])
	return rune(code[0])<<8 | rune(code[1])
}

func (p *parts) rune(to []byte, r rune) []byte {
	if !utf8.ValidRune(r) {
		p.bad = true
		return to
	}
	return utf8.AppendRune(to, r)
}

// csvDump reads the lines of a dump as CSV, just as a dump writes them.
type csvDump struct {
	times bool // there is a fifth column
	field []byte
	topic []byte
}

func (*csvDump) header(line []byte) (h DumpHeader, err error) {
	p := parts{rest: line}
	p.skip(`# gcd_dump `)
	if err := p.version(); err != nil {
		return h, err
	}
	p.skip(` store `)
	h.Store = p.id()
	p.skip(` index `)
	h.Index = p.number()
	if p.try(` time `) {
		h.Time = p.time(p.until(' '))
	}
	if err := p.prefix(` prefix "`); err != nil {
		return h, err
	}
	if err := p.sum(line, ` check `); err != nil {
		return h, err
	}
	return h, p.done("the first line of a dump")
}

func (d *csvDump) columns() func([]byte) error {
	return func(line []byte) error {
		p := parts{rest: line}
		p.skip(`topic,sum,epoch,last`)
		d.times = p.try(`,time`)
		return p.done("the line with the names of a dump's columns")
	}
}

func (*csvDump) footer(line []byte) (f DumpFooter, ok bool, err error) {
	p := parts{rest: line}
	if !p.try(`# entries `) {
		return f, false, nil
	}
	f.Entries = p.number()
	p.skip(` digest `)
	p.hex(f.Digest[:])
	return f, true, p.done("the last line of a dump")
}

func (d *csvDump) entry(line []byte) (e store.Entry, err error) {
	p := parts{rest: line}
	d.field = p.csvField(d.field[:0])
	p.skip(",")
	e.Sum = p.number()
	p.skip(",")
	e.Epoch = p.number()
	p.skip(",")
	e.Last = p.number()
	if d.times {
		p.skip(",")
		if len(p.rest) > 0 {
			p.time(p.rest)
			p.rest = nil
		}
	}
	if err := p.done("an entry of a dump"); err != nil {
		return e, err
	}
	escaped := parts{rest: d.field}
	d.topic = escaped.csvUnescape(d.topic[:0])
	e.Topic = d.topic
	return e, escaped.entry(e)
}

// csvField takes a field, with quotes or without, and appends it to to.
func (p *parts) csvField(to []byte) []byte {
	if !p.try(`"`) {
		field := p.until(',')
		if bytes.IndexByte(field, '"') >= 0 {
			p.bad = true
		}
		return append(to, field...)
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
	const letters, meanings = `\nrt`, "\\\n\r\t"
	for len(p.rest) > 0 && !p.bad {
		n := bytes.IndexByte(p.rest, '\\')
		if n < 0 {
			n = len(p.rest)
		}
		for _, c := range p.rest[:n] {
			if c < 0x20 || c == 0x7f {
				p.bad = true
			}
		}
		p.bad = p.bad || !utf8.Valid(p.rest[:n])
		to = append(to, p.rest[:n]...)
		if p.rest = p.rest[n:]; len(p.rest) == 0 {
			return to
		}
		p.skip(`\`)
		if len(p.rest) > 0 {
			if i := bytes.IndexByte([]byte(letters), p.rest[0]); i >= 0 {
				p.rest = p.rest[1:]
				to = append(to, meanings[i])
				continue
			}
		}
		if p.try("x") { // a byte that is not UTF-8
			var c [1]byte
			p.hex(c[:])
			to = append(to, c[0])
			continue
		}
		p.skip("u")
		to = p.rune(to, p.hex4())
	}
	return to
}
