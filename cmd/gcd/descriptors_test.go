package main

import (
	"context"
	"errors"
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
	"gcd/server"
)

func TestLeaveFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		conns int
		files uint64
		want  int
	}{
		{10_000, 1 << 20, 10_000}, {10_000, 1024, 1024 - reservedFiles - server.MaxLingering}, {100, 200 + reservedFiles, 100}, {101, 200 + reservedFiles, 100},
		{100, 10, 1}, {100, 1<<64 - 1, 100},
	} {
		if got := leaveFiles(test.conns, test.files, hclog.NewNullLogger()); got != test.want {
			t.Errorf("%d connections with %d files: %d, want %d", test.conns, test.files, got, test.want)
		}
	}
}

// TestFewDescriptors: silent connections take all descriptors that they can get; the log still rotates, snapshots are still
// taken, who gets in is served, and when they leave everybody is.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // no such limit
	}
	const files = reservedFiles + 16
	for _, dispatch := range []string{"pool", "goroutine"} {
		t.Run(dispatch, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-c", `ulimit -n 64; exec "$0" "$@"`, buildBinary(t)}, victimArgs(filepath.Join(t.TempDir(), "data"), dispatch)...)
			if files != 64 {
				t.Fatal("the script's limit is not the test's")
			}
			p := runVictim(t, exec.Command("sh", args...))
			p.waitServing(t)
			var silent []net.Conn
			refused := 0
			for range 3 * files {
				conn, err := net.Dial("tcp", p.tcp)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				silent = append(silent, conn)
			}
			for _, conn := range silent[len(silent)-files:] { // those were surely too many
				conn.SetReadDeadline(time.Now().Add(time.Minute))
				if b, err := io.ReadAll(conn); err == nil && len(b) > 1 && b[0] == byte(codec.OpRefusal) {
					refused++
				}
			}
			if refused == 0 {
				t.Error("no connection was refused: the fault was not injected")
			}
			c, err := client.New(p.udp, client.Options{Network: "udp", Timeout: time.Minute, Attempts: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			topic := strings.Repeat("t", 8000)
			for i := range uint64(100) { // three segments' worth
				if n, err := c.Count(t.Context(), topic); err != nil || n != i+1 {
					t.Fatalf("count %d: %d, %v\n%s", i, n, err, p.output())
				}
			}
			for _, conn := range silent {
				conn.Close()
			}
			over, err := client.New(p.tcp, client.Options{Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer over.Close()
			for { // the server sees the others leave in its own time
				var refused *client.RefusedError
				n, err := over.Count(context.Background(), topic)
				if errors.As(err, &refused) {
					continue
				}
				if err != nil || n != 101 {
					t.Errorf("over TCP: %d, %v", n, err)
				}
				break
			}
			for _, bad := range []string{"too many open files", "cannot prepare the next log segment", "no snapshot this time"} {
				if strings.Contains(p.output(), bad) {
					t.Errorf("the log says %q:\n%s", bad, p.output())
				}
			}
		})
	}
}
