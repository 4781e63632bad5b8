package server_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gcd/server"
	"gcd/store"
	"gcd/store/core"
)

const (
	noRoom  = "-MISCONF no room for the log: the disk is full\r\n"
	stopped = "-MISCONF stopped after a disk error: the server counts no more and exits\r\n"
)

// PING tells what a count would be told, so that who watches the server by it hears when nothing
// can be counted, and when it goes on.
func TestRESPPingTellsWhetherCountsAreTaken(t *testing.T) {
	t.Parallel()
	eachRESP(t, func(t *testing.T, o server.Options, version int) {
		s, f := serveFake(t, o)
		f.decide(func(op *core.Op) error {
			if op.Kind != core.Read && f.full.Load() {
				return core.ErrLogFull
			}
			return nil
		})
		c := dialRESP(t, s, version)
		for n := range 2 {
			f.full.Store(false)
			say(t, c, "PING\r\nPING hello\r\nping\r\n", "+PONG\r\n$5\r\nhello\r\n+PONG\r\n")
			say(t, c, "INCR a\r\nPING\r\nPING hello\r\nINCR a\r\nPING\r\n",
				fmt.Sprintf(":%d\r\n+PONG\r\n$5\r\nhello\r\n:%d\r\n+PONG\r\n", 2*n+1, 2*n+2))
			f.full.Store(true)
			say(t, c, "PING\r\nPING hello\r\nPING a b\r\nGET a\r\nECHO on\r\n",
				noRoom+noRoom+"-ERR wrong number of arguments for 'ping' command\r\n"+bulk(fmt.Sprint(2*n+2))+
					bulk("on"))
			say(t, c, "INCR a\r\nPING\r\nECHO on\r\nPING hello\r\n", noRoom+noRoom+bulk("on")+noRoom)
		}
	})
}

// Behind a count in the same pipeline it is the count's time that PING tells of: the store may have
// become full with it.
func TestRESPPingAfterTheCountThatFindsNoRoom(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		f.decide(func(*core.Op) error {
			f.full.Store(true)
			return core.ErrLogFull
		})
		say(t, dialRESP(t, s, 2), "PING\r\nINCR a\r\nPING\r\nPING hello\r\n", "+PONG\r\n"+noRoom+noRoom+noRoom)
	})
}

// INFO tells the same where Redis would, and in words.
func TestRESPInfoTellsWhetherCountsAreTaken(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		c := dialRESP(t, s, 2)
		for _, row := range []struct {
			full   bool
			status string
			words  string
		}{
			{false, "ok", `ok`},
			{true, "err", `refused since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: no room for the log: the disk is full`},
			{false, "ok", `ok`},
		} {
			f.full.Store(row.full)
			send(t, c, []byte("INFO\r\nECHO end\r\n"))
			got := readUntil(t, c, "$3\r\nend\r\n")
			for _, line := range []string{"loading:0", "aof_last_write_status:" + row.status,
				"aof_last_bgrewrite_status:ok", "rdb_last_bgsave_status:ok", "counting:" + row.words} {
				if !regexp.MustCompile(`\r\n` + line + `\r\n`).MatchString(got) {
					t.Errorf("full: %v: no line %s in %q", row.full, line, got)
				}
			}
		}
	})
}

// What failed beside the counts, INFO tells as well: it is what makes the log grow.
func TestRESPInfoTellsOfSnapshotsThatFailed(t *testing.T) {
	t.Parallel()
	f := &failingSnapshots{fake: newFake()}
	t.Cleanup(f.close)
	s := serve(t, f, server.Options{}, nil)
	send(t, dialRESP(t, s, 2), []byte("INFO persistence\r\n"))
	c := dialRESP(t, s, 2)
	send(t, c, []byte("INFO persistence\r\nECHO end\r\n"))
	got := readUntil(t, c, "$3\r\nend\r\n")
	for _, line := range []string{"rdb_last_bgsave_status:err", "aof_last_bgrewrite_status:err",
		"aof_last_write_status:ok"} {
		if !strings.Contains(got, line+"\r\n") {
			t.Errorf("no line %s in %q", line, got)
		}
	}
}

type failingSnapshots struct{ *fake }

func (f *failingSnapshots) Stats() store.Stats {
	st := f.fake.Stats()
	st.SnapshotFailed, st.LogUnshortened = true, true
	return st
}
