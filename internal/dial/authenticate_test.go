package dial

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gcd/codec"
	"gcd/internal/servertest"
)

// What a server answers to a token, and how much of what it says is read.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"+OK\r\n":                           "",
		"-WRONGPASS no\r\n":                 "not authenticated (code 21): WRONGPASS no",
		"-WRONGPASS too many failed\r\n":    "too many failed authentications (code 23): WRONGPASS too many failed",
		"-ERR unknown command 'AUTH'\r\n":   "not authenticated (code 21): ERR unknown command 'AUTH'",
		"-LOADING its log\r\n":              "still loading (code 14): LOADING its log",
		"-ERR \x1b[2Jgone\r\n":              "not authenticated (code 21)",
		"\xff\x15a token needs RESP":        "not authenticated (code 21): a token needs RESP",
		"+PONG\r\n":                         `the answer to AUTH is none: "+PONG\r\n"`,
		":1":                                `the answer to AUTH is none: ":"`,
		"+O":                                "the server closed the connection on AUTH",
		"":                                  "the server closed the connection on AUTH",
		"+" + strings.Repeat("x", 100_000):  "the answer to AUTH is none: ",
		"\xff" + strings.Repeat("x", 1_000): "refusal code 120 (code 120)",
	} {
		addr := servertest.TCP(t, func(conn *net.TCPConn) {
			if got, _ := io.ReadAll(io.LimitReader(conn, int64(len("*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n")))); len(got) > 0 {
				io.WriteString(conn, answer)
				if answer == "+OK\r\n" {
					io.WriteString(conn, "rest")
				}
			}
		})
		conn, err := Open(t.Context(), new(net.Dialer), addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(servertest.Patience))
		err = Authenticate(conn, "x")
		said := fmt.Sprint(err)
		if err == nil {
			said = ""
			if rest, _ := io.ReadAll(conn); string(rest) != "rest" {
				t.Errorf("after the answer comes %q, want all of it", rest)
			}
		}
		if !strings.HasPrefix(said, want) || want == "" && err != nil {
			t.Errorf("%.40q: %v, want %q", answer, err, want)
		}
		var refusal *codec.RefusalError
		if isRefusal := errors.As(err, &refusal); isRefusal != strings.Contains(want, "(code") {
			t.Errorf("%.40q: that it is a refusal is %v: %v", answer, isRefusal, err)
		}
	}
}
