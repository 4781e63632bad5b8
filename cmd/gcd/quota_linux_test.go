package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestWorkersByQuota: there are as many workers as goroutines may run at a time, which Go takes
// from the quota of a container, and not as the machine has processors. A variable that says
// something of what is off is a warning.
func TestWorkersByQuota(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("gcd", victimArgs(t.TempDir(), "pool")...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=7", "GCD_SYNC_INTERVAL=3s")
	p := runVictim(t, cmd)
	p.waitServing(t)
	defer p.kill(t)
	conn, err := net.Dial("tcp", p.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(hang)) // which decides nothing but how a failure looks
	if _, err := conn.Write([]byte("*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$7\r\nworkers\r\n")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	var answer string
	for range 5 {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		answer += line
	}
	if want := "*2\r\n$7\r\nworkers\r\n$1\r\n7\r\n"; answer != want {
		t.Errorf("%q, want %q", answer, want)
	}
	const want = `"reason":"it is for --sync interval","variable":"GCD_SYNC_INTERVAL"`
	if !strings.Contains(p.output(), want) {
		t.Errorf("%s is not in %s", want, p.output())
	}
}
