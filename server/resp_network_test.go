package server_test

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// overRESP is a connection of the network "resp": what a test writes and reads are messages of
// gcd's own protocol, one of each, and over the wire goes RESP. So the tests of the protocol's
// promises run over RESP as they are.
type overRESP struct {
	stream
	replies *bufio.Reader
	rest    io.Reader // of the answer, when it is there
}

func newOverRESP(c stream) *overRESP {
	return &overRESP{stream: c, replies: bufio.NewReader(c)}
}

func (c *overRESP) Write(msg []byte) (int, error) {
	name := fmt.Sprintf("OPCODE.%d", msg[0])
	switch msg[0] {
	case 0:
		name = "GCD.COUNT"
	case 1:
		name = "GCD.RESET"
	}
	_, err := io.WriteString(c.stream, array(name, string(msg[1:])))
	return len(msg), err
}

// Read returns the answer, and then the end, as the protocol has it.
func (c *overRESP) Read(b []byte) (int, error) {
	if c.rest == nil {
		answer, err := c.answer()
		if err != nil {
			return 0, err
		}
		c.rest = strings.NewReader(answer)
	}
	n, err := c.rest.Read(b)
	if err != nil {
		c.Close() // as the server does over TCP
	}
	return n, err
}

// answer reads a reply and translates it.
func (c *overRESP) answer() (string, error) {
	line, err := c.replies.ReadString('\n')
	if err != nil {
		return "", err
	}
	switch text := strings.TrimSuffix(line[1:], "\r\n"); line[0] {
	case '+':
		return "\x81", nil
	case '-':
		for _, r := range refusalPrefixes {
			if strings.HasPrefix(text, r.prefix) {
				return "\xff" + string([]byte{r.code}) + text, nil
			}
		}
		return "", fmt.Errorf("an error of no known kind: %q", line)
	case '$':
		digits, err := c.replies.ReadString('\n')
		if err != nil {
			return "", err
		}
		sum, err := strconv.ParseUint(strings.TrimSuffix(digits, "\r\n"), 10, 64)
		if err != nil {
			return "", err
		}
		var value []byte
		for ; sum > 0; sum >>= 8 {
			value = append([]byte{byte(sum)}, value...)
		}
		return "\x80" + string(value), nil
	}
	return "", fmt.Errorf("an answer of no known kind: %q", line)
}

// refusalPrefixes are what docs/resp.md says that errors begin with, and the codes of the protocol
// for the same.
var refusalPrefixes = []struct {
	prefix string
	code   byte
}{
	{"ERR unknown command", 2},
	{"ERR topic is too long:", 3},
	{"ERR topic is not UTF-8", 4},
	{"ERR topic is too long for this server", 5},
	{"OOM too many topics", 6},
	{"ERR increment or decrement would overflow", 7},
	{"BUSY too many requests in flight", 8},
	{"ERR max number of clients reached", 9},
	{"MISCONF no room for the log", 11},
	{"LOADING the server is shutting down", 12},
	{"ERR Protocol error: the command was not complete in time", 13},
	{"LOADING gcd is loading", 14},
	{"MISCONF stopped after a disk error", 16},
}
