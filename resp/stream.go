package resp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// A streamed string is one whose length nobody knows when it begins: StreamHead, chunks, and
// StreamEnd, without which it is not whole.
const (
	StreamHead = "$?\r\n"
	StreamEnd  = ";0\r\n"
)

// AppendChunk appends a part of a streamed string, which must not be empty.
func AppendChunk(dst, b []byte) []byte {
	dst = appendHead(dst, ';', int64(len(b)))
	dst = append(dst, b...)
	return append(dst, '\r', '\n')
}

// MaxChunk is the most bytes of a chunk that a StreamReader takes.
const MaxChunk = 1 << 20

// ErrorReply is an error that a server answered with.
type ErrorReply string

func (e ErrorReply) Error() string { return string(e) }

// StreamReader reads the content of a streamed string. Its Read returns io.EOF after the end of
// the string, and io.ErrUnexpectedEOF if it was cut off before; ErrorReply if there is an error
// instead of a string; an Error for what is neither.
type StreamReader struct {
	r     *bufio.Reader
	begun bool
	left  int // bytes of the chunk that is being read
	err   error
}

// NewStreamReader makes a reader. A line that is longer than r's buffer, be it an error's, is an
// Error.
func NewStreamReader(r *bufio.Reader) *StreamReader { return &StreamReader{r: r} }

func (s *StreamReader) Read(p []byte) (int, error) {
	if s.err != nil || len(p) == 0 {
		return 0, s.err
	}
	if s.left == 0 {
		if s.err = s.next(); s.err != nil {
			return 0, s.err
		}
	}
	n, err := s.r.Read(p[:min(len(p), s.left)])
	s.left -= n
	if err == nil && s.left == 0 {
		err = s.lineEnd()
	}
	s.err = cut(err)
	return n, s.err
}

// next reads up to the content of a chunk.
func (s *StreamReader) next() error {
	if !s.begun {
		line, err := s.line()
		switch {
		case err != nil:
			return err
		case len(line) > 0 && line[0] == '-':
			return ErrorReply(line[1:])
		case string(line) != "$?":
			return Error(fmt.Sprintf("%.32q is where a streamed string should begin", line))
		}
		s.begun = true
	}
	line, err := s.line()
	if err != nil {
		return err
	}
	digits, ok := bytes.CutPrefix(line, []byte(";"))
	n, err := strconv.ParseUint(string(digits), 10, 32)
	if !ok || err != nil || n > MaxChunk {
		return Error(fmt.Sprintf("%.32q is where a part of a streamed string should begin", line))
	}
	if n == 0 {
		return io.EOF
	}
	s.left = int(n)
	return nil
}

// line reads a line, which is valid until the next read.
func (s *StreamReader) line() ([]byte, error) {
	line, err := s.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		err = Error("a line is too long")
	}
	if err != nil {
		return nil, cut(err)
	}
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return nil, Error("a line does not end as lines do")
	}
	return line, nil
}

func (s *StreamReader) lineEnd() error {
	var end [2]byte
	if _, err := io.ReadFull(s.r, end[:]); err != nil {
		return err
	}
	if string(end[:]) != "\r\n" {
		return Error("a part of a streamed string is longer than it says")
	}
	return nil
}

// cut names an end that comes too soon.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
