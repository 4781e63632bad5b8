//go:build unix

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// countOnce counts over a connection of its own, and returns the certificate that it met.
func countOnce(dial func() (net.Conn, error)) (met []byte, err error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(hang)); err != nil {
		return nil, err
	}
	if secured, is := c.(*tls.Conn); is {
		met = secured.ConnectionState().PeerCertificates[0].Raw
	}
	if _, err := c.Write([]byte("\x00orders")); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(c)
	if err != nil || len(answer) < 2 || answer[0] != 128 {
		return nil, fmt.Errorf("it is answered % x, %v", answer, err)
	}
	return met, nil
}

// TestCertificateOfAProcess: a certificate is exchanged three times through the two links of a
// volume of Kubernetes, once with only half of it written, while clients count, and none of them
// notices. The unix socket is there beside it, and its file is gone after the stop.
func TestCertificateOfAProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	publish := func(version int, whole bool) {
		t.Helper()
		cert, key := selfSigned()
		if !whole {
			key = key[:len(key)/2]
		}
		name := filepath.Join(dir, fmt.Sprintf("..%d", version))
		next, data := filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")
		old, _ := os.Readlink(data)
		if err := errors.Join(os.Mkdir(name, 0o755), os.WriteFile(filepath.Join(name, "tls.crt"), cert, 0o644),
			os.WriteFile(filepath.Join(name, "tls.key"), key, 0o600),
			os.Symlink(filepath.Base(name), next), os.Rename(next, data)); err != nil {
			t.Fatal(err)
		}
		if old != "" {
			if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(0, true)
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	short, err := os.MkdirTemp("", "gcd") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	path := filepath.Join(short, "s")
	p := runVictim(t, exec.Command("gcd", "serve", "--memory", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0",
		"--log-format", "json", "--unix", path, "--unix-mode", "0660",
		"--tls-cert", filepath.Join(dir, "tls.crt"), "--tls-key", filepath.Join(dir, "tls.key")))
	p.waitServing(t)
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Fatalf("the socket's file is %v, %v", info, err)
	}
	secured := func() (net.Conn, error) { // who looks only at the key, as a client does that has seen it before
		return tls.Dial("tcp", p.tcp, &tls.Config{InsecureSkipVerify: true})
	}
	var clients sync.WaitGroup
	var counted atomic.Int64
	enough := make(chan struct{})
	for i := range 3 {
		clients.Go(func() {
			dial := secured
			if i == 0 {
				dial = func() (net.Conn, error) { return net.Dial("unix", path) }
			}
			for {
				select {
				case <-enough:
					return
				default:
				}
				if _, err := countOnce(dial); err != nil {
					t.Error(err)
					return
				}
				counted.Add(1)
			}
		})
	}
	reload := func(said string) {
		t.Helper()
		before := strings.Count(p.output(), said)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(hang); strings.Count(p.output(), said) == before; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("it does not say %q:\n%s", said, p.output())
			}
		}
	}
	last, err := countOnce(secured)
	if err != nil {
		t.Fatal(err)
	}
	for version := range 4 {
		whole := version != 1
		publish(version+1, whole)
		if whole {
			reload(`"@message":"reloaded"`)
		} else {
			reload("cannot reload")
		}
		met, err := countOnce(secured)
		if err != nil {
			t.Fatal(err)
		}
		if changed := string(met) != string(last); changed != whole {
			t.Errorf("version %d: clients meet another certificate: %t", version, changed)
		}
		last = met
	}
	close(enough)
	clients.Wait()
	if counted.Load() == 0 {
		t.Error("there was no load")
	}
	p.stop(t)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the stop the socket's file is there: %v", err)
	}
}
