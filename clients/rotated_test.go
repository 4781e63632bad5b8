//go:build linux

package clients

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// volume is a directory as Kubernetes mounts a secret: each file is a link to a link to a directory
// that is there once. What is new comes in a new directory, to which the link in the middle leads
// then, and the old one goes.
type volume struct {
	dir  string
	made int
}

// put has the files hold something new.
func (v *volume) put(t *testing.T, certificate *issued) {
	t.Helper()
	v.made++
	inner := "..2026_" + strconv.Itoa(v.made)
	files := filepath.Join(v.dir, inner)
	if err := os.Mkdir(files, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, files, "tls.crt", certificate.certificate)
	write(t, files, "tls.key", certificate.key)
	data := filepath.Join(v.dir, "..data")
	old, _ := os.Readlink(data) // empty at first
	if err := os.Symlink(inner, data+"_tmp"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(data+"_tmp", data); err != nil {
		t.Fatal(err)
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(v.dir, old)); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// rotated has the server's certificate changed three times while clients count. Connections of one
// are new again and again, and those of the other last. Then comes one whose key is another's. No
// count fails, and none is lost or done twice.
func rotated(t *testing.T, g *guards) {
	const first, rotations, wrong, callers, handshakes = 10, 3, 99, 8, 40
	v := &volume{dir: t.TempDir()}
	v.put(t, g.authority.issue(first, pkix.Name{CommonName: "gcd"}))
	auth := write(t, t.TempDir(), "auth", g.rules)
	s := startProcess(t, g.binary, "--auth", auth, "--tls-cert", filepath.Join(v.dir, "tls.crt"),
		"--tls-key", filepath.Join(v.dir, "tls.key"))

	ctx, stop := context.WithCancel(t.Context())
	shaken := make(chan int64) // the certificate's number, of each handshake
	config := g.authority.config(t, nil)
	config.VerifyConnection = func(state tls.ConnectionState) error {
		select {
		case shaken <- state.PeerCertificates[0].SerialNumber.Int64():
		case <-ctx.Done():
		}
		return nil
	}
	o := redis.Options{Addr: s.addr, Username: "billing", Password: g.billing, TLSConfig: config, MaxRetries: -1,
		PoolSize: callers, ReadTimeout: patience}
	lasts := redis.NewClient(&o)
	defer lasts.Close()
	o.ConnMaxLifetime = 20 * time.Millisecond
	comes := redis.NewClient(&o)
	defer comes.Close()

	var (
		mu  sync.Mutex
		got []int64
		wg  sync.WaitGroup
	)
	count := func(c *redis.Client) {
		for ctx.Err() == nil {
			n, err := c.Incr(context.Background(), "invoice/rotated").Result()
			if err != nil {
				t.Errorf("a count while certificates change: %v", err)
				return
			}
			mu.Lock()
			got = append(got, n)
			mu.Unlock()
		}
	}
	for range callers / 2 {
		wg.Go(func() { count(lasts) })
		wg.Go(func() { count(comes) })
	}
	defer wg.Wait()
	defer stop()
	seen := make(map[int64]int) // handshakes by the certificate's number
	until := func(what string, done func() bool) {
		t.Helper()
		for late := time.After(patience); !done(); {
			select {
			case serial := <-shaken:
				seen[serial]++
			case <-late:
				t.Fatalf("%s has not come after %v; handshakes by certificate: %v", what, patience, seen)
			}
		}
	}
	reload := func(certificate *issued) {
		t.Helper()
		v.put(t, certificate)
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	for serial := int64(first); ; serial++ {
		until(fmt.Sprintf("certificate %d", serial), func() bool { return seen[serial] >= handshakes })
		if serial == first+rotations {
			break
		}
		reload(g.authority.issue(serial+1, pkix.Name{CommonName: "gcd"}))
	}
	half := g.authority.issue(wrong, pkix.Name{CommonName: "gcd"})
	half.key = g.server.key
	reload(half)
	until("the refusal of a key of another certificate", func() bool {
		return strings.Contains(s.log.String(), "cannot reload")
	})
	stays := seen[first+rotations] + handshakes
	until("the last certificate, which stays", func() bool { return seen[first+rotations] >= stays })
	stop()
	wg.Wait()
	eachOnce(t, got, len(got))
	if n, err := lasts.Get(context.Background(), "invoice/rotated").Int(); err != nil || n != len(got) {
		t.Errorf("%d were counted (%v), and %d calls were answered", n, err, len(got))
	}
	if seen[wrong] > 0 {
		t.Error("a certificate was shown that does not fit its key")
	}
	t.Logf("%d counts, and handshakes by certificate: %v", len(got), seen)
}
