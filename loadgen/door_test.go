package loadgen

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func mustDoor(t testing.TB, o Options) *door {
	t.Helper()
	o = o.withDefaults()
	d, err := newDoor(&o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRequests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Network: TCP}, "\x00bench:000000000042"},
		{Options{Network: UDP, Prefix: "é"}, "\x00é000000000042"},
		{Options{Network: RESP}, "*2\r\n$4\r\nINCR\r\n$18\r\nbench:000000000042\r\n"},
		{Options{Network: RESP, By: 10001}, "*3\r\n$6\r\nINCRBY\r\n$18\r\nbench:000000000042\r\n$5\r\n10001\r\n"},
		{Options{Network: RESPOnce, Prefix: "é"}, "*2\r\n$4\r\nINCR\r\n$14\r\né000000000042\r\n*1\r\n$4\r\nQUIT\r\n"},
	} {
		if got := mustDoor(t, test.o).appendRequest([]byte("before"), 42); string(got) != "before"+test.want {
			t.Errorf("%s: %q, want %q", test.o.Network, got, test.want)
		}
	}
	if got := appendDigits(nil, MaxTopics-1); string(got) != "999999999999" {
		t.Errorf("the last topic is %s", got)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const more, bad = "more", "bad"
	for _, test := range []struct {
		network Network
		data    string
		whole   bool
		sum     uint64
		n       int
		err     string // more, bad, or what the refusal says; with n = 0 it is that of all that is under way
	}{
		{TCP, "\x80\x01", true, 1, 2, ""},
		{TCP, "\x80\x01", false, 0, 0, more},
		{TCP, "", true, 0, 0, bad},
		{UDP, "\x80\x01\x00", true, 256, 3, ""},
		{UDP, "\xff\x08", true, 0, 2, "too many requests in flight"},
		{TCP, "\xff\x06no more", true, 0, 9, "no more"},
		{UDP, "\x81", true, 0, 0, bad},
		{UDP, "\x00x", true, 0, 0, bad},
		{TCP, "\x80", true, 0, 0, bad},
		{RESP, ":1\r\n", false, 1, 4, ""},
		{RESP, ":12\r\n:13\r\n", false, 12, 5, ""},
		{RESP, ":9223372036854775807\r\n", false, 9223372036854775807, 22, ""},
		{RESP, "", false, 0, 0, more},
		{RESP, ":", false, 0, 0, more},
		{RESP, ":1\r", false, 0, 0, more},
		{RESP, ":1", true, 0, 0, bad},
		{RESP, ":\r\n", false, 0, 0, bad},
		{RESP, ":-1\r\n", false, 0, 0, bad},
		{RESP, ":1x\r\n", false, 0, 0, bad},
		{RESP, ":1\n", false, 0, 0, bad},
		{RESP, ":92233720368547758070\r\n", false, 0, 0, bad},
		{RESP, "$1\r\n1\r\n", false, 0, 0, bad},
		{RESP, "+OK\r\n", false, 0, 0, bad},
		{RESP, "-ERR no\r\n:1\r\n", false, 0, 9, "ERR no"},
		{RESP, "-\x1b[2J\r\n", false, 0, 7, `\x1b[2J`},
		{RESP, "-" + strings.Repeat("x", 2000), false, 0, 0, bad},
		{RESP, "-" + strings.Repeat("x", 2000) + "\r\n", false, 0, 0, bad},
		{RESP, "\xff", false, 0, 0, more},
		{RESP, "\xff\x02the first byte is the opcode", false, 0, 0, more}, // it ends with the connection
		{RESP, "\xff\x02the first byte is the opcode", true, 0, 0,
			"no RESP on this port: it answered: unknown opcode (code 2): the first"},
		{RESP, "\xff\x07", true, 0, 0, "(code 7)"},
		{RESP, "\xff", true, 0, 0, bad},
		{RESP, "\xff\x02" + strings.Repeat("x", 2000), false, 0, 0, bad},
		{RESPOnce, "\xff\x07", true, 0, 0, "(code 7)"},
		{RESPOnce, ":7\r\n+OK\r\n", true, 7, 9, ""},
		{RESPOnce, ":7\r\n", true, 7, 4, ""},
		{RESPOnce, ":7\r\n:8\r\n", true, 0, 0, bad},
		{RESPOnce, "-ERR no\r\n+OK\r\n", true, 0, 14, "ERR no"},
	} {
		a, n, err := mustDoor(t, Options{Network: test.network}).firstAnswer([]byte(test.data), test.whole)
		ok := false
		switch test.err {
		case "":
			ok = err == nil && a == answer{sum: test.sum} && n == test.n
		case more:
			ok = err == errIncomplete && a == answer{} && n == 0
		case bad:
			ok = err != nil && err != errIncomplete && classOf(err) == unknown && a == answer{} && n == 0
		default:
			said := err
			if test.n > 0 {
				said = a.refused
			}
			ok = said != nil && strings.Contains(said.Error(), test.err) && n == test.n &&
				(err == nil || classOf(err) == refused)
		}
		if !ok {
			t.Errorf("%s, %.40q, whole %t: %+v, %d, %v", test.network, test.data, test.whole, a, n, err)
		}
	}
}

// FuzzRESPAnswers: however a stream is cut, the same answers come out of it, and none reads beyond
// what is there.
func FuzzRESPAnswers(f *testing.F) {
	for _, seed := range []string{
		":1\r\n:2\r\n", "-ERR no\r\n:3\r\n", ":1", "", ":1\n", "$1\r\n", ":18446744073709551616\r\n",
		"-" + strings.Repeat("x", 1100) + "\r\n", ":1\r\n\xff\x02no",
	} {
		f.Add([]byte(seed), uint(3))
	}
	d := mustDoor(f, Options{Network: RESP})
	read := func(data []byte) (all []string, rest []byte, err error) {
		for {
			a, n, err := d.firstAnswer(data, false)
			if err == errIncomplete {
				return all, data, nil
			}
			if err != nil {
				return all, nil, err
			}
			if n < 1 || n > len(data) || (a.refused != nil) != (data[0] == '-') {
				panic("an answer without bytes, or with too many")
			}
			text := string(data[:n])
			all, data = append(all, text), data[n:]
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint) {
		whole, _, wholeErr := read(data)
		at := int(cut % uint(len(data)+1))
		first, rest, err := read(data[:at:at])
		if err == nil {
			var second []string
			second, _, err = read(append(append([]byte{}, rest...), data[at:]...))
			first = append(first, second...)
		}
		if strings.Join(first, "|") != strings.Join(whole, "|") || (err == nil) != (wholeErr == nil) {
			t.Fatalf("%q cut at %d: %q, %v; whole: %q, %v", data, at, first, err, whole, wholeErr)
		}
	})
}

func TestTopics(t *testing.T) {
	t.Parallel()
	draw := func(o Options, client int) []uint64 {
		r := &run{}
		choose := newTopics(&o, 0, client, &r.next)
		got := make([]uint64, 3000)
		for i := range got {
			if got[i] = choose.choose(); got[i] >= o.Topics {
				t.Fatalf("%s: topic %d of %d", o.Dist, got[i], o.Topics)
			}
		}
		return got
	}
	count := func(numbers []uint64) map[uint64]int {
		times := make(map[uint64]int)
		for _, n := range numbers {
			times[n]++
		}
		return times
	}
	for _, dist := range []Dist{Uniform, Zipf, Sequential} {
		if got := count(draw(Options{Dist: dist, Topics: 1}, 0)); got[0] != 3000 {
			t.Errorf("%s: one topic: %v", dist, got)
		}
		o := Options{Dist: dist, Topics: 10, Seed: 7}
		if got := count(draw(o, 0)); len(got) != 10 {
			t.Errorf("%s: %d of 10 topics: %v", dist, len(got), got)
		}
		if dist == Sequential {
			continue
		}
		if !reflect.DeepEqual(draw(o, 0), draw(o, 0)) {
			t.Errorf("%s: the same seed chose other topics", dist)
		}
		if reflect.DeepEqual(draw(o, 0), draw(o, 1)) {
			t.Errorf("%s: two clients chose the same topics", dist)
		}
	}
	if got := count(draw(Options{Dist: Sequential, Topics: 3000}, 0)); len(got) != 3000 {
		t.Errorf("sequential: %d of 3000 topics in as many draws", len(got))
	}
	zipf := count(draw(Options{Dist: Zipf, Topics: 1_000_000}, 0))
	if got := zipf; got[0] < 250 || got[0] < got[1] || len(got) < 100 {
		t.Errorf("zipf: %d, %d of 3000 are the first two, %d different ones", got[0], got[1], len(got))
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		field string
		o     Options
	}{
		{"Network", Options{Network: "sctp"}},
		{"Dist", Options{Dist: "normal"}},
		{"Clients", Options{Clients: -1}},
		{"Clients", Options{Clients: MaxClients + 1}},
		{"Pipeline", Options{Network: RESP, Pipeline: -1}},
		{"Pipeline", Options{Pipeline: 2}},
		{"Pipeline", Options{Network: RESPOnce, Pipeline: 2}},
		{"Pipeline", Options{Network: RESP, Pipeline: 10_000, Clients: 100_000}},
		{"Topics", Options{Topics: MaxTopics + 1}},
		{"Topics", Options{Topics: MaxVerified + 1, Verify: true}},
		{"Prefix", Options{Prefix: "\xff"}},
		{"Prefix", Options{Prefix: strings.Repeat("x", 257)}},
		{"Rate", Options{Rate: -1}},
		{"Requests", Options{Requests: 1 << 63}},
		{"By", Options{By: 2}},
		{"By", Options{Network: RESP, By: 1 << 63}},
		{"By", Options{Network: RESP, By: 2, Verify: true}},
		{"Warmup", Options{Warmup: -1}},
		{"Duration", Options{Duration: 48 * time.Hour}},
		{"Timeout", Options{Timeout: 1}},
		{"Threads", Options{Threads: 5000}},
		{"ProgressEvery", Options{ProgressEvery: 1}},
		{"Addr", Options{Addr: "localhost"}},
		{"Addr", Options{Addr: "localhost:0"}},
	} {
		_, err := runWithin(t.Context(), t, test.o)
		var wrong *OptionError
		if !errors.As(err, &wrong) || wrong.Field != test.field || wrong.Reason == "" {
			t.Errorf("%+v: it returned %v, want an OptionError of the field and a reason", test.o, err)
		}
		if _, ok := reflect.TypeFor[Options]().FieldByName(test.field); !ok {
			t.Errorf("%s is no field", test.field)
		}
	}
}
