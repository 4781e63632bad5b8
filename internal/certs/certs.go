// Package certs has the certificates of a server, which it reads anew while the server runs, and
// those of a client.
package certs

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gcd/internal/credential"
)

// Files names the files, which are all PEM.
type Files struct {
	Cert string // the server's own certificate, and those between it and the authority
	Key  string // of the first certificate in Cert

	// ClientCA has the authorities whose certificates clients may show; "": none is looked at.
	ClientCA string
	// RequireClient refuses clients that show none.
	RequireClient bool
}

// Server is the certificate of a server. It is safe for many goroutines.
type Server struct {
	files Files
	now   atomic.Pointer[state]

	mu sync.Mutex // of Reload
}

// state is what was read at one time.
type state struct {
	read   content
	config *tls.Config
	pair   *pair
}

// content is what the files held.
type content struct{ cert, key, clientCA []byte }

func (c content) equal(other content) bool {
	return bytes.Equal(c.cert, other.cert) && bytes.Equal(c.key, other.key) && bytes.Equal(c.clientCA, other.clientCA)
}

// Open reads the files. A certificate that is out of its time is taken, and Check says so: refusing
// it here would keep out those who come without TLS, too, and protect nobody, for each client looks
// at the time itself. Every other fault is an error.
func Open(files Files) (*Server, error) {
	if files.RequireClient && files.ClientCA == "" {
		return nil, errors.New("certs: clients must show a certificate, and no authority is named whose they may be")
	}
	s := &Server{files: files}
	first, err := s.load()
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	s.now.Store(first)
	return s, nil
}

// Config is for a listener, or for tls.Server. Each handshake takes what was read last.
func (s *Server) Config() *tls.Config {
	return &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.now.Load().config, nil },
	}
}

// Reload reads the files anew and says whether they hold something else than before, which new
// handshakes then take. When an error comes back all is as it was: the files cannot be read, do not
// fit together, as in the middle of a change, or hold a certificate that is out of its time. Who
// calls it every now and then, and it is cheap, needs no notice of changes: those of a link to a
// link, as a volume of Kubernetes has them, are missed by many.
func (s *Server) Reload() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.load()
	if err != nil {
		return false, fmt.Errorf("certs: %w", err)
	}
	if next.read.equal(s.now.Load().read) {
		return false, nil
	}
	if err := next.pair.check(time.Now()); err != nil {
		return false, err
	}
	s.now.Store(next)
	return true, nil
}

// NotAfter is the last moment at which the certificate is valid.
func (s *Server) NotAfter() time.Time { return s.now.Load().pair.Leaf.NotAfter }

// Check is nil where the certificate is valid at this time.
func (s *Server) Check(at time.Time) error { return s.now.Load().pair.check(at) }

// attempts is how often files are read that do not fit together, before that is an error: each
// change may come between the readings of two files.
const attempts = 3

// load reads the files and makes a config of what they hold.
func (s *Server) load() (*state, error) {
	var last content
	var lastErr error
	for range attempts {
		read, err := s.files.read()
		if err != nil {
			return nil, err
		}
		if lastErr != nil && read.equal(last) {
			return nil, lastErr
		}
		next, err := s.files.parse(read)
		if err == nil {
			return next, nil
		}
		last, lastErr = read, err
	}
	return nil, lastErr
}

func (f Files) read() (c content, err error) {
	if c.cert, err = credential.Read(f.Cert); err != nil {
		return content{}, err
	}
	if c.key, err = credential.ReadSecret(f.Key); err != nil {
		return content{}, err
	}
	if f.ClientCA != "" {
		c.clientCA, err = credential.Read(f.ClientCA)
	}
	return c, err
}

func (f Files) parse(read content) (*state, error) {
	own, err := parsePair(f.Cert, read.cert, f.Key, read.key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own.Certificate}}
	if f.ClientCA != "" {
		if config.ClientCAs, err = parseAuthorities(f.ClientCA, read.clientCA); err != nil {
			return nil, err
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
		if f.RequireClient {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	return &state{read: read, config: config, pair: own}, nil
}
