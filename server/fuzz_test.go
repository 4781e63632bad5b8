package server_test

import (
	"bytes"
	"testing"
	"time"
	"unicode/utf8"

	"gcd/server"
)

// FuzzGarbage sends arbitrary bytes in two parts. A request is counted as what it says however it
// was split; everything else is refused and changes nothing; over UDP what may not be answered is
// not.
func FuzzGarbage(f *testing.F) {
	for _, seed := range []string{"", "\x00", "\x01", "\x00orders", "\x01orders", "\x00\xff", "\x02x", "\x7f",
		"\x80\x01", "\xff\x01", "GET / HTTP/1.1\r\n",
		"\x16\x03\x01\x02\x00\x01\x00", "*1\r\n$4\r\nPING\r\n", "\x00\xe6\x97\xa5", "\x00\xc3", "\x00a\x00b",
		"\x00" + string(bytes.Repeat([]byte("x"), 70000))} {
		f.Add([]byte(seed), uint(1))
		f.Add([]byte(seed), uint(len(seed)/2))
	}
	f.Fuzz(func(t *testing.T, msg []byte, split uint) {
		valid := len(msg) > 0 && len(msg) <= 65536 && msg[0] < 2 && utf8.Valid(msg[1:])
		for _, d := range dispatches {
			s, backend := serveFake(t, server.Options{Dispatch: d, Settle: never, NoRESP: true})
			c := dial(t, "tcp", s.addr("tcp"))
			at := min(int(split%70000), len(msg))
			if at >= 2 && at < 536 { // a beginning that looks complete could be answered before the rest is sent
				at = 0
			}
			send(t, c, msg[:at])
			send(t, c, msg[at:])
			closeWrite(c)
			check(t, answer(t, c), msg, valid)

			if len(msg) > 65507 {
				continue
			}
			u := dial(t, "udp", s.addr("udp"))
			send(t, u, msg)
			if len(msg) == 0 || msg[0] >= 128 {
				send(t, u, count("a sign of life"))
				u.SetReadDeadline(time.Now().Add(patience))
				wantAnswer(t, answer(t, u), 128, 1)
				continue
			}
			got := answer(t, u)
			if valid && msg[0] == 0 {
				wantAnswer(t, got, 128, 2) // the second of two
			} else {
				check(t, got, msg, valid)
			}
			if state := backend.state(); valid != (len(state) == 1) {
				t.Errorf("%d topics after %q", len(state), msg)
			}
		}
	})
}

func check(t *testing.T, got, msg []byte, valid bool) {
	t.Helper()
	switch {
	case !valid:
		if len(got) < 2 || got[0] != 255 {
			t.Errorf("%.40q was answered % x", msg, got)
		}
	case msg[0] == 0:
		wantAnswer(t, got, 128, 1)
	default:
		wantAnswer(t, got, 129)
	}
}
