package main

import (
	"io/fs"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"gcd/internal/certs"
	"gcd/internal/cmdline"
	"gcd/internal/reload"
	"gcd/server"
)

// tlsFlags is the heading of the flags of TLS.
const tlsFlags = "TLS, on the TCP port (version 1.3)"

func serveTLSFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "tls-cert", Category: tlsFlags,
			Usage: "The server's certificate, and those between it and its authority, in `FILE`. It is read anew " +
				"when it has changed, and on SIGHUP, with the files below."},
		&cli.StringFlag{Name: "tls-key", Category: tlsFlags,
			Usage: "The key of --tls-cert, in `FILE`, which others must not be able to read."},
		&cli.StringFlag{Name: "tls-client-ca", Category: tlsFlags,
			Usage: "Clients show a certificate of the authorities in `FILE`: all of them without --auth, and with it " +
				"those who want to be known by it."},
		&cli.BoolFlag{Name: "tls-require", Value: true, Category: tlsFlags,
			Usage: "Refuse connections without TLS from other machines; --tls-require=false takes them."},
	}
}

func serveUnixFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "unix", Category: listenFlags,
			Usage: "Listen at a unix socket, too, whose file is `PATH`. Whoever may write to the file is let in."},
		&cli.StringFlag{Name: "unix-mode", Value: "0600", Category: listenFlags,
			Usage: "The `MODE` of the file of --unix: 0660 lets its group in."},
	}
}

// securing is what the flags say about TLS.
type securing struct {
	files   certs.Files // no Cert: there is none
	require bool
	own     *certs.Server
}

func readSecuring(c *cli.Context) securing {
	files := certs.Files{Cert: c.String("tls-cert"), Key: c.String("tls-key"), ClientCA: c.String("tls-client-ca")}
	files.RequireClient = files.ClientCA != "" && c.String("auth") == ""
	return securing{files: files, require: files.Cert != "" && c.Bool("tls-require")}
}

// knowsClients tells whether whoever comes over TCP from another machine has shown a certificate.
func (s *securing) knowsClients() bool { return s.require && s.files.RequireClient }

// checkDoors refuses certificates without keys, and unix sockets that cannot be.
func (s *settings) checkDoors(c *cli.Context) error {
	if s.files.Cert != "" && s.files.Key == "" {
		return usagef("serve", "%s needs its key: --tls-key FILE", cmdline.Given(c, "tls-cert"))
	}
	if s.server.Unix != "" {
		if err := server.CheckUnix(s.server.Unix); err != nil {
			return wrongFlag(c, "unix", "cannot be used: %v", err)
		}
	}
	mode, err := strconv.ParseUint(c.String("unix-mode"), 8, 32)
	if err != nil || fs.FileMode(mode)&^fs.ModePerm != 0 || mode&0o200 == 0 {
		return wrongFlag(c, "unix-mode",
			"%q is no mode: it takes octal digits such as 0600, by which the owner may write", c.String("unix-mode"))
	}
	s.server.UnixMode = fs.FileMode(mode)
	return nil
}

// openSecuring reads the certificate.
func (s *settings) openSecuring(c *cli.Context) error {
	if s.files.Cert == "" {
		return nil
	}
	own, err := certs.Open(s.files)
	if err != nil {
		return wrongFlag(c, "tls-cert", "cannot be used: %s", plain(err))
	}
	s.own, s.server.TLS, s.server.RequireTLS = own, own.Config(), s.require
	return nil
}

// tellSecuring says until when the certificate is valid, or that it is not.
func (s *settings) tellSecuring() {
	if s.own == nil {
		return
	}
	if err := s.own.Check(time.Now()); err != nil {
		s.log.Warn("clients will refuse TLS", "error", plain(err))
		return
	}
	s.log.Info("read the certificate", "file", s.files.Cert, "not_after", s.own.NotAfter().UTC().Format(time.RFC3339))
}

func (s *settings) reloadableCertificate() reload.Thing {
	return reload.Thing{
		Name:   "the certificate of --tls-cert",
		Reload: s.own.Reload,
		Says: func() []any {
			return []any{"not_after", s.own.NotAfter().UTC().Format(time.RFC3339)}
		},
	}
}
