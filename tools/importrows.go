package tools

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"gcd/store/core"
)

// maxRow is the longest row of a table in bytes. The longest topic in quotes fits, though each of
// its bytes is a quote.
const maxRow = 256 << 10

// rows reads a table of topics and sums: CSV as RFC 4180 describes it, where a line is a row,
// unless a field in quotes has line ends. After a row that is wrong it goes on with the next line.
type rows struct {
	from  *bufio.Reader
	line  uint64 // of the present row, from 1
	next  uint64 // of the next one
	topic []byte
}

// row is one of them.
type row struct {
	topic []byte // valid until the next row
	sum   uint64
	names bool // it has the names of the columns, and nothing else
}

// What may be wrong with a row before its fields are looked at.
var (
	errRowTooLong = badf("the line is longer than %d bytes", maxRow)
	errOpenQuote  = badf(`the quote (") that it begins with has no end`)
	errNoLineEnd  = badf("the line has no end, so the table may be cut off in it; if it is whole, " +
		"end it with a newline")
)

// newRows begins to read. Something that is not a table is a *badLine.
func newRows(from io.Reader) (*rows, error) {
	t := &rows{from: bufio.NewReaderSize(from, maxRow), next: 1}
	for _, other := range []struct{ begins, means string }{
		{"\uFEFF", ""}, // the byte order mark, which some programs begin a text with
		{"\x1f\x8b", packed("compressed with gzip", "gunzip -c")},
		{"BZh91AY&SY", packed("compressed with bzip2", "bunzip2 -c")},
		{"\xfd7zXZ\x00", packed("compressed with xz", "xz -dc")},
		{"\x28\xb5\x2f\xfd", packed("compressed with zstd", "zstd -dc")},
		{"PK\x03\x04", "it is a zip archive, or a workbook: save it as CSV"},
		{"\xff\xfe", packed("UTF-16", "iconv -f UTF-16 -t UTF-8")},
		{"\xfe\xff", packed("UTF-16", "iconv -f UTF-16 -t UTF-8")},
		{"# gcd_dump ", "this is a dump: \"gcd-tool restore\" reads it"},
		{`{"gcd_dump":`, "this is a dump: \"gcd-tool restore\" reads it"},
	} {
		begins, err := t.from.Peek(len(other.begins))
		switch {
		case err != nil && err != io.EOF:
			return nil, err
		case string(begins) != other.begins:
		case other.means != "":
			return nil, badf("%s", other.means)
		default:
			_, _ = t.from.Discard(len(begins)) // which were seen
		}
	}
	return t, nil
}

// packed says what a table is packed in, and how to read it all the same.
func packed(in, program string) string {
	return fmt.Sprintf(`it is %s: "%s FILE | gcd-tool import - DIR" reads it`, in, program)
}

// read reads the next row. What is wrong with it is a *badLine. After the last row it is io.EOF.
func (t *rows) read() (row, error) {
	text, err := t.extent()
	if err != nil {
		return row{}, err
	}
	return t.parse(text)
}

// extent reads the bytes of the next row, without its end.
func (t *rows) extent() ([]byte, error) {
	t.line = t.next
	for {
		text, _ := t.from.Peek(t.from.Buffered())
		if end := rowEnd(text); end >= 0 {
			return bytes.TrimSuffix(t.take(text[:end+1]), []byte{'\r'}), nil
		}
		switch _, err := t.from.Peek(len(text) + 1); { // more than there is, so that it reads
		case err == nil:
		case err != io.EOF && err != bufio.ErrBufferFull:
			return nil, err
		case len(text) == 0:
			return nil, io.EOF
		default:
			return nil, t.broken(text, err)
		}
	}
}

// rowEnd is the place of the newline that ends the row with which text begins; -1 if it is not
// there.
func rowEnd(text []byte) int {
	from := 0
	if bytes.HasPrefix(text, []byte{'"'}) {
		if from = closingQuote(text); from < 0 {
			return -1
		}
	}
	end := bytes.IndexByte(text[from:], '\n')
	if end < 0 {
		return -1
	}
	return from + end
}

// closingQuote is the place of the quote that ends the field in quotes with which text begins; -1
// if it is not there.
func closingQuote(text []byte) int {
	for at := 1; ; at += 2 {
		next := bytes.IndexByte(text[at:], '"')
		if next < 0 {
			return -1
		}
		if at += next; at+1 == len(text) || text[at+1] != '"' {
			return at
		}
	}
}

// take steps over a row and its newline, and returns the row without the newline.
func (t *rows) take(line []byte) []byte {
	t.next += uint64(bytes.Count(line, []byte{'\n'}))
	_, _ = t.from.Discard(len(line)) // which were seen, and stay where they are until more is read
	return line[:len(line)-1]
}

// broken steps over a row without an end: the table ends before, or the row is longer than a row
// may be.
func (t *rows) broken(text []byte, why error) error {
	if text[0] == '"' && closingQuote(text) < 0 {
		if end := bytes.IndexByte(text, '\n'); end >= 0 { // the next line is a row of its own
			t.take(text[:end+1])
			return errOpenQuote
		}
	}
	t.next += uint64(bytes.Count(text, []byte{'\n'})) + 1
	_, _ = t.from.Discard(len(text))
	if why == io.EOF {
		return errNoLineEnd
	}
	for {
		switch _, err := t.from.ReadSlice('\n'); err {
		case bufio.ErrBufferFull:
		case nil, io.EOF:
			return errRowTooLong
		default:
			return err
		}
	}
}

// parse takes a row apart.
func (t *rows) parse(text []byte) (row, error) {
	p := parts{left: text}
	quoted := bytes.HasPrefix(text, []byte{'"'})
	t.topic = p.csvField(t.topic[:0])
	switch {
	case len(text) == 0:
		return row{}, badf("it is empty")
	case p.bad || !p.try(","):
		return row{}, badf("it is not topic,sum: there is no comma after the topic")
	case !quoted && bytes.IndexByte(t.topic, '"') >= 0:
		return row{}, badf(`the topic %.64q has a quote ("): put it in quotes, and double the one in it`, t.topic)
	case !quoted && len(t.topic) == 0:
		return row{}, badf(`the topic is missing; the empty topic is ""`)
	case len(t.topic) > core.MaxTopicLen:
		return row{}, badf("the topic has %d bytes, the longest may have %d", len(t.topic), core.MaxTopicLen)
	case !utf8.Valid(t.topic):
		return row{}, badf("the topic %.64q is not UTF-8", t.topic)
	}
	number := p.left
	if inner := bytes.Trim(number, `"`); len(number) == len(inner)+2 {
		number = inner
	}
	if bytes.IndexByte(number, ',') >= 0 {
		return row{}, badf("it has more than two fields; a topic with a comma is put in quotes")
	}
	if t.line == 1 && bytes.EqualFold(t.topic, []byte("topic")) && bytes.EqualFold(number, []byte("sum")) {
		return row{names: true}, nil
	}
	sum, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		names := ""
		if t.line == 1 {
			names = `; the names of columns have to be topic,sum`
		}
		return row{}, badf("the sum %.32q is no whole number from 0 to %d%s", number, uint64(math.MaxUint64), names)
	}
	return row{topic: t.topic, sum: sum}, nil
}
