package certs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gcd/internal/certs/certstest"
)

// authority signs certificates for a test.
type authority struct{ *certstest.Authority }

// issued is a certificate and its key, in PEM.
type issued struct{ cert, key []byte }

func must[T any](t *testing.T, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// newAuthority is one that signs itself, or that by has signed.
func newAuthority(by *authority) *authority {
	var signer *certstest.Authority
	if by != nil {
		signer = by.Authority
	}
	return &authority{certstest.New(signer)}
}

// issue makes a certificate for 127.0.0.1 with a serial number.
func (a *authority) issue(serial int64, kind string, from, to time.Duration) issued {
	one := a.Issue(certstest.Leaf{Serial: serial, Kind: kind, From: from, To: to})
	return issued{one.Certificate, one.Key}
}

// valid is a certificate for now.
func (a *authority) valid(serial int64) issued { return a.issue(serial, "", 0, 0) }

// write writes a file and returns its name.
func write(t *testing.T, dir, name string, content []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}
