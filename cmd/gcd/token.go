package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"gcd/internal/access"
	"gcd/internal/cmdline"
)

func tokenCommand() *cli.Command {
	return &cli.Command{
		Name:      "token",
		Usage:     "Make a token, and the line that gives it rights",
		Category:  categoryServer,
		ArgsUsage: "NAME [RIGHT:PREFIX ...]",
		Description: `Prints a new token to stdout, for a client, and to stderr the line for the file
of "gcd serve --auth". The line has a hash and not the token, which is nowhere
else: what is printed here cannot be printed again.

NAME is what logs call whoever has the token. A right is count:PREFIX,
reset:PREFIX or read:PREFIX, over the topics that begin with PREFIX, all of them
if it is empty; or backup or admin, over the whole store.

Examples:
  gcd token billing count:invoice/ read:invoice/
  (umask 077; gcd token ops count: reset: read: backup admin >ops.token)
      only the line is shown; the token is in a file that others cannot read

A name may have two tokens: so one is replaced without a gap.`,
		Action: func(c *cli.Context) error {
			name, rights := c.Args().First(), c.Args().Tail()
			if name == "" {
				return usagef("token", "NAME is missing: gcd token %s", c.Command.ArgsUsage)
			}
			token, secret := access.NewToken()
			line, err := access.Line(name, secret, rights...)
			if err != nil {
				return usagef("token", "%v", err)
			}
			if cmdline.MayBeClosed(c.App.Writer) {
				return errors.New("stdout was closed, or is the null device: nobody would get the token")
			}
			if _, err := fmt.Fprintln(c.App.Writer, token); err != nil {
				return fmt.Errorf("could not print the token: %w", err)
			}
			if _, err := fmt.Fprintln(c.App.ErrWriter, line); err != nil {
				return fmt.Errorf("could not print the line, so the token is good for nothing: %w", err)
			}
			return nil
		},
	}
}

func authCommand() *cli.Command {
	return &cli.Command{
		Name:      "auth",
		Usage:     "Check a file of rights, and print who may what",
		Category:  categoryServer,
		ArgsUsage: "FILE",
		Description: `Reads FILE as "gcd serve --auth FILE" does, at its start and each time that it
has changed, and prints the lines as it takes them: without comments, and
without a right that another one includes. A server that runs keeps the rights
that it has while the file is wrong.

Exit code 1: it is wrong, and the line and the reason are on stderr.

Example:
  gcd auth /etc/gcd/auth.new && mv /etc/gcd/auth.new /etc/gcd/auth`,
		Action: func(c *cli.Context) error {
			if err := cmdline.TakesArgs(c, 1); err != nil {
				return err
			}
			path := c.Args().First()
			if path == "" {
				return usagef("auth", "FILE is missing: gcd auth %s", c.Command.ArgsUsage)
			}
			file, err := access.Open(path)
			if err != nil {
				return cmdline.Fail(cmdline.ExitFailure, err, "")
			}
			_, err = fmt.Fprint(c.App.Writer, file.Rules())
			return err
		},
	}
}
