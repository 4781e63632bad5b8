//go:build linux

package clients

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gcd/internal/certs/certstest"
)

// authority signs the certificates of servers and clients.
type authority struct{ *certstest.Authority }

func newAuthority() *authority { return &authority{certstest.New(nil)} }

// issued is a certificate and its key, in PEM.
type issued struct{ certificate, key []byte }

// issue makes a certificate for a server at 127.0.0.1, or for a client.
func (a *authority) issue(serial int64, subject pkix.Name) *issued {
	return a.issueUntil(serial, subject, time.Hour)
}

// issueUntil makes one that is valid for so long from now, or was until then.
func (a *authority) issueUntil(serial int64, subject pkix.Name, end time.Duration) *issued {
	one := a.Issue(certstest.Leaf{Serial: serial, Subject: subject, From: -2 * time.Hour, To: end})
	return &issued{one.Certificate, one.Key}
}

// config is that of a client that shows a certificate; nil: none.
func (a *authority) config(t *testing.T, shows *issued) *tls.Config {
	t.Helper()
	config := &tls.Config{RootCAs: a.Pool()}
	if shows != nil {
		pair, err := tls.X509KeyPair(shows.certificate, shows.key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

// write writes a file that its owner alone can read, and returns its name.
func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
