package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"gcd/internal/servertest"
)

// respConn is a server's end of a connection over RESP.
type respConn struct {
	*net.TCPConn
	from *bufio.Reader
}

const ping = "*1\r\n$4\r\nPING\r\n"

// respServer calls handle for each connection whose PING it has answered, as tcpServer does. What
// the server waits for must come.
func respServer(t testing.TB, handle func(*respConn)) string {
	return servertest.TCP(t, func(conn *net.TCPConn) {
		c := &respConn{conn, bufio.NewReaderSize(conn, 1<<17)}
		if c.greet() {
			handle(c)
		}
	})
}

func (c *respConn) greet() bool {
	if name, err := c.command(); err != nil || name != "PING" {
		return false
	}
	return c.send("+PONG\r\n")
}

func (c *respConn) send(bytes string) bool {
	_, err := io.WriteString(c, bytes)
	return err == nil
}

// command reads a command and returns its words, with blanks between them.
func (c *respConn) command() (string, error) {
	words, err := servertest.Command(c.from)
	return strings.Join(words, " "), err
}

// expect reads commands and fails the test unless they are these.
func (c *respConn) expect(t testing.TB, want ...string) bool {
	for _, w := range want {
		got, err := c.command()
		if err != nil || got != w {
			t.Errorf("the server got %.80q, %v, want %.80q", got, err, w)
			return false
		}
	}
	return true
}

// expectEnd fails the test unless the client ends the connection and sends nothing before.
func (c *respConn) expectEnd(t testing.TB) {
	if got, err := c.command(); err == nil {
		t.Errorf("the server got %.80q, want nothing more", got)
	} else if !errors.Is(err, io.EOF) && !isReset(err) {
		t.Error(err)
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// bulk is a sum as GCD.COUNT is answered.
func bulk(sum uint64) string {
	digits := strconv.FormatUint(sum, 10)
	return fmt.Sprintf("$%d\r\n%s\r\n", len(digits), digits)
}

// respClient is newClient with all calls over RESP.
func respClient(t testing.TB, addr string, opts Options) *Client {
	opts.Network = "resp"
	return newClient(t, addr, opts)
}

// inQueues returns how many commands wait and how many are in flight.
func inQueues(c *Client) (waiting, inFlight int) {
	c.pipeline.mu.Lock()
	defer c.pipeline.mu.Unlock()
	return c.pipeline.waiting.len(), c.pipeline.inFlight.len()
}
