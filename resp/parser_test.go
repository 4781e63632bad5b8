package resp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// parsed is what a parser makes of bytes: the commands, and what it left.
type parsed struct {
	commands [][]string
	rest     string // the beginning of a command, or what follows an error
	err      error
}

func (p parsed) String() string {
	return fmt.Sprintf("%q, rest %.60q, error %v", p.commands, p.rest, p.err)
}

// parse feeds a parser pieces of a stream, as a connection would: it keeps what is not yet a
// command.
func parse(p *Parser, pieces ...string) parsed {
	var got parsed
	var buffer []byte
	for _, piece := range pieces {
		// A new address each time, and none of the old bytes beyond.
		buffer = slices.Clip(append(slices.Clone(buffer), piece...))
		for {
			n, err := p.Next(buffer)
			if err != nil {
				got.err = err
				return got
			}
			if n == 0 {
				break
			}
			var args []string
			for i := range p.Len() {
				args = append(args, string(p.Arg(i)))
			}
			got.commands = append(got.commands, args)
			buffer = buffer[n:]
		}
	}
	got.rest = string(buffer)
	return got
}

// commands are streams of whole commands.
var commands = []struct {
	in   string
	want [][]string
}{
	{"", nil},
	{"*1\r\n$4\r\nPING\r\n", [][]string{{"PING"}}},
	{"*2\r\n$4\r\nINCR\r\n$6\r\norders\r\n", [][]string{{"INCR", "orders"}}},
	{"*2\r\n$4\r\nINCR\r\n$10\r\n0123456789\r\n", [][]string{{"INCR", "0123456789"}}},
	{"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", [][]string{{"ECHO", ""}}},
	{"*1\r\n$0\r\n\r\n", [][]string{{""}}},
	{"*2\r\n$4\r\nECHO\r\n$8\r\na\r\nb\x00\xff\n$\r\n", [][]string{{"ECHO", "a\r\nb\x00\xff\n$"}}},
	{"*0\r\n", [][]string{nil}},
	{"*-1\r\n", [][]string{nil}},
	{"*-17\r\n*1\r\n$1\r\na\r\n", [][]string{nil, {"a"}}},
	{"*2\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n$1\r\nc\r\n", [][]string{{"a", "b"}, {"c"}}},
	{"*1\r\n$123\r\n" + strings.Repeat("x", 123) + "\r\n", [][]string{{strings.Repeat("x", 123)}}},
	{"*12\r\n" + strings.Repeat("$1\r\ny\r\n", 12), [][]string{slices.Repeat([]string{"y"}, 12)}},

	{"PING\r\n", [][]string{{"PING"}}},
	{"PING\n", [][]string{{"PING"}}},
	{"\r\n\nPING\r\n \t \r\n", [][]string{nil, nil, {"PING"}, nil}},
	{"  INCR \t x  \r\n", [][]string{{"INCR", "x"}}},
	{"a\rb\n", [][]string{{"a", "b"}}},
	{"\v\fa\v\fb \f\"c\"\vd\n", [][]string{{"a\v\fb", "c", "d"}}},
	{"INCR \xc3\xa9\x00\xff\n", [][]string{{"INCR", "\xc3\xa9\x00\xff"}}},
	{`INCR "two words" ''` + "\n", [][]string{{"INCR", "two words", ""}}},
	{`ECHO "\x41\x4a\xfF\n\r\t\b\a\\\"\q\x4g"` + "\n", [][]string{{"ECHO", "AJ\xff\n\r\t\b\a\\\"qx4g"}}},
	{`ECHO 'it\'s \n "raw" \'` + "' b\n", [][]string{{"ECHO", `it's \n "raw" '`, "b"}}},
	{`ECHO pre"fix ed" x"y"` + "\n", [][]string{{"ECHO", "prefix ed", "xy"}}},
	{"PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n", [][]string{{"PING"}, {"PING"}, {"PING"}}},
}

func TestCommands(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		got := parse(new(Parser), c.in)
		if !slices.EqualFunc(got.commands, c.want, slices.Equal) || got.rest != "" || got.err != nil {
			t.Errorf("%.60q: %v, want %q", c.in, got, c.want)
		}
	}
}

// What is not whole yet is neither a command nor an error.
func TestUnfinishedCommands(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		for n := range len(c.in) {
			got := parse(new(Parser), c.in[:n])
			if got.err != nil || len(got.commands) > len(c.want) {
				t.Errorf("%.60q cut at %d: %v", c.in, n, got)
			}
			for i, command := range got.commands {
				if !slices.Equal(command, c.want[i]) {
					t.Errorf("%.60q cut at %d: %v", c.in, n, got)
				}
			}
		}
	}
}

// What an unfinished command needs is known as far as it says so, and it needs nothing that Trim
// gives back.
func TestNeedsAndTrim(t *testing.T) {
	t.Parallel()
	in := "*3\r\n$4\r\nECHO\r\n$300\r\n" + strings.Repeat("x", 300) + "\r\n$1\r\ny\r\n"
	known := strings.Index(in, "x") // how long the second argument is
	p := new(Parser)
	for n := range len(in) {
		if size, err := p.Next([]byte(in[:n])); size != 0 || err != nil {
			t.Fatalf("cut at %d: %d, %v", n, size, err)
		}
		if needs := p.Needs(); needs > len(in) || n >= known && needs < known+302 || n < 4 && needs != 0 {
			t.Errorf("cut at %d it needs %d bytes of %d", n, needs, len(in))
		}
		if p.Trim(); p.Room() > 3*8 {
			t.Errorf("cut at %d: %d bytes are held", n, p.Room())
		}
	}
	size, err := p.Next([]byte(in))
	if size != len(in) || err != nil || p.Len() != 3 || string(p.Arg(2)) != "y" || p.Needs() != 0 {
		t.Errorf("%d, %v, %d arguments", size, err, p.Len())
	}
	if p.Trim(); p.Room() != 0 {
		t.Errorf("%d bytes are held for nothing", p.Room())
	}
}

var malformed = []struct {
	in   string
	text string // of the error, or its beginning if it ends with "…"
}{
	{"*a\r\n", "invalid multibulk length"},
	{"*\r\n", "invalid multibulk length"},
	{"*+1\r\n", "invalid multibulk length"},
	{"*01\r\n", "invalid multibulk length"},
	{"*-0\r\n", "invalid multibulk length"},
	{"*-\r\n", "invalid multibulk length"},
	{"*1x\r\n", "invalid multibulk length"},
	{"*1\n$1\r\na\r\n", "invalid multibulk length"},
	{"*1\rx", "invalid multibulk length"},
	{"*65536\r\n", "invalid multibulk length: a command has at most 65535 arguments"},
	{"*99999999999999999999999999\r\n", "invalid multibulk length: a command has at most 65535 arguments"},
	{"*1\r\n:5\r\n", "expected '$', got ':'"},
	{"*1\r\n\r\n", "expected '$', got '\r'"},
	{"*2\r\n$1\r\na\r\nb\r\n", "expected '$', got 'b'"},
	{"*1\r\n$-1\r\n", "invalid bulk length"},
	{"*1\r\n$x\r\n", "invalid bulk length"},
	{"*1\r\n$05\r\nhello\r\n", "invalid bulk length"},
	{"*1\r\n$1048576\r\n", "invalid bulk length: a command has at most 1048576 bytes"},
	{"*1\r\n$1\nab", "invalid bulk length"},
	{"*1\r\n$2147483648\r\n", "invalid bulk length: a command has at most 1048576 bytes"},
	{"*2\r\n$600000\r\n" + strings.Repeat("x", 600000) + "\r\n$500000\r\n",
		"invalid bulk length: a command has at most 1048576 bytes"},
	{"*1\r\n$1\r\nab\r\n", "expected the end of a line…"},
	{"*1\r\n$1\r\na\r\r", "expected the end of a line…"},
	{"*1\r\n$1\r\na\n\n", "expected the end of a line…"},
	{`ECHO "unfinished` + "\r\n", "unbalanced quotes in request"},
	{`ECHO 'unfinished` + "\r\n", "unbalanced quotes in request"},
	{`ECHO "a"b` + "\r\n", "unbalanced quotes in request"},
	{`ECHO 'a'"b"` + "\r\n", "unbalanced quotes in request"},
	{`ECHO "\` + "\n", "unbalanced quotes in request"},
	{strings.Repeat("x", MaxInline+1), "too big inline request"},
	{strings.Repeat("x", MaxInline+1) + "\n", "too big inline request"},
}

func saysError(e Error, text string) bool {
	said, ok := strings.CutPrefix(e.Error(), "Protocol error: ")
	beginning, cut := strings.CutSuffix(text, "…")
	return ok && (said == text || cut && strings.HasPrefix(said, beginning))
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, c := range malformed {
		got := parse(new(Parser), "*1\r\n$1\r\na\r\n"+c.in)
		var e Error
		if !errors.As(got.err, &e) || !saysError(e, c.text) {
			t.Errorf("%.60q: %v, want an error with %q", c.in, got, c.text)
		}
		if len(got.commands) != 1 {
			t.Errorf("%.60q: the command before it is lost: %v", c.in, got)
		}
	}
}

// Who is told of a malformed line, the log, sees it as it was sent.
func TestMalformedInlineIsAsItWas(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`ECHO "a b" a"b c"d`, `ECHO 'a' "\x41`, `"a\n" 'b'c`} {
		b := []byte(in + "\n")
		if _, err := new(Parser).Next(b); err != errQuotes || string(b) != in+"\n" {
			t.Errorf("%q: %v, and it is %q after that", in, err, b)
		}
	}
}

// However a stream is split into packets, it says the same.
func TestEverySplit(t *testing.T) {
	t.Parallel()
	streams := []string{"*3\r\n$3\r\nDEL\r\n$1\r\na\r\n$12\r\n123456789012\r\n" +
		"GET \"a b\"\r\n\r\n*0\r\n*1\r\n$0\r\n\r\nPING\n*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n"}
	for _, c := range commands {
		streams = append(streams, c.in)
	}
	for _, c := range malformed {
		if len(c.in) < 100 {
			streams = append(streams, c.in)
		}
	}
	for _, in := range streams {
		whole := parse(new(Parser), in).String()
		for i := range len(in) + 1 {
			for j := i; j <= len(in); j++ {
				if got := parse(new(Parser), in[:i], in[i:j], in[j:]).String(); got != whole {
					t.Fatalf("%.60q split at %d and %d: %s, want %s", in, i, j, got, whole)
				}
			}
		}
		if got := parse(new(Parser), strings.Split(in, "")...).String(); got != whole {
			t.Fatalf("%.60q byte by byte: %s, want %s", in, got, whole)
		}
	}
}

func TestLargest(t *testing.T) {
	t.Parallel()
	head := "*2\r\n$4\r\nECHO\r\n$1048550\r\n"
	value := strings.Repeat("x", 1048550)
	if n := len(head) + len(value) + 2; n != MaxCommand {
		t.Fatalf("the longest command here has %d bytes, want %d", n, MaxCommand)
	}
	got := parse(new(Parser), head+value+"\r\n")
	if len(got.commands) != 1 || got.commands[0][1] != value {
		t.Errorf("the longest command: %.100v", got.String())
	}
	if got := parse(new(Parser), "*2\r\n$4\r\nECHO\r\n$1048551\r\n"); got.err != errLongCommand {
		t.Errorf("one byte more: %v", got)
	}
	many := parse(new(Parser), "*65535\r\n"+strings.Repeat("$1\r\nx\r\n", 65535))
	if len(many.commands) != 1 || len(many.commands[0]) != MaxArgs {
		t.Errorf("%d commands, error %v", len(many.commands), many.err)
	}
	inline := parse(new(Parser), strings.Repeat("x", MaxInline)+"\n")
	if len(inline.commands) != 1 || len(inline.commands[0][0]) != MaxInline {
		t.Errorf("the longest line: %.100v", inline.String())
	}
}

// A parser asks for no more memory than the bytes that it was given pay for, whatever they
// announce.
func TestAnnouncedLengthsCostNothing(t *testing.T) {
	t.Parallel()
	in := []byte("*65535\r\n$1\r\na\r\n$1048000\r\nabc")
	p := new(Parser)
	if n, err := p.Next(in); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if cap(p.args) > 64 {
		t.Errorf("room for %d arguments after 2", cap(p.args))
	}
}

// The bytes of an unfinished command are looked at once, not again with each packet.
func TestUnfinishedCommandIsNotParsedAgain(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"*60000\r\n" + strings.Repeat("$1\r\nx\r\n", 59999), strings.Repeat("word ", 13000)} {
		p := new(Parser)
		b := []byte(in)
		if n, err := p.Next(b); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		at, args := p.pos, len(p.args)
		if at < len(b)-2 {
			t.Errorf("%.20q: only %d of %d bytes are done with", in, at, len(b))
		}
		clear(b[:at]) // who looked again would find nothing that makes sense
		if n, err := p.Next(append(b, 'y')[:len(b)]); n != 0 || err != nil || p.pos < at || len(p.args) < args {
			t.Errorf("%.20q: %d, %v; at %d with %d arguments, was at %d with %d",
				in, n, err, p.pos, len(p.args), at, args)
		}
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	p := new(Parser)
	parse(p, "*1000\r\n"+strings.Repeat("$1\r\nx\r\n", 999)+"$50\r\nhal")
	p.Reset()
	if got := parse(p, "PING\r\n"); len(got.commands) != 1 || got.commands[0][0] != "PING" {
		t.Errorf("after an unfinished command and a reset: %v", got)
	}
	if cap(p.args) > keptArgs {
		t.Errorf("room for %d arguments is kept", cap(p.args))
	}
}

func TestParsingDoesNotAllocate(t *testing.T) {
	in := []byte("*2\r\n$4\r\nINCR\r\n$6\r\norders\r\nGET \"a b\"\r\n")
	p := new(Parser)
	if n := testing.AllocsPerRun(100, func() {
		for rest := in; len(rest) > 0; {
			n, err := p.Next(rest)
			if n == 0 || err != nil {
				t.Fatal(n, err)
			}
			rest = rest[n:]
		}
		copy(in, "*2\r\n$4\r\nINCR\r\n$6\r\norders\r\nGET \"a b\"\r\n") // quotes were resolved in place
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
