package resp

import (
	"math"
	"testing"
)

func TestReplies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{AppendSimple(nil, "OK"), "+OK\r\n"},
		{AppendError(nil, "ERR no\r\nway"), "-ERR no  way\r\n"},
		{AppendInt(nil, 0), ":0\r\n"},
		{AppendInt(nil, math.MaxInt64), ":9223372036854775807\r\n"},
		{AppendInt(nil, -2), ":-2\r\n"},
		{AppendBulk(nil, "a\r\nb"), "$4\r\na\r\nb\r\n"},
		{AppendBulk(nil, []byte{}), "$0\r\n\r\n"},
		{AppendDecimal(nil, 0), "$1\r\n0\r\n"},
		{AppendDecimal(nil, 9), "$1\r\n9\r\n"},
		{AppendDecimal(nil, 10), "$2\r\n10\r\n"},
		{AppendDecimal(nil, math.MaxUint64), "$20\r\n18446744073709551615\r\n"},
		{AppendArray(nil, 0), "*0\r\n"},
		{AppendArray(nil, 12), "*12\r\n"},
		{V2.AppendMap(nil, 3), "*6\r\n"},
		{V3.AppendMap(nil, 3), "%3\r\n"},
		{V2.AppendSet(nil, 3), "*3\r\n"},
		{V3.AppendSet(nil, 3), "~3\r\n"},
		{V2.AppendNull(nil), "$-1\r\n"},
		{V3.AppendNull(nil), "_\r\n"},
		{V2.AppendText(nil, []byte("a\nb")), "$3\r\na\nb\r\n"},
		{V3.AppendText(nil, []byte("a\nb")), "=7\r\ntxt:a\nb\r\n"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	for n := uint64(1); n < 1e19; n *= 10 {
		for _, n := range []uint64{n - 1, n} {
			got := parse(new(Parser), "*1\r\n"+string(AppendDecimal(nil, n)))
			if got.err != nil || len(got.commands) != 1 {
				t.Errorf("AppendDecimal(%d) is not read back as one argument: %v", n, got)
			}
		}
	}
}

func TestRepliesAreAppended(t *testing.T) {
	t.Parallel()
	b := []byte("before ")
	b = V3.AppendNull(AppendInt(AppendError(b, "ERR x"), 7))
	if want := "before -ERR x\r\n:7\r\n_\r\n"; string(b) != want {
		t.Errorf("%q, want %q", b, want)
	}
}
