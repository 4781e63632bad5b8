package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gcd/server"
	"gcd/store"
)

// The same with a real store on a real disk that is full, and then has room again.
func TestRESPPingOfAFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("this needs the right to mount a file system: ", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	st, err := store.Open(filepath.Join(disk, "data"),
		store.Options{SegmentSize: 64 << 10, SnapshotInterval: -1, SnapshotBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	s := serve(t, st, server.Options{}, nil)
	c := dialRESP(t, s, 2)
	ask := func(in string) string {
		send(t, c, []byte(in+"\r\nECHO end\r\n"))
		return readUntil(t, c, "$3\r\nend\r\n")
	}
	if got := ask("PING"); got != "+PONG\r\n" {
		t.Fatalf("on an empty disk: %q", got)
	}
	filler := filepath.Join(disk, "filler")
	eventually(t, "a count finds no room", func() bool {
		f, err := os.OpenFile(filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for chunk := make([]byte, 4<<10); err == nil; {
			_, err = f.Write(chunk)
		}
		return ask("INCR "+strings.Repeat("t", 900)) == noRoom
	})
	if got := ask("PING\r\nPING hello\r\nINFO"); !strings.HasPrefix(got, noRoom+noRoom) ||
		!strings.Contains(got, "\r\naof_last_write_status:err\r\n") ||
		!strings.Contains(got, "\r\ncounting:refused since ") || st.Refusing() == nil {
		t.Errorf("on a full disk: %q", got)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "PING tells that there is room again", func() bool { return ask("PING") == "+PONG\r\n" })
	if got := ask("INCR a\r\nINFO"); !strings.HasPrefix(got, ":1\r\n") ||
		!strings.Contains(got, "\r\ncounting:ok\r\n") {
		t.Errorf("when there is room again: %q", got)
	}
}
