package clienttest

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"gcd/codec"
	"gcd/resp"
)

// talk is a conversation over RESP.
type talk struct {
	s       *Server
	out     []byte // what is answered and not yet sent
	inMulti bool
	queued  [][]string // since MULTI
	over    bool       // the connection ends without an answer to what came last
}

// serveRESP answers commands until the connection ends. buf holds what has come already.
func (s *Server) serveRESP(conn net.Conn, buf []byte) {
	t := talk{s: s}
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
			if t.run(words); t.over {
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

// run answers one command.
func (t *talk) run(words []string) {
	if len(words) == 0 {
		return
	}
	name := strings.ToUpper(words[0])
	switch {
	case t.inMulti && name != "EXEC" && name != "DISCARD":
		t.queued = append(t.queued, words)
		t.out = resp.AppendSimple(t.out, "QUEUED")
	case name == "MULTI":
		t.inMulti = true
		t.out = resp.AppendSimple(t.out, "OK")
	case name == "DISCARD" && t.inMulti:
		t.inMulti, t.queued = false, nil
		t.out = resp.AppendSimple(t.out, "OK")
	case name == "EXEC" && t.inMulti:
		queued := t.queued
		t.inMulti, t.queued = false, nil
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

// answer answers a command that is no transaction's. Server.mu is held.
func (t *talk) answer(words []string) {
	arg := ""
	if len(words) > 1 {
		arg = words[1]
	}
	switch name := strings.ToUpper(words[0]); {
	case name == "PING" && len(words) == 1:
		switch t.s.refusal {
		case codec.CodeNoRoom, codec.CodeShuttingDown, codec.CodeLoading, codec.CodeStoppedAfterError:
			t.out = resp.AppendError(t.out, refusalText(t.s.refusal))
		default:
			t.out = resp.AppendSimple(t.out, "PONG")
		}
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
		t.out = resp.AppendBulk(t.out, fmt.Sprintf("# GCD\r\ncounting:ok\r\ntopics:%d\r\n", len(t.s.topics)))
	default:
		t.out = resp.AppendError(t.out, fmt.Sprintf("ERR unknown command '%.64s'", words[0]))
	}
}

func (t *talk) count(words []string) {
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
func (t *talk) change(topic string, n uint64) (sum uint64, ok bool) {
	sum, refused, lost := t.s.apply(topic, n)
	t.over = t.over || lost
	if refused != 0 {
		t.out = resp.AppendError(t.out, refusalText(refused))
	}
	return sum, refused == 0
}

// refusalText is what a gcd server says over RESP by a code.
func refusalText(code codec.Code) string {
	switch code {
	case codec.CodeUnknownOpcode:
		return "ERR unknown command"
	case codec.CodeMessageTooLong:
		return "ERR topic is too long: it has at most 65535 bytes"
	case codec.CodeSumAtMaximum:
		return "ERR increment or decrement would overflow"
	case codec.CodeTopicTooLong:
		return "ERR topic is too long for this server"
	case codec.CodeTooManyTopics:
		return "OOM too many topics"
	case codec.CodeTooManyRequests:
		return "BUSY too many requests in flight"
	case codec.CodeTooManyConns, codec.CodeTooManyConnsAddr:
		return "ERR max number of clients reached"
	case codec.CodeNoRoom:
		return "MISCONF no room for the log"
	case codec.CodeShuttingDown:
		return "LOADING the server is shutting down"
	case codec.CodeNothingArrived:
		return "ERR Protocol error: the command was not complete in time"
	case codec.CodeLoading:
		return "LOADING gcd is loading its counters"
	case codec.CodeStoppedAfterError:
		return "MISCONF stopped after a disk error"
	}
	return "ERR " + code.String()
}
