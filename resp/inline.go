package resp

import "bytes"

// inline parses a command that is a line of words, as people type it.
func (p *Parser) inline(b []byte) (int, error) {
	end := bytes.IndexByte(b[p.pos:], '\n')
	if end < 0 {
		if len(b) > MaxInline {
			return 0, errInline
		}
		p.pos = len(b)
		return 0, nil
	}
	end += p.pos
	if end > MaxInline {
		return 0, errInline
	}
	line := b[:end] // a carriage return at its end is a blank like others
	for at := 0; ; {
		for at < len(line) && isBlank(line[at]) {
			at++
		}
		if at == len(line) {
			return p.whole(b, end+1), nil
		}
		to, next := word(line, at)
		if next < 0 {
			return 0, errQuotes
		}
		p.args = append(p.args, span{uint32(at), uint32(to)})
		at = next
	}
}

// word resolves the quotes and escapes of the word that begins at from: it then ends at to, and next is what follows it. next is
// less than 0 if a quotation does not end, or not where the word does.
func word(line []byte, from int) (to, next int) {
	to, at := from, from
	for at < len(line) && !isBlank(line[at]) {
		quote := line[at]
		if quote != '"' && quote != '\'' {
			line[to] = quote
			to, at = to+1, at+1
			continue
		}
		for at++; ; {
			if at == len(line) {
				return 0, -1
			}
			c := line[at]
			if c == quote {
				at++
				break
			}
			n := 1
			if c == '\\' {
				c, n = escaped(line[at:], quote)
			}
			line[to] = c
			to, at = to+1, at+n
		}
		if at < len(line) && !isBlank(line[at]) {
			return 0, -1
		}
	}
	return to, at
}

// escaped resolves what begins with a backslash inside of a quotation, and returns how many bytes it took. In single quotes only \'
// is an escape.
func escaped(b []byte, quote byte) (c byte, n int) {
	if len(b) < 2 {
		return b[0], 1
	}
	c = b[1]
	if quote == '\'' {
		if c == '\'' {
			return c, 2
		}
		return b[0], 1
	}
	switch c {
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'b':
		c = '\b'
	case 'a':
		c = '\a'
	case 'x':
		if len(b) >= 4 {
			high, low := digit(b[2]), digit(b[3])
			if high >= 0 && low >= 0 {
				return byte(high<<4 | low), 4
			}
		}
	}
	return c, 2
}

// digit is the value of a hexadecimal digit, -1 if it is none.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

func isBlank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
