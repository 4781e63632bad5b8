package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gcd/internal/cmdline"
	"gcd/server"
	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools"
	"gcd/wal"
)

// dumpOf makes a dump of topics with ascending names, in NDJSON or CSV.
func dumpOf(t *testing.T, format string, topics int) string {
	t.Helper()
	var b strings.Builder
	w, err := tools.NewDumpWriter(&b, format, false)
	if err != nil {
		t.Error(err)
		return ""
	}
	err = w.Header(tools.DumpHeader{Store: wal.ID{1}, Index: uint64(topics)})
	for i := range uint64(topics) {
		topic := fmt.Appendf(nil, "topic-%08d", i)
		entry := snapshot.Entry{Topic: topic, Value: core.Value{Sum: i + 1}, Last: i + 1}
		err = errors.Join(err, w.Counter(&tools.Counter{Entry: entry}))
	}
	if err = errors.Join(err, w.Footer()); err != nil {
		t.Error(err)
	}
	return b.String()
}

// backupServer serves a memory store whose backups are made by a function, and returns its address.
func backupServer(t *testing.T, o server.Options) string {
	t.Helper()
	counters, err := store.Open("", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o.TCP, o.Workers = "127.0.0.1:0", 1
	s, err := server.New(counters, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-served, counters.Close()); err != nil {
			t.Error(err)
		}
	})
	return s.TCPAddr().String()
}

// progressLines are those of a backup that takes long, as on a busy machine any may.
var progressLines = regexp.MustCompile(`(?m)^backup: \d+ topics, \d+ bytes, \d+ topics/s\n`)

// runBackup runs the command.
func runBackup(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, msg bytes.Buffer
	code = run(ctx, append([]string{"gcd", "backup"}, args...), &out, &msg)
	return code, out.String(), msg.String()
}

func TestBackupCommand(t *testing.T) {
	t.Parallel()
	addr := backupServer(t, server.Options{Backup: func(_ context.Context, w io.Writer, format string) error {
		_, err := io.WriteString(w, dumpOf(t, format, 10_000))
		return err
	}})
	name := filepath.Join(t.TempDir(), "backup")
	for _, format := range []string{tools.FormatNDJSON, tools.FormatCSV} { // the second replaces the first
		code, stdout, stderr := runBackup(t.Context(), "--addr", addr, "--format", format, name)
		stderr = progressLines.ReplaceAllString(stderr, "")
		want := dumpOf(t, format, 10_000)
		if code != cmdline.ExitOK || stdout != "" ||
			stderr != fmt.Sprintf("%s: 10000 topics at index 10000, %d bytes, checked\n", name, len(want)) {
			t.Errorf("code %d, stdout %.99q, stderr %q", code, stdout, stderr)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%d bytes, want %d; %v", len(got), len(want), err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the dump has the mode %v (%v), want 0600", info.Mode(), err)
		}
		code, stdout, stderr = runBackup(t.Context(), "--addr", addr, "--format", format, "-")
		if stderr = progressLines.ReplaceAllString(stderr, ""); code != cmdline.ExitOK || stdout != want ||
			stderr != "" {
			t.Errorf("to stdout: code %d, %d bytes, want %d; stderr %q", code, len(stdout), len(want), stderr)
		}
	}
	if _, _, stderr := runBackup(t.Context(), "--addr", addr, "--quiet", name); stderr != "" {
		t.Errorf("--quiet says %q", stderr)
	}
}

// TestBackupThatIsNotWhole: whatever goes wrong, no file appears, what had its name stays, nothing
// is left beside it, and the exit code says it.
func TestBackupThatIsNotWhole(t *testing.T) {
	t.Parallel()
	whole := dumpOf(t, tools.FormatNDJSON, 10_000)
	flipped := []byte(whole)
	flipped[len(flipped)/2] ^= 1
	sends := func(text string, err error) func(context.Context, io.Writer, string) error {
		return func(_ context.Context, w io.Writer, _ string) error {
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
			return err
		}
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	nobody, err := net.Dial("tcp", silent.Addr().String()) // nothing can listen where a connection has its end
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nobody.Close() })
	interrupted, interrupt := context.WithCancel(t.Context())
	disk := errors.New("the disk is gone")
	for _, row := range []struct {
		name string
		addr string
		o    server.Options
		args []string
		ctx  context.Context
		code int
		says string
	}{
		{name: "cut off by the server", o: server.Options{Backup: sends(whole[:len(whole)/2], disk)},
			code: cmdline.ExitFailure, says: "gcd: the server ended the backup after "},
		{name: "without its last line",
			o:    server.Options{Backup: sends(whole[:strings.LastIndex(whole[:len(whole)-1], "\n")+1], nil)},
			code: cmdline.ExitCorruption, says: "cut off"},
		{name: "without its last byte", o: server.Options{Backup: sends(whole[:len(whole)-1], nil)},
			code: cmdline.ExitCorruption, says: "line 10002"},
		{name: "with a byte more", o: server.Options{Backup: sends(whole+"\n", nil)}, code: cmdline.ExitCorruption,
			says: "line 10003"},
		{name: "changed", o: server.Options{Backup: sends(string(flipped), nil)}, code: cmdline.ExitCorruption,
			says: "gcd: what came is no whole backup: line "},
		{name: "empty", o: server.Options{Backup: sends("", nil)}, code: cmdline.ExitCorruption, says: "empty"},
		{name: "refused", o: server.Options{Backup: sends("", disk)}, code: cmdline.ExitFailure,
			says: "gcd: the server refused: ERR backup failed: the disk is gone\n"},
		{name: "of a server in memory", code: cmdline.ExitFailure, says: "memory"},
		{name: "without RESP", o: server.Options{NoRESP: true}, code: cmdline.ExitFailure,
			says: "does it run with --resp?"},
		{name: "nobody", addr: nobody.LocalAddr().String(), code: cmdline.ExitNotSent, says: "is the server running"},
		{name: "nothing comes", addr: silent.Addr().String(), args: []string{"--timeout", "1ms"},
			code: cmdline.ExitFailure, says: "gcd: nothing came for 1ms"},
		{name: "interrupted", o: server.Options{Backup: func(ctx context.Context, w io.Writer, _ string) error {
			_, err := io.WriteString(w, whole[:len(whole)/2])
			interrupt()
			<-ctx.Done() // when the server is shut down: the client is not to wait for that
			return err
		}}, ctx: interrupted, code: cmdline.ExitInterrupted, says: "gcd: interrupted"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if row.addr == "" {
				row.addr = backupServer(t, row.o)
			}
			if row.ctx == nil {
				row.ctx = t.Context()
			}
			dir := t.TempDir()
			name := filepath.Join(dir, "backup")
			if err := os.WriteFile(name, []byte("of yesterday"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := runBackup(row.ctx, append(row.args, "--addr", row.addr, name)...)
			if code != row.code || stdout != "" || !strings.Contains(stderr, row.says) ||
				!strings.Contains(stderr, "\nhint: ") {
				t.Errorf("code %d, want %d; stdout %.99q, stderr %q, want %q in it", code, row.code, stdout, stderr,
					row.says)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
				t.Errorf("%v is left, %v", files, err)
			}
			if b, err := os.ReadFile(name); err != nil || string(b) != "of yesterday" {
				t.Errorf("the old file is %q, %v", b, err)
			}
		})
	}
}

// brokenOutput takes nothing.
type brokenOutput struct{}

func (brokenOutput) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// TestBackupToABrokenOutput: what cannot be written is an error.
func TestBackupToABrokenOutput(t *testing.T) {
	t.Parallel()
	addr := backupServer(t, server.Options{Backup: func(_ context.Context, w io.Writer, format string) error {
		_, err := io.WriteString(w, dumpOf(t, format, 10))
		return err
	}})
	var msg bytes.Buffer
	code := run(t.Context(), []string{"gcd", "backup", "--addr", addr, "-"}, brokenOutput{}, &msg)
	if code != cmdline.ExitFailure || !strings.Contains(msg.String(), "no space left") {
		t.Errorf("code %d, %s", code, msg.String())
	}
}

// TestBackupProgress: a line every few seconds.
func TestBackupProgress(t *testing.T) {
	t.Parallel()
	addr := backupServer(t, server.Options{Backup: func(_ context.Context, w io.Writer, format string) error {
		_, err := io.WriteString(w, dumpOf(t, format, 20_000))
		return err
	}})
	at := time.Unix(0, 0)
	now := func() time.Time { at = at.Add(10 * time.Second); return at }
	var said bytes.Buffer
	b := &backup{way: reach{addr: addr}, format: tools.FormatNDJSON, timeout: hang, said: &said,
		meter: cmdline.NewMeter(&said, now)}
	if err := b.run(t.Context(), filepath.Join(t.TempDir(), "backup"), io.Discard); err != nil {
		t.Fatal(err)
	}
	want := "backup: 8192 topics, 410/s\nbackup: 12288 topics, 410/s\nbackup: 16384 topics, 410/s\n"
	if !strings.HasPrefix(said.String(), want) {
		t.Errorf("it says %s", said.String())
	}
}
