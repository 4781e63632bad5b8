package server_test

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/server"
	"gcd/store"
	"gcd/store/core"
)

// scanAll goes through all topics and returns what it saw and in how many answers.
func scanAll(t *testing.T, s *running, options string) (topics []string, answers int) {
	t.Helper()
	c := dialRESP(t, s, 2)
	for cursor := "0"; ; {
		send(t, c, []byte("SCAN "+cursor+options+"\r\nECHO end\r\n"))
		lines := strings.Split(readUntil(t, c, "$3\r\nend\r\n"), "\r\n")
		answers++
		if lines[0] != "*2" || len(lines) < 5 {
			t.Fatalf("SCAN says %q", lines)
		}
		cursor = lines[2]
		if n, err := strconv.Atoi(lines[3][1:]); err != nil || len(lines) != 2*n+5 {
			t.Fatalf("SCAN says %q", lines)
		}
		for i := 5; i < len(lines); i += 2 {
			topics = append(topics, lines[i])
		}
		if cursor == "0" {
			return topics, answers
		}
	}
}

func TestRESPScan(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		var in, counted, want []string
		for i := range 10_000 {
			topic := fmt.Sprintf("scan:%05d", i)
			in, counted = append(in, array("INCR", topic)), append(counted, ":1\r\n")
			if i%3 == 0 { // a topic whose sum is 0 is not there
				in, counted = append(in, array("DEL", topic)), append(counted, ":1\r\n")
			} else {
				want = append(want, topic)
			}
		}
		say(t, c, strings.Join(in, ""), strings.Join(counted, ""))
		say(t, c, "DBSIZE\r\n", fmt.Sprintf(":%d\r\n", len(want)))
		odd := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return !strings.HasSuffix(s, "1") })
		for _, test := range []struct {
			options string
			want    []string
			answers int
		}{
			{"", want, 667},
			{" COUNT 1000", want, 7},
			{" COUNT 100000000", want, 2}, // 4,096 at most
			{" count 1000 match *1", odd, 7},
			{" MATCH nosuch* COUNT 5000", nil, 2},
			{" TYPE string COUNT 5000", want, 2},
			{" TYPE list", nil, 1},
			{" MATCH scan:00001 TYPE STRING COUNT 4096", []string{"scan:00001"}, 2},
		} {
			got, answers := scanAll(t, s, test.options)
			slices.Sort(got)
			if !slices.Equal(got, test.want) || answers != test.answers {
				t.Errorf("SCAN%s: %d topics in %d answers, want %d in %d", test.options, len(got), answers,
					len(test.want), test.answers)
			}
		}
		send(t, c, []byte("INCR scan:00003\r\nKEYS *\r\nINCR scan:00003\r\nECHO end\r\n"))
		lines := strings.Split(readUntil(t, c, "$3\r\nend\r\n"), "\r\n")
		if lines[0] != ":1" || lines[1] != fmt.Sprintf("*%d", len(want)+1) || lines[len(lines)-2] != ":2" ||
			len(lines) != 2*len(want)+2+4 {
			t.Errorf("KEYS says %.100q in %d lines", lines, len(lines))
		}
		say(t, c, "KEYS scan:0000[13]\r\n", "*2\r\n"+bulk("scan:00001")+bulk("scan:00003"))
		say(t, c, "KEYS nosuch\r\n", "*0\r\n")

		for in, want := range map[string]string{
			"SCAN":                           "-ERR wrong number of arguments for 'scan' command\r\n",
			"SCAN x":                         "-ERR invalid cursor\r\n",
			"SCAN -1":                        "-ERR invalid cursor\r\n",
			"SCAN 0 COUNT":                   "-ERR syntax error\r\n",
			"SCAN 0 COUNT 0":                 "-ERR syntax error\r\n",
			"SCAN 0 COUNT x":                 "-ERR value is not an integer or out of range\r\n",
			"SCAN 0 WHAT x":                  "-ERR syntax error\r\n",
			"SCAN 18446744073709551615":      staleCursor,
			"SCAN 20":                        staleCursor,
			"SCAN 18446744073709551616":      "-ERR invalid cursor\r\n",
			"SCAN 0 MATCH " + long("x", 257): "-ERR pattern is too long: it has at most 256 bytes\r\n",
			"KEYS " + long("*", 257):         "-ERR pattern is too long: it has at most 256 bytes\r\n",
			"KEYS":                           "-ERR wrong number of arguments for 'keys' command\r\n",
		} {
			say(t, c, in+"\r\n", want)
		}
	})
}

// Topics that have no sum are not there, so a scan need not be longer for them: not for some
// thousand of them between two that have one. Where there are more it returns to its client now and
// then.
func TestRESPScanAmongTheDead(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, st := serveMemory(t, o)
		const topics, live = 70_000, 250
		dead := func(i int) bool { return i%24 != 0 || i/24 >= live } // those after the first 6,000 all are
		g := &core.Group{Ops: make([]core.Op, 0, 2*topics), Done: func(*core.Group) {}}
		var want []string
		for i := range topics {
			topic := fmt.Appendf(nil, "t%05d", i)
			g.Ops = append(g.Ops, core.Op{Kind: core.Count, Topic: topic})
			if dead(i) {
				g.Ops = append(g.Ops, core.Op{Kind: core.Reset, Topic: topic})
			} else {
				want = append(want, string(topic))
			}
		}
		done := make(chan struct{})
		g.Done = func(*core.Group) { close(done) }
		st.Submit(g)
		await(t, "the topics are counted", done)
		// 13 answers have 20 topics or what is left, and after the last of them 64,000 that have
		// no sum take one more at most.
		got, answers := scanAll(t, s, " COUNT 20")
		if slices.Sort(got); !slices.Equal(got, want) || answers > 14 {
			t.Errorf("%d topics in %d answers, want %d in 14 at most", len(got), answers, len(want))
		}
		if got, answers := scanAll(t, s, " COUNT 20 MATCH nosuch"); len(got) > 0 || answers > 14 {
			t.Errorf("a pattern that no topic matches: %d topics in %d answers", len(got), answers)
		}
	})
}

const staleCursor = "-ERR invalid cursor: it is not of this run of the server, and topics have another order in " +
	"each; begin again with 0\r\n"

// A start from a snapshot finds topics in another order, so a cursor of before must not go on: it
// would leave some out.
func TestRESPScanAcrossAStart(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		dir := t.TempDir()
		open := func() (*running, net.Conn, func()) {
			st, err := store.Open(dir, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, st, o, nil)
			return s, dialRESP(t, s, 2), func() {
				s.stop(t)
				if err := st.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		_, c, end := open()
		const topics = 40
		for i := range topics {
			say(t, c, array("INCR", fmt.Sprintf("%02d", i*17%topics)), ":1\r\n")
		}
		send(t, c, []byte("SCAN 0 COUNT 20\r\nECHO end\r\n"))
		answer := strings.Split(readUntil(t, c, "$3\r\nend\r\n"), "\r\n")
		cursor := answer[2]
		if n, err := strconv.ParseUint(cursor, 10, 53); err != nil || n == 0 || answer[3] != "*20" {
			t.Fatalf("SCAN says %q", answer)
		}
		end()

		s, c, end := open()
		defer end()
		say(t, c, "SCAN "+cursor+" COUNT 20\r\n", staleCursor)
		got, _ := scanAll(t, s, " COUNT 20")
		slices.Sort(got)
		if len(slices.Compact(got)) != topics {
			t.Errorf("a scan that begins anew sees %d topics", len(got))
		}
	})
}

func long(s string, n int) string { return strings.Repeat(s, n) }

// What KEYS returns is bounded, and what one SCAN returns.
func TestRESPKeysAreTooMany(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		st, err := store.Open("", store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		s := serve(t, st, o, nil)
		c := dialRESP(t, s, 2)
		var in strings.Builder
		const topics = 140
		topic := func(i int) string { return fmt.Sprintf("%065000d", i) }
		for i := range topics {
			in.WriteString(array("INCR", topic(i)))
		}
		say(t, c, in.String(), long(":1\r\n", topics))
		say(t, c, "KEYS *\r\nKEYS nosuch\r\nKEYS *00001\r\n",
			"-ERR too many topics for one answer: use SCAN\r\n*0\r\n*1\r\n"+bulk(topic(1)))
		got, answers := scanAll(t, s, " COUNT 1000000") // a megabyte at a time
		if len(got) != topics || answers != 9 {
			t.Errorf("%d topics in %d answers", len(got), answers)
		}
		if thin.On() { // which takes long
			return
		}
		// A pattern that takes long is matched with few topics in a turn: here with one, and 16
		// turns go by.
		if got, answers := scanAll(t, s, " COUNT 1000000 MATCH *"+long("0*", 100)+"7"); len(got) != 14 || answers != 9 {
			t.Errorf("%d topics in %d answers", len(got), answers)
		}
	})
}

// A long look at all topics leaves other connections their turns, and its own connection what it
// sent meanwhile.
func TestRESPKeysInSteps(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.Workers = 1
		s, _ := serveMemory(t, o)
		c, other := dialRESP(t, s, 2), dialRESP(t, s, 2)
		const topics = 20_000
		var in strings.Builder
		for i := range topics {
			in.WriteString(array("INCR", fmt.Sprintf("t%d", i)))
		}
		say(t, c, in.String(), long(":1\r\n", topics))
		send(t, c, []byte(long("KEYS none*\r\n", 50)))
		say(t, other, "INCR t1\r\n", ":2\r\n")
		expect(t, c, "KEYS", long("*0\r\n", 50))
	})
}
