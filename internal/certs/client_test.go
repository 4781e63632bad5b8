package certs

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a client cannot use is told before it connects.
func TestClientOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	root, dir := newAuthority(nil), t.TempDir()
	old := root.issue(1, "ECDSA", -2*time.Hour, -time.Hour)
	cert, key := write(t, dir, "c", old.cert, 0o644), write(t, dir, "k", old.key, 0o600)
	open := write(t, dir, "open", old.key, 0o644)
	for says, names := range map[string]ClientFiles{
		"one of the two is missing":      {Cert: cert},
		"and its key belong together":    {Key: key},
		"chmod 640":                      {Cert: cert, Key: open},
		"has expired at":                 {Cert: cert, Key: key},
		"no certificate of an authority": {CA: key},
		"no such file":                   {CA: filepath.Join(dir, "none")},
		"is not that of the first":       {Cert: write(t, dir, "o", root.PEM, 0o644), Key: key},
	} {
		if _, err := Client(names); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("it says %v, want %q", err, says)
		}
	}
	config, err := Client(ClientFiles{})
	if err != nil || config.RootCAs != nil || config.MinVersion != tls.VersionTLS13 {
		t.Errorf("nothing named makes %+v, %v, want the system's authorities and TLS 1.3", config, err)
	}
}
