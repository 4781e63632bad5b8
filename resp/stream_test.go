package resp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func readStream(in io.Reader) (string, error) {
	b, err := io.ReadAll(NewStreamReader(bufio.NewReaderSize(in, 1024)))
	return string(b), err
}

// TestStream: the example of the specification of RESP 3, and others.
func TestStream(t *testing.T) {
	t.Parallel()
	chunked := func(parts ...string) string {
		b := []byte(StreamHead)
		for _, part := range parts {
			b = AppendChunk(b, []byte(part))
		}
		return string(b) + StreamEnd
	}
	const hello = "$?\r\n;4\r\nHell\r\n;6\r\no worl\r\n;1\r\nd\r\n;0\r\n"
	if got := chunked("Hell", "o worl", "d"); got != hello {
		t.Errorf("%q, want %q", got, hello)
	}
	long := strings.Repeat("0123456789\r\n;0\r\n", MaxChunk/16)
	for want, in := range map[string]string{
		"Hello world": chunked("Hell", "o worl", "d"),
		"":            chunked(),
		"\r\n;0\r\n":  chunked("\r", "\n;0\r\n"),
		long + "x":    chunked(long, "x"),
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole":        func(r io.Reader) io.Reader { return r },
			"bytes":        iotest.OneByteReader,
			"with the end": iotest.DataErrReader,
		} {
			if got, err := readStream(wrap(strings.NewReader(in))); got != want || err != nil {
				t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
			}
			if len(in) > 100 {
				continue
			}
			for n := range len(in) {
				got, err := readStream(wrap(strings.NewReader(in[:n])))
				if err != io.ErrUnexpectedEOF || !strings.HasPrefix(want, got) {
					t.Errorf("%s, cut off at %d of %d: %q, %v", name, n, len(in), got, err)
				}
			}
		}
	}
}

// TestStreamLeavesTheRest: what follows the string is not touched.
func TestStreamLeavesTheRest(t *testing.T) {
	t.Parallel()
	r := bufio.NewReaderSize(strings.NewReader("$?\r\n;1\r\nx\r\n;0\r\n+OK\r\n"), 1024)
	s := NewStreamReader(r)
	if b, err := io.ReadAll(s); string(b) != "x" || err != nil {
		t.Errorf("the stream is %q, %v, want x up to its end", b, err)
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "+OK\r\n" {
		t.Errorf("the rest is %q", rest)
	}
}

func TestStreamRefused(t *testing.T) {
	t.Parallel()
	var refused ErrorReply
	got, err := readStream(strings.NewReader("-BUSY later\r\n+OK\r\n"))
	if got != "" || !errors.As(err, &refused) || refused != "BUSY later" {
		t.Errorf("the stream is %q, %v, want the server's refusal", got, err)
	}
	var bad Error
	for _, in := range []string{
		"$5\r\nhello\r\n", "+OK\r\n", "\r\n", "$?\n;0\r\n", "$?\r\n:1\r\n", "$?\r\n1\r\n", "$?\r\n;\r\n",
		"$?\r\n;-1\r\n", "$?\r\n;+1\r\nx\r\n",
		"$?\r\n;1048577\r\n", "$?\r\n;4294967297\r\n",
		"$?\r\n;2\r\nabc\r\n;0\r\n", "$?\r\n;2\r\nab\n\n;0\r\n", "$?\r\n;1\r\nx\r\n-ERR\r\n",
		strings.Repeat("x", 2000), "-" + strings.Repeat("x", 2000) + "\r\n",
	} {
		if got, err := readStream(strings.NewReader(in)); !errors.As(err, &bad) || len(got) > 2 {
			t.Errorf("%.40q was read as %q, %v, want an Error and no bytes that are not there", in, got, err)
		}
	}
}

// FuzzStream: a reader says nothing that is not in its input, and what it takes whole has its end.
func FuzzStream(f *testing.F) {
	for _, in := range []string{"$?\r\n;4\r\nHell\r\n;0\r\n", "-ERR\r\n", "$?\r\n;0\r\n", "$?\r\n;99\r\n"} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := readStream(bytes.NewReader(in))
		if len(got) > len(in) {
			t.Errorf("%d bytes of %d", len(got), len(in))
		}
		if err == nil && (!bytes.HasPrefix(in, []byte(StreamHead)) || !bytes.Contains(in, []byte(";0"))) {
			t.Errorf("%q was taken for whole", in)
		}
	})
}
