package certs

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcd/internal/credential"
	"gcd/internal/servertest"
)

// files writes a certificate and its key into a directory.
func files(t *testing.T, dir string, one issued) Files {
	t.Helper()
	return Files{Cert: write(t, dir, "tls.crt", one.cert, 0o644), Key: write(t, dir, "tls.key", one.key, 0o640)}
}

// listen serves with a config on the loopback and says "hello" to whoever comes.
func listen(t *testing.T, config *tls.Config) (addr string) {
	t.Helper()
	return servertest.TCP(t, func(conn *net.TCPConn) {
		secured := tls.Server(conn, config)
		if secured.Handshake() == nil {
			io.WriteString(secured, "hello")
			secured.Close()
		}
	})
}

// visit makes a connection and returns the serial number of the certificate that it met, and how
// many certificates came with it.
func visit(t *testing.T, addr string, config *tls.Config) (serial int64, chain int, err error) {
	t.Helper()
	dialer := &net.Dialer{Timeout: servertest.Patience}
	conn, err := tls.DialWithDialer(dialer, "tcp", addr, config)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(servertest.Patience))
	if said, err := io.ReadAll(conn); err != nil || string(said) != "hello" {
		return 0, 0, fmt.Errorf("the server said %q: %w", said, err)
	}
	met := conn.ConnectionState().PeerCertificates
	return met[0].SerialNumber.Int64(), len(met), nil
}

func wantSerial(t *testing.T, addr string, config *tls.Config, want int64) {
	t.Helper()
	if serial, _, err := visit(t, addr, config); err != nil || serial != want {
		t.Errorf("a client meets certificate %d, %v, want %d", serial, err, want)
	}
}

// wantReload reloads; says is a part of the error, "" for none.
func wantReload(t *testing.T, s *Server, changed bool, says string) {
	t.Helper()
	got, err := s.Reload()
	if got != changed || (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("a reload says %v, %v, want %v, %q", got, err, changed, says)
	}
}

// Keys of each kind, with and without certificates between the server's and the authority.
func TestKinds(t *testing.T) {
	t.Parallel()
	root := newAuthority(nil)
	between := newAuthority(root)
	for _, kind := range []string{"ECDSA", "Ed25519", "RSA"} {
		one := between.issue(7, kind, -time.Hour, time.Hour)
		one.cert = append(one.cert, between.PEM...)
		s, err := Open(files(t, t.TempDir(), one))
		if err != nil {
			t.Fatalf("%s cannot be opened: %v", kind, err)
		}
		serial, chain, err := visit(t, listen(t, s.Config()), &tls.Config{RootCAs: root.Pool()})
		if serial != 7 || chain != 2 || err != nil {
			t.Errorf("%s: met certificate %d of %d, %v, want 7 of 2", kind, serial, chain, err)
		}
		if left := time.Until(s.NotAfter()); left <= 0 || left > time.Hour {
			t.Errorf("%s: it ends in %v, want within an hour", kind, left)
		}
	}
}

// Only TLS 1.3 is spoken.
func TestOldVersions(t *testing.T) {
	t.Parallel()
	root := newAuthority(nil)
	s, err := Open(files(t, t.TempDir(), root.valid(1)))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = visit(t, listen(t, s.Config()), &tls.Config{RootCAs: root.Pool(), MaxVersion: tls.VersionTLS12})
	if err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
		t.Errorf("TLS 1.2 got %v, want a refusal", err)
	}
}

// A volume of Kubernetes: the files are links into ..data, which is a link that is exchanged, with
// a directory of another name each time, and the old one is removed.
func TestRotationThroughTwoLinks(t *testing.T) {
	t.Parallel()
	root, dir := newAuthority(nil), t.TempDir()
	publish := func(serial int64) {
		t.Helper()
		version := filepath.Join(dir, fmt.Sprintf("..2026_11_30.%d", serial))
		if err := os.Mkdir(version, 0o755); err != nil {
			t.Fatal(err)
		}
		files(t, version, root.valid(serial))
		next, data := filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")
		old, _ := os.Readlink(data)
		if err := errors.Join(os.Symlink(filepath.Base(version), next), os.Rename(next, data)); err != nil {
			t.Fatal(err)
		}
		if old != "" {
			if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(1)
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")})
	if err != nil {
		t.Fatal(err)
	}
	addr, clients := listen(t, s.Config()), &tls.Config{RootCAs: root.Pool()}
	wantSerial(t, addr, clients, 1)
	for serial := int64(2); serial <= 4; serial++ {
		publish(serial)
		wantSerial(t, addr, clients, serial-1)
		wantReload(t, s, true, "")
		wantReload(t, s, false, "")
		wantSerial(t, addr, clients, serial)
	}
}

// What is wrong at a reload leaves all as it was, until it is right.
func TestReloadOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	root, dir := newAuthority(nil), t.TempDir()
	old, next := root.valid(1), root.valid(2)
	s, err := Open(files(t, dir, old))
	if err != nil {
		t.Fatal(err)
	}
	addr, clients := listen(t, s.Config()), &tls.Config{RootCAs: root.Pool()}
	for _, wrong := range []struct {
		name string
		pair issued
		mode os.FileMode
		says string
	}{
		{"a certificate without its key", issued{next.cert, old.key}, 0o640, "is not that of the first certificate"},
		{"a key without its certificate", issued{old.cert, next.key}, 0o640, "is not that of the first certificate"},
		{"half a certificate", issued{next.cert[:len(next.cert)/2], next.key}, 0o640, "no certificate in PEM"},
		{"half a key", issued{next.cert, next.key[:len(next.key)/2]}, 0o640, "no key in PEM"},
		{"nothing", issued{}, 0o640, "no certificate in PEM"},
		{"one that has expired", root.issue(3, "ECDSA", -time.Hour, -time.Minute), 0o640, "has expired at"},
		{"one that is not valid yet", root.issue(3, "ECDSA", time.Minute, time.Hour), 0o640, "is not valid before"},
		{"a key that all may read", next, 0o644, "chmod 640"},
	} {
		files := files(t, dir, wrong.pair)
		if err := os.Chmod(files.Key, wrong.mode); err != nil {
			t.Fatal(err)
		}
		for range 2 { // it is told each time
			wantReload(t, s, false, wrong.says)
		}
		wantSerial(t, addr, clients, 1)
		if t.Failed() {
			t.Fatalf("that was %s", wrong.name)
		}
	}
	if err := os.Remove(filepath.Join(dir, "tls.crt")); err != nil {
		t.Fatal(err)
	}
	wantReload(t, s, false, "no such file")
	files(t, dir, next)
	wantReload(t, s, true, "")
	wantSerial(t, addr, clients, 2)
	files(t, dir, old) // and back
	wantReload(t, s, true, "")
	wantSerial(t, addr, clients, 1)
}

// What a start refuses, with words for who has to mend it.
func TestOpenOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	root := newAuthority(nil)
	one, other := root.valid(1), root.valid(2)
	der, _ := pem.Decode(one.key)
	sealed := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der.Bytes})
	sealedRSA := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: der.Bytes,
	})
	for says, pair := range map[string]issued{
		"is not that of the first certificate": {other.cert, one.key},
		"is encrypted, and nobody":             {one.cert, sealed},
		"openssl pkey -in":                     {one.cert, sealedRSA},
		"has no certificate in PEM":            {der.Bytes, one.key},
		"has no key in PEM":                    {one.cert, der.Bytes},
		"tls.key: tls: ":                       {one.cert, one.cert},
		"server's own certificate is not":      {append(root.PEM, one.cert...), one.key},
	} {
		if _, err := Open(files(t, t.TempDir(), pair)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("it says %v, want %q", err, says)
		}
	}
	good := files(t, t.TempDir(), one)
	if err := os.Chmod(good.Key, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(good); !errors.Is(err, credential.ErrOpen) || !strings.Contains(err.Error(), "mode 0604") {
		t.Errorf("of a key that others may read it says %v", err)
	}
	if err := os.Chmod(good.Key, 0o440); err != nil {
		t.Fatal(err)
	}
	good.RequireClient = true
	if _, err := Open(good); err == nil || !strings.Contains(err.Error(), "no authority is named") {
		t.Errorf("without an authority for clients it says %v", err)
	}
	good.ClientCA = good.Key
	if _, err := Open(good); err == nil || !strings.Contains(err.Error(), "no certificate of an authority") {
		t.Errorf("with a key for an authority it says %v", err)
	}
}

// A certificate that is out of its time is no reason not to start, and is told.
func TestOutOfTime(t *testing.T) {
	t.Parallel()
	root := newAuthority(nil)
	for says, one := range map[string]issued{
		"tls.crt has expired at 2":      root.issue(1, "ECDSA", -2*time.Hour, -time.Hour),
		"tls.crt is not valid before 2": root.issue(1, "ECDSA", time.Hour, 2*time.Hour),
		"":                              root.valid(1),
	} {
		s, err := Open(files(t, t.TempDir(), one))
		if err != nil {
			t.Fatal(err)
		}
		err = s.Check(time.Now())
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("the check says %v, want %q", err, says)
		}
		if s.Check(s.NotAfter().Add(time.Second)) == nil {
			t.Error("a certificate is valid after its end")
		}
	}
}

// Certificates of clients: of an authority that is named they are verified, of others refused, and
// whether there has to be one is an option.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	root, clients, strangers := newAuthority(nil), newAuthority(nil), newAuthority(nil)
	dir := t.TempDir()
	own := files(t, dir, root.valid(1))
	own.ClientCA = write(t, dir, "clients.crt", clients.PEM, 0o644)
	config := func(one *issued) *tls.Config {
		t.Helper()
		names := ClientFiles{CA: write(t, dir, "ca.crt", root.PEM, 0o644)}
		if one != nil {
			names.Cert = write(t, dir, "client.crt", one.cert, 0o644)
			names.Key = write(t, dir, "client.key", one.key, 0o600)
		}
		c, err := Client(names)
		return must(t, c, err)
	}
	right, foreign := clients.valid(2), strangers.valid(3)
	gone := clients.issue(4, "ECDSA", -time.Hour, time.Hour)
	for _, required := range []bool{false, true} {
		own.RequireClient = required
		s, err := Open(own)
		if err != nil {
			t.Fatal(err)
		}
		met := make(chan int, 16) // more than there are visits
		c := s.Config()
		addr := servertest.TCP(t, func(conn *net.TCPConn) {
			secured := tls.Server(conn, c)
			if secured.Handshake() == nil {
				met <- len(secured.ConnectionState().VerifiedChains)
				io.WriteString(secured, "hello")
				secured.Close()
			}
		})
		chains := func() int { // of the last who was greeted
			select {
			case n := <-met:
				return n
			default:
				return -1
			}
		}
		if _, _, err := visit(t, addr, config(&right)); err != nil || chains() != 1 {
			t.Errorf("required %v: the right certificate is not verified: %v", required, err)
		}
		if _, _, err := visit(t, addr, config(&foreign)); err == nil {
			t.Errorf("required %v: a certificate of another authority is taken", required)
		}
		if _, _, err := visit(t, addr, config(nil)); (err != nil) != required || err == nil && chains() != 0 {
			t.Errorf("required %v: without a certificate it says %v", required, err)
		}
		// Another authority for clients, by a reload.
		write(t, dir, "clients.crt", strangers.PEM, 0o644)
		wantReload(t, s, true, "")
		if _, _, err := visit(t, addr, config(&foreign)); err != nil || chains() != 1 {
			t.Errorf("required %v: the certificate of the new authority is not verified: %v", required, err)
		}
		if _, _, err := visit(t, addr, config(&gone)); err == nil {
			t.Errorf("required %v: a certificate of the old authority is taken", required)
		}
		write(t, dir, "clients.crt", clients.PEM, 0o644)
	}
}
