package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"

	"gcd/codec"
	"gcd/internal/certs"
	"gcd/internal/cmdline"
	"gcd/internal/credential"
	"gcd/internal/dial"
)

// tokenVariable has the token. No flag has it, since a command line can be seen by all who are on a
// machine.
const tokenVariable = envPrefix + "TOKEN"

// reachFlags are the flags by which each command that goes to a server reaches it; what begins with
// where that is.
func reachFlags(where string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "addr", Value: codec.DefaultAddr, Category: serverFlags,
			Usage: where + ", `HOST:PORT`, or unix:PATH for a unix socket."},
		&cli.BoolFlag{Name: "tls", Category: serverFlags,
			Usage: "Speak TLS. The server's certificate has to be of an authority that the system knows."},
		&cli.StringFlag{Name: "tls-ca", Category: serverFlags,
			Usage: "Speak TLS, and take a certificate of the authorities in `FILE` only."},
		&cli.StringFlag{Name: "tls-cert", Category: serverFlags,
			Usage: "Over TLS show the certificate in `FILE`, with --tls-key."},
		&cli.StringFlag{Name: "tls-key", Category: serverFlags,
			Usage: "The key of --tls-cert, in `FILE`, which others must not be able to read."},
		&cli.StringFlag{Name: "tls-server-name", DefaultText: "the host of --addr", Category: serverFlags,
			Usage: "The `NAME` that the server's certificate has to be for."},
		&cli.StringFlag{Name: "token-file", Category: serverFlags,
			Usage: "Say who asks, over RESP, by the token in `FILE`, which others must not be able to read. Without " +
				"it by " + tokenVariable + " in the environment, if that is set."},
	}
}

// reach is how a command reaches its server.
type reach struct {
	addr   string
	secure *tls.Config // nil: in clear text
	token  string      // "": none
}

// readReach reads the flags of a command.
func readReach(c *cli.Context) (r reach, err error) {
	if r.addr, err = serverAddr(c); err != nil {
		return reach{}, err
	}
	if r.secure, err = readTLS(c, r.addr); err != nil {
		return reach{}, err
	}
	r.token, err = readToken(c)
	return r, err
}

// readTLS is the config for TLS, nil where there is none. A certificate of one's own that is named
// in the environment alone does not begin it: it may be the server's, whose probe this is.
func readTLS(c *cli.Context, addr string) (*tls.Config, error) {
	on := c.Bool("tls") || !c.IsSet("tls") && c.String("tls-ca") != ""
	if !on {
		return nil, useless(c, "there is no TLS without --tls or --tls-ca", "tls-ca", "tls-cert", "tls-key",
			"tls-server-name")
	}
	config, err := certs.Client(certs.ClientFiles{
		CA: c.String("tls-ca"), Cert: c.String("tls-cert"), Key: c.String("tls-key"),
	})
	if err != nil {
		return nil, usagef(c.Command.Name, "TLS: %s", plain(err))
	}
	config.ServerName = c.String("tls-server-name")
	if _, err := dial.Config(config, addr); err != nil {
		return nil, usagef(c.Command.Name, "%v: --tls-server-name names one; a unix socket needs no TLS", err)
	}
	return config, nil
}

// readToken is the token, "" where there is none.
func readToken(c *cli.Context) (string, error) {
	token, from := os.Getenv(tokenVariable), tokenVariable
	if file := c.String("token-file"); file != "" {
		content, err := credential.ReadSecret(file)
		if err != nil {
			return "", wrongFlag(c, "token-file", "is no file with a token: %v", err)
		}
		token, from = string(bytes.TrimSpace(content)), cmdline.Given(c, "token-file")
		if token == "" {
			return "", wrongFlag(c, "token-file", "is no file with a token: %s is empty", file)
		}
	}
	if strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return "", usagef(c.Command.Name, "%s has more than a token: it has blanks, lines or the like within", from)
	}
	return token, nil
}

// network is how a command talks to the server, of those that have a choice: as it is told, else
// over RESP where there is a token, since only that carries one.
func (r reach) network(c *cli.Context) (string, error) {
	network := cmdline.Word(c, "network")
	if r.token != "" && !c.IsSet("network") {
		network = "resp"
	}
	if network == "udp" {
		if path, _ := dial.Split(r.addr); path == "unix" {
			return "", wrongFlag(c, "addr", "is a unix socket: --network udp takes HOST:PORT")
		}
		if r.secure != nil && (cmdline.Typed(c, "tls") || cmdline.Typed(c, "tls-ca")) {
			return "", usagef(c.Command.Name, "there is no TLS over --network udp")
		}
	}
	if network != "resp" {
		return network, useless(c, "only --network resp has a place for a token", "token-file")
	}
	return network, nil
}

// over is the way for a network: without what that does not carry, where only the environment has
// asked for it.
func (r reach) over(network string) reach {
	if network != "resp" {
		r.token = ""
	}
	if network == "udp" {
		r.secure = nil
	}
	return r
}

// open connects, and says who asks.
func (r reach) open(ctx context.Context) (net.Conn, error) {
	config, err := dial.Config(r.secure, r.addr)
	if err != nil {
		return nil, err
	}
	conn, err := dial.Open(ctx, new(net.Dialer), r.addr, config)
	if err != nil || r.token == "" {
		return conn, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := dial.Authenticate(conn, r.token); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// denied is the failure of who may not, nil if a refusal with the code is for another reason.
func denied(err error, code codec.Code) *cmdline.Failure {
	switch code {
	case codec.CodeNotAuthenticated, codec.CodeTooManyFailures:
		return cmdline.Fail(cmdline.ExitNotPermitted, err, hintNotDone+"; the server asks who comes: --token-file or "+
			tokenVariable+" has a token, --tls-cert a certificate")
	case codec.CodeNotPermitted:
		return cmdline.Fail(cmdline.ExitNotPermitted, err, hintNotDone+"; who runs the server gives the right to it")
	}
	return nil
}

// deniedBy is denied for an error that may have a refusal in it.
func deniedBy(err error) *cmdline.Failure {
	var refusal *codec.RefusalError
	if errors.As(err, &refusal) {
		return denied(err, refusal.Code)
	}
	return nil
}
