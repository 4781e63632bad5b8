package resp

import (
	"slices"
	"unsafe"
)

// Parser finds the commands in what a client sent. It remembers how far it has looked into a
// command that is not whole yet, so that the work is in proportion to the bytes, however they are
// split. The zero value is ready.
type Parser struct {
	command []byte // the last whole command
	args    []span // its arguments, or those of the unfinished command that are there
	pos     int    // how many bytes of the unfinished command need no second look
	left    int    // arguments that an unfinished array still has to bring
	size    int    // of the next of them, -1 while it is not known
}

// span is the place of an argument in its command.
type span struct{ from, to uint32 }

// Next parses the command at the beginning of b and returns its length in bytes, or 0 if it is not
// whole: then b has to begin with the same bytes in the next call, at whatever address. A command
// may have no arguments (Len); it asks for nothing and is not answered. Escapes of an inline
// command are resolved in place, so b may be changed. After an error, an Error, the parser is not
// to be used again before Reset.
func (p *Parser) Next(b []byte) (int, error) {
	if p.left == 0 {
		if len(b) == 0 {
			return 0, nil
		}
		p.args = p.args[:0]
		if b[0] != '*' {
			return p.inline(b)
		}
		n, next := length(b, 1)
		switch {
		case next == 0:
			return 0, nil
		case n > MaxArgs:
			return 0, errManyArgs
		case next < 0:
			return 0, errArrayLength
		case n <= 0:
			return p.whole(b, next), nil
		}
		p.left, p.pos, p.size = n, next, -1
	}
	for p.left > 0 {
		if p.size < 0 {
			if p.pos == len(b) {
				return 0, nil
			}
			if b[p.pos] != '$' {
				return 0, Error("expected '$', got '" + string(b[p.pos:p.pos+1]) + "'")
			}
			n, next := short(b[p.pos+1:])
			if next > 0 {
				next += p.pos + 1
			} else if n, next = length(b, p.pos+1); next == 0 {
				return 0, nil
			}
			if n > MaxCommand || next > 0 && n >= 0 && next+n+2 > MaxCommand {
				return 0, errLongCommand
			}
			if next < 0 || n < 0 {
				return 0, errBulkLength
			}
			p.pos, p.size = next, n
		}
		end := p.pos + p.size
		if end+2 > len(b) {
			return 0, nil
		}
		if b[end] != '\r' || b[end+1] != '\n' {
			return 0, errBulkEnd
		}
		p.args = append(p.args, span{uint32(p.pos), uint32(end)})
		p.pos, p.size = end+2, -1
		p.left--
	}
	return p.whole(b, p.pos), nil
}

// whole ends a command of n bytes.
func (p *Parser) whole(b []byte, n int) int {
	p.command, p.pos = b[:n], 0
	return n
}

// Needs is how many bytes the unfinished command has at least, 0 if nothing is known of it.
func (p *Parser) Needs() int {
	if p.left == 0 {
		return 0
	}
	return p.pos + max(p.size, 0) + 2
}

// Room is how many bytes of memory the parser holds.
func (p *Parser) Room() int { return cap(p.args) * int(unsafe.Sizeof(span{})) }

// Trim gives back the memory that the unfinished command does not need. It forgets the arguments of
// the command that Next found last.
func (p *Parser) Trim() {
	if p.left == 0 {
		p.args = nil
		return
	}
	p.args = slices.Clip(slices.Clone(p.args))
}

// Len is the number of arguments of the command that Next found, its name included.
func (p *Parser) Len() int { return len(p.args) }

// Arg is the i-th argument of the command that Next found; the 0th is the name. It is a part of the
// bytes that Next was given.
func (p *Parser) Arg(i int) []byte {
	s := p.args[i]
	return p.command[s.from:s.to:s.to]
}

// Reset makes the parser ready for another connection, and gives back room for more than a few
// arguments.
func (p *Parser) Reset() {
	args := p.args[:0]
	if cap(args) > keptArgs {
		args = nil
	}
	*p = Parser{args: args}
}

// keptArgs is for how many arguments Reset keeps room.
const keptArgs = 64

// short is length for what nearly all lengths are, one or two digits. It returns 0, 0 for anything
// else.
func short(b []byte) (n, next int) {
	if len(b) < 4 {
		return 0, 0
	}
	n = int(b[0]) - '0'
	if b[1] == '\r' && b[2] == '\n' && uint(n) <= 9 {
		return n, 3
	}
	d := int(b[1]) - '0'
	if b[2] == '\r' && b[3] == '\n' && uint(n-1) < 9 && uint(d) <= 9 {
		return 10*n + d, 4
	}
	return 0, 0
}

// length reads a decimal number and the line end after it, and returns the number and where the
// next line begins: 0 if the line is not whole, less than 0 if it is none or the number is above
// every bound. Numbers are written as Redis wants them, without superfluous zeros.
func length(b []byte, at int) (n, next int) {
	const most = 1 << 24 // above every bound
	from, sign := at, 1
	if at < len(b) && b[at] == '-' {
		at++
		from, sign = at, -1
	}
	for ; at < len(b); at++ {
		c := b[at]
		if c-'0' > 9 {
			break
		}
		n = 10*n + int(c-'0')
		if at > from && b[from] == '0' {
			return 0, -1
		}
		if n > most {
			return sign * n, -1
		}
	}
	switch {
	case at == len(b):
		return 0, 0
	case at == from || b[at] != '\r' || n == 0 && sign < 0:
		return 0, -1
	case at+1 == len(b):
		return 0, 0
	case b[at+1] != '\n':
		return 0, -1
	}
	return sign * n, at + 2
}

// Begins tells whether a command may begin with this byte: an array, the name of an inline command,
// or an empty line.
func Begins(first byte) bool {
	return first == '*' || 'a' <= first && first <= 'z' || 'A' <= first && first <= 'Z' ||
		first == '\r' || first == '\n'
}
