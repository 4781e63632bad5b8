package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// respConn is a client of RESP that says what came, and nothing else.
type respConn struct {
	net.Conn
	r *bufio.Reader
}

func dialRESP(addr string) (*respConn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &respConn{conn, bufio.NewReader(conn)}, nil
}

// ask counts topics in one pipeline. It returns the answers that came: ":N", or "-ERROR".
func (c *respConn) ask(topics []string) (answers []string, err error) {
	var b strings.Builder
	for _, topic := range topics {
		b.WriteString("INCR " + topic + "\r\n")
	}
	return c.exchange(b.String(), len(topics))
}

func (c *respConn) exchange(commands string, n int) (answers []string, err error) {
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, commands); err != nil {
		return nil, err
	}
	for range n {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return answers, err
		}
		line = strings.TrimRight(line, "\r\n")
		if length, isBulk := strings.CutPrefix(line, "$"); isBulk {
			size, err := strconv.Atoi(length)
			if err != nil {
				return answers, err
			}
			body := make([]byte, max(0, size+2))
			if size < 0 {
				body = body[:0]
			}
			if _, err := io.ReadFull(c.r, body); err != nil {
				return answers, err
			}
			line = "$" + strings.TrimRight(string(body), "\r\n")
		}
		answers = append(answers, line)
	}
	return answers, nil
}

// askRESP sends commands over a connection of its own; a bulk string's answer is "$" and what is in
// it.
func askRESP(addr string, commands ...string) ([]string, error) {
	c, err := dialRESP(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var all []string
	for len(commands) > 0 {
		part := commands[:min(500, len(commands))]
		answers, err := c.exchange(strings.Join(part, "\r\n")+"\r\n", len(part))
		if err != nil {
			return nil, errors.Join(errors.New("no answer"), err)
		}
		all, commands = append(all, answers...), commands[len(part):]
	}
	return all, nil
}
