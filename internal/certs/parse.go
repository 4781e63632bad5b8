package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// pair is a certificate with its key.
type pair struct {
	tls.Certificate
	file string // of the certificate
}

// check is nil where the certificate is valid at this time.
func (p *pair) check(at time.Time) error {
	switch leaf := p.Leaf; {
	case at.After(leaf.NotAfter):
		return fmt.Errorf("certs: the certificate in %s has expired at %s, so nobody takes it: renew it", p.file,
			stamp(leaf.NotAfter))
	case at.Before(leaf.NotBefore):
		return fmt.Errorf("certs: the certificate in %s is not valid before %s: look at the clock, or wait", p.file,
			stamp(leaf.NotBefore))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// parsePair takes what the two files hold.
func parsePair(certFile string, cert []byte, keyFile string, key []byte) (*pair, error) {
	if encrypted(key) {
		return nil, fmt.Errorf("the key in %s is encrypted, and nobody is there to be asked for its password: "+
			"openssl pkey -in %[1]s -out FILE writes one that is not", keyFile)
	}
	if block, _ := pem.Decode(cert); block == nil {
		return nil, fmt.Errorf("%s has no certificate in PEM", certFile)
	}
	if block, _ := pem.Decode(key); block == nil {
		return nil, fmt.Errorf("%s has no key in PEM", keyFile)
	}
	parsed, err := tls.X509KeyPair(cert, key)
	if err != nil {
		if strings.Contains(err.Error(), "does not match") {
			return nil, fmt.Errorf("the key in %s is not that of the first certificate in %s: one of the two is of "+
				"another time, or the server's own certificate is not the first", keyFile, certFile)
		}
		return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	return &pair{parsed, certFile}, nil
}

// encrypted reports whether a key, of either of the formats that there are, wants a password.
func encrypted(key []byte) bool {
	for {
		var block *pem.Block
		if block, key = pem.Decode(key); block == nil {
			return false
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
}

func parseAuthorities(file string, content []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s has no certificate of an authority in PEM", file)
	}
	return pool, nil
}
