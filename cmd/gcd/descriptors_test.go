package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/client"
	"gcd/codec"
	"gcd/internal/scripttest"
	"gcd/server"
)

func TestLeaveFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		conns int
		files uint64
		want  int
	}{
		{10_000, 1 << 20, 10_000}, {10_000, 1024, 1024 - reservedFiles - server.MaxLingering},
		{100, 200 + reservedFiles, 100}, {101, 200 + reservedFiles, 100},
		{100, 10, 1}, {100, 1<<64 - 1, 100},
	} {
		if got := leaveFiles(test.conns, test.files, hclog.NewNullLogger()); got != test.want {
			t.Errorf("%d connections with %d files: %d, want %d", test.conns, test.files, got, test.want)
		}
	}
}

// TestFewDescriptors: silent connections, over RESP after a PING, take all descriptors that they
// can get; the log still rotates, snapshots are still taken, who gets in is served, and when they
// leave everybody is.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // no such limit
	}
	binary := scripttest.Build(t, t.TempDir(), ".")
	for _, dispatch := range []string{"pool", "goroutine"} {
		for _, network := range []string{"tcp", "resp"} {
			t.Run(dispatch+" "+network, func(t *testing.T) {
				t.Parallel()
				fewDescriptors(t, binary, dispatch, network)
			})
		}
	}
}

func fewDescriptors(t *testing.T, binary, dispatch, network string) {
	const files = reservedFiles + 16
	args := append([]string{"-c", `ulimit -n 64; exec "$0" "$@"`, binary},
		victimArgs(filepath.Join(t.TempDir(), "data"), dispatch)...)
	if files != 64 {
		t.Fatal("the script's limit is not the test's")
	}
	p := runVictim(t, exec.Command("sh", args...))
	p.waitServing(t)
	var silent []net.Conn
	for range 3 * files {
		conn, err := net.Dial("tcp", p.tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if network == "resp" {
			io.WriteString(conn, "PING\r\n")
		}
		silent = append(silent, conn)
	}
	refused := 0
	for _, conn := range silent[len(silent)-files:] { // those were surely too many
		b, err := io.ReadAll(conn)
		inRESP := network == "resp" && string(b) == "-ERR max number of clients reached\r\n"
		// A PING can come too late for its language.
		if inRESP || len(b) > 1 && b[0] == byte(codec.OpRefusal) && (network == "resp" || err == nil) {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no connection was refused: the fault was not injected")
	}
	topic := strings.Repeat("t", 8000)
	counted := uint64(0)
	count := func(c *client.Client) error {
		n, err := c.Count(t.Context(), topic)
		if err == nil && n != counted+1 {
			err = fmt.Errorf("the sum is %d after %d", n, counted)
		}
		if err == nil {
			counted++
		}
		return err
	}
	c, err := client.New(p.udp, client.Options{Network: "udp", Timeout: time.Minute, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 { // three segments' worth
		if err := count(c); err != nil {
			t.Fatalf("a count over UDP failed for want of descriptors: %v\n%s", err, p.output())
		}
	}
	if network == "resp" { // the first is in, and goes on
		counted++
		in := bufio.NewReader(silent[0])
		fmt.Fprintf(silent[0], "INCR %s\r\n", topic)
		pong, _ := in.ReadString('\n')
		if sum, err := in.ReadString('\n'); pong != "+PONG\r\n" || sum != fmt.Sprintf(":%d\r\n", counted) {
			t.Errorf("%q and %q (%v), want sum %d", pong, sum, err, counted)
		}
	}
	for _, conn := range silent {
		conn.Close()
	}
	over, err := client.New(p.tcp, client.Options{Network: network, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	var full *client.RefusedError
	// The server sees the others leave in its own time.
	for err = count(over); errors.As(err, &full); err = count(over) {
	}
	if err != nil {
		t.Errorf("over %s: %v", network, err)
	}
	for _, bad := range []string{
		"too many open files", "cannot prepare the next log segment", "no snapshot this time",
	} {
		if strings.Contains(p.output(), bad) {
			t.Errorf("the log says %q:\n%s", bad, p.output())
		}
	}
}
