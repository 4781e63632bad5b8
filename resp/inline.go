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
	if !p.words(line) {
		return 0, errQuotes
	}
	for i, s := range p.args { // now that the line is known to be one: what is wrong stays as it was sent
		p.args[i].to = s.from + uint32(unquote(line[s.from:s.to]))
	}
	return p.whole(b, end+1), nil
}

// words finds the words of a line, as they are written. It returns false if a quotation does not
// end, or not where its word does.
func (p *Parser) words(line []byte) bool {
	for at := 0; ; {
		for at < len(line) && isBlank(line[at]) {
			at++
		}
		if at == len(line) {
			return true
		}
		from := at
	word:
		for at < len(line) && !endsWord(line[at]) {
			quote := line[at]
			if at++; !isQuote(quote) {
				continue
			}
			for ; ; at++ {
				if at == len(line) {
					return false
				}
				if line[at] == quote {
					break
				}
				if line[at] == '\\' {
					_, n := escaped(line[at:], quote)
					at += n - 1
				}
			}
			if at++; at < len(line) && !isBlank(line[at]) {
				return false
			}
			break word
		}
		p.args = append(p.args, span{uint32(from), uint32(at)})
	}
}

// unquote resolves the quotes and escapes of a word, in place, and returns how long it is then.
func unquote(word []byte) int {
	to := 0
	quote := byte(0) // the one that has not ended yet
	for at := 0; at < len(word); {
		c, n := word[at], 1
		switch {
		case quote == 0 && isQuote(c):
			quote = c
			at++
			continue
		case quote != 0 && c == quote:
			quote = 0
			at++
			continue
		case quote != 0 && c == '\\':
			c, n = escaped(word[at:], quote)
		}
		word[to] = c
		to, at = to+1, at+n
	}
	return to
}

// escaped resolves what begins with a backslash inside of a quotation, and returns how many bytes
// it took. In single quotes only \' is an escape.
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

func isQuote(c byte) bool { return c == '"' || c == '\'' }

// isBlank reports whether a byte is skipped before a word, and may follow a quotation.
func isBlank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// endsWord reports whether a byte ends a word without quotes. A vertical tab or a form feed, which
// are blanks before a word, belong to it, as they do in Redis.
func endsWord(c byte) bool { return isBlank(c) && c != '\v' && c != '\f' }
