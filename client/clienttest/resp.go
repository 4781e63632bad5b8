package clienttest

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"gcd/codec"
	"gcd/resp"
)

// respSession is a conversation over RESP.
type respSession struct {
	s       *Server
	out     []byte // what is answered and not yet sent
	inMulti bool
	queued  [][]string // since MULTI
	size    int        // of what came since MULTI, in bytes
	aborted bool       // what came since MULTI was too much
	over    bool       // the connection ends without an answer to what came last
	token   string     // that was given and taken
}

// The most bytes that a transaction has: of its commands, and of what it changes in a server's log
// of the default size.
const (
	maxQueued = 1 << 20
	maxWhole  = 512<<10 - 64
)

// serveRESP answers commands until the connection ends. buf holds what has come already.
func (s *Server) serveRESP(conn net.Conn, buf []byte) {
	t := respSession{s: s}
	var parser resp.Parser
	part := make([]byte, 1<<16)
	for {
		size, err := parser.Next(buf)
		switch {
		case err != nil:
			conn.Write(resp.AppendError(t.out, "ERR "+err.Error()))
			return
		case size > 0:
			words := make([]string, parser.Len())
			for i := range words {
				words[i] = string(parser.Arg(i))
			}
			buf = buf[size:]
			s.wait()
			answered := len(t.out)
			if t.run(words, size); t.over {
				t.out = t.out[:answered]
			} else if len(buf) > 0 {
				continue
			}
		}
		// All that has come is run, so what is answered goes out together.
		if _, err := conn.Write(t.out); err != nil || t.over {
			return
		}
		t.out = t.out[:0]
		n, err := conn.Read(part)
		if err != nil {
			return
		}
		buf = append(buf, part[:n]...)
	}
}

// run answers one command, of size bytes.
func (t *respSession) run(words []string, size int) {
	if len(words) == 0 {
		return
	}
	name := strings.ToUpper(words[0])
	switch denied := t.denied(name); {
	case denied:
		t.aborted = t.aborted || t.inMulti
		t.out = resp.AppendError(t.out, codec.CodeNotAuthenticated.RedisError())
	case t.inMulti && name != "EXEC" && name != "DISCARD":
		if t.size += size; t.size > maxQueued {
			t.aborted = true
			t.out = resp.AppendError(t.out, "ERR transaction is too long")
			return
		}
		t.queued = append(t.queued, words)
		t.out = resp.AppendSimple(t.out, "QUEUED")
	case name == "MULTI":
		t.inMulti = true
		t.out = resp.AppendSimple(t.out, "OK")
	case name == "DISCARD" && t.inMulti:
		t.endMulti()
		t.out = resp.AppendSimple(t.out, "OK")
	case name == "EXEC" && t.inMulti && t.aborted:
		t.endMulti()
		t.out = resp.AppendError(t.out, "EXECABORT Transaction discarded because of previous errors.")
	case name == "EXEC" && t.inMulti && !fits(t.queued):
		t.endMulti()
		t.out = resp.AppendError(t.out,
			"EXECABORT Transaction discarded because what it changes may not fit into one record of the log")
	case name == "EXEC" && t.inMulti:
		queued := t.queued
		t.endMulti()
		t.out = resp.AppendArray(t.out, len(queued))
		t.s.mu.Lock()
		defer t.s.mu.Unlock()
		for _, words := range queued {
			t.answer(words)
		}
	default:
		t.s.mu.Lock()
		defer t.s.mu.Unlock()
		t.answer(words)
	}
}

func (t *respSession) endMulti() { t.inMulti, t.aborted, t.queued, t.size = false, false, nil, 0 }

// denied reports whether the connection has to say who it is before it may run this command.
func (t *respSession) denied(name string) bool {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.s.token != t.token && name != "AUTH" && name != "PING"
}

// authenticate takes a token. Server.mu is held.
func (t *respSession) authenticate(token string) {
	switch {
	case t.s.token == "":
		t.out = resp.AppendError(t.out, "ERR AUTH <password> called without any password configured for the default "+
			"user. Are you sure your configuration is correct?")
	case token != t.s.token:
		t.out = resp.AppendError(t.out, "WRONGPASS invalid username-password pair or user is disabled.")
	default:
		t.token = token
		t.out = resp.AppendSimple(t.out, "OK")
	}
}

// fits reports whether what commands change is not too much for a transaction: for each topic that
// is counted its length and 33 bytes, and so much again for each reset of it and for counts after
// that.
func fits(commands [][]string) bool {
	size := 0
	counted := make(map[string]bool)
	for _, words := range commands {
		name := strings.ToUpper(words[0])
		if name != "GCD.COUNT" && name != "GCD.RESET" || len(words) < 2 {
			continue
		}
		count := name == "GCD.COUNT"
		if !count || !counted[words[1]] {
			size += len(words[1]) + 33
		}
		counted[words[1]] = count
	}
	return size <= maxWhole
}

// answer answers a command that is no transaction's. Server.mu is held.
func (t *respSession) answer(words []string) {
	arg := ""
	if len(words) > 1 {
		arg = words[1]
	}
	switch name := strings.ToUpper(words[0]); {
	case name == "PING" && len(words) == 1:
		switch t.s.refusal {
		case codec.CodeNoRoom, codec.CodeShuttingDown, codec.CodeLoading, codec.CodeStoppedAfterError:
			t.out = resp.AppendError(t.out, t.s.refusal.RedisError())
		default:
			t.out = resp.AppendSimple(t.out, "PONG")
		}
	case name == "AUTH" && len(words) == 2:
		t.authenticate(arg)
	case name == "GCD.COUNT" && (len(words) == 2 || len(words) == 3):
		t.count(words)
	case name == "GCD.RESET" && len(words) == 2:
		if _, ok := t.change(arg, 0); ok {
			t.out = resp.AppendSimple(t.out, "OK")
		}
	case name == "GCD.INFO" && len(words) == 2:
		info := t.s.topics[arg]
		t.out = resp.V2.AppendMap(t.out, 2)
		t.out = resp.AppendDecimal(resp.AppendBulk(t.out, "sum"), info.Sum)
		t.out = resp.AppendInt(resp.AppendBulk(t.out, "epoch"), int64(info.Epoch))
	case name == "GET" && len(words) == 2:
		if sum := t.s.topics[arg].Sum; sum > 0 {
			t.out = resp.AppendDecimal(t.out, sum)
		} else {
			t.out = resp.V2.AppendNull(t.out)
		}
	case name == "INFO":
		figures := ""
		if len(words) == 1 || slices.ContainsFunc(words[1:], hasFigures) {
			figures = fmt.Sprintf("# GCD\r\ncounting:ok\r\ntopics:%d\r\n", len(t.s.topics))
		}
		t.out = resp.AppendBulk(t.out, figures)
	default:
		t.out = resp.AppendError(t.out, fmt.Sprintf("ERR unknown command '%.64s'", words[0]))
	}
}

// hasFigures reports whether a section of INFO has what this server knows.
func hasFigures(section string) bool {
	return slices.Contains([]string{"gcd", "default", "all", "everything"}, strings.ToLower(section))
}

func (t *respSession) count(words []string) {
	n := uint64(1)
	if len(words) == 3 {
		var err error
		if n, err = strconv.ParseUint(words[2], 10, 64); err != nil || n == 0 {
			t.out = resp.AppendError(t.out, "ERR value is not an integer from 1 to 18446744073709551615")
			return
		}
	}
	if sum, ok := t.change(words[1], n); ok {
		t.out = resp.AppendDecimal(t.out, sum)
	}
}

// change does what Server.change does and answers what is refused.
func (t *respSession) change(topic string, n uint64) (sum uint64, ok bool) {
	sum, refused, lost := t.s.apply(topic, n)
	t.over = t.over || lost
	if refused != 0 {
		t.out = resp.AppendError(t.out, refused.RedisError())
	}
	return sum, refused == 0
}
