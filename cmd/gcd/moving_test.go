package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"gcd/server"
)

// TestMovingIn gives a server 100,000 topics as docs/moving-in.md does, inline commands in one
// pipeline: each has its sum, and counts on from there.
func TestMovingIn(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/moving-in.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), `{ printf "INCRBY \"%s\" %s\n", $1, $2 }' counters.csv > commands`) {
		t.Fatal("the page does not have the command any more that writes this pipeline")
	}
	addr, _ := serveFor(t, server.Pool)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(hang)); err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(conn)
	// asks sends a command for every topic, or every so many, and holds the answers against the
	// integers that they are to be.
	asks := func(step int, command string, answer func(i int) int) {
		t.Helper()
		const topics = 100_000
		var commands bytes.Buffer
		for i := step; i <= topics; i += step {
			fmt.Fprintf(&commands, command, i)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := conn.Write(commands.Bytes())
			sent <- err
		}()
		for i := step; i <= topics; i += step {
			line, err := from.ReadSlice('\n')
			if want := answer(i); err != nil || string(line) != fmt.Sprintf(":%d\r\n", want) {
				t.Fatalf("topic %d is answered with %q, %v, want %d", i, line, err, want)
			}
		}
		if err := receive(t, "a write", sent); err != nil {
			t.Fatal(err)
		}
	}
	asks(1, "INCRBY \"back\\\\slash \\\"%[1]d\\\"\" %[1]d\n", func(i int) int { return i })
	asks(100, "INCR 'back\\slash \"%d\"'\n", func(i int) int { return i + 1 })
}
