package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"gcd/internal/credential"
)

// ClientFiles names the files of a client, each of which may be "".
type ClientFiles struct {
	CA        string // the authorities that a server's certificate may be of; "": those of the system
	Cert, Key string // what the client shows of itself; both or none
}

// Client is a config for a client of a server. What cannot be used, or is out of its time, is an
// error.
func Client(files ClientFiles) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if files.CA != "" {
		content, err := credential.Read(files.CA)
		if err != nil {
			return nil, fmt.Errorf("certs: %w", err)
		}
		if config.RootCAs, err = parseAuthorities(files.CA, content); err != nil {
			return nil, fmt.Errorf("certs: %w", err)
		}
	}
	switch {
	case files.Cert == "" && files.Key == "":
		return config, nil
	case files.Cert == "" || files.Key == "":
		return nil, errors.New("certs: a certificate and its key belong together, and one of the two is missing")
	}
	cert, err := credential.Read(files.Cert)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	key, err := credential.ReadSecret(files.Key)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	own, err := parsePair(files.Cert, cert, files.Key, key)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	if err := own.check(time.Now()); err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{own.Certificate}
	return config, nil
}
