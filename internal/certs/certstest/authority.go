// Package certstest makes certificates for tests. Its functions panic where the system gives no
// random numbers; nothing else of what they do can fail.
package certstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// Authority signs certificates.
type Authority struct {
	Certificate *x509.Certificate
	PEM         []byte
	key         crypto.Signer
}

// Leaf says what a certificate is like. The zero value is one of a server at 127.0.0.1, and of a
// client, from an hour ago to an hour from now.
type Leaf struct {
	Serial     int64 // default 1
	Subject    pkix.Name
	RawSubject []byte // in place of Subject
	Names      []string
	Kind       string        // of its key: "RSA", "Ed25519" or, by default, "ECDSA"
	From, To   time.Duration // from now; both zero: an hour before and after
}

// Issued is a certificate and its key.
type Issued struct {
	Certificate, Key []byte // in PEM
	TLS              tls.Certificate
}

// New makes an authority that signs itself, or that another one has signed.
func New(by *Authority) *Authority {
	a := &Authority{key: newKey("")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if by == nil {
		by = &Authority{Certificate: template, key: a.key}
	}
	a.Certificate, a.PEM = by.sign(template, a.key)
	return a
}

// Issue makes a certificate.
func (a *Authority) Issue(l Leaf) *Issued { return a.issue(l.template(), newKey(l.Kind)) }

// SelfSigned makes a certificate that is its own authority.
func SelfSigned(l Leaf) *Issued {
	self := &Authority{Certificate: l.template(), key: newKey(l.Kind)}
	return self.issue(self.Certificate, self.key)
}

func (l Leaf) template() *x509.Certificate {
	if l.From == 0 && l.To == 0 {
		l.From, l.To = -time.Hour, time.Hour
	}
	return &x509.Certificate{
		SerialNumber: big.NewInt(max(1, l.Serial)), Subject: l.Subject, RawSubject: l.RawSubject,
		NotBefore: time.Now().Add(l.From), NotAfter: time.Now().Add(l.To),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: l.Names, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func (a *Authority) issue(template *x509.Certificate, key crypto.Signer) *Issued {
	cert, text := a.sign(template, key)
	secret := must(x509.MarshalPKCS8PrivateKey(key))
	return &Issued{
		Certificate: text, Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		TLS: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
	}
}

// Pool trusts the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

func (a *Authority) sign(template *x509.Certificate, key crypto.Signer) (cert *x509.Certificate, text []byte) {
	der := must(x509.CreateCertificate(rand.Reader, template, a.Certificate, key.Public(), a.key))
	return must(x509.ParseCertificate(der)), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func newKey(kind string) crypto.Signer {
	switch kind {
	case "RSA":
		return must(rsa.GenerateKey(rand.Reader, 2048))
	case "Ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return must(key, err)
	}
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
