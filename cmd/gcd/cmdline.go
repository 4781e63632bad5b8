package main

import (
	"errors"
	"net"

	"github.com/urfave/cli/v2"

	"gcd/codec"
	"gcd/internal/cmdline"
	"gcd/internal/dial"
)

const (
	programName = "gcd"

	categoryServer = "Server"
	categoryClient = "Client"
)

const helpIntro = `Counts named things, durably: each COUNT of a topic returns the next number,
1, 2, 3, …, and a number that was returned is on disk and is never returned
again.`

const helpOutro = `Try it:
  gcd serve --data ./gcd-data  in one shell
  gcd count orders             in another: prints 1, then 2, then 3

Every flag but --yes can come from the environment: --addr is GCD_ADDR,
--max-topics is GCD_MAX_TOPICS. Flags win. A token comes from a file or from
GCD_TOKEN, never from the command line, which others can see.

Exit codes:
  0    done
  1    failed, or the server refused
  4    the server could not be reached, nothing was sent: surely not counted
  6    sent, but no answer came: it may have been counted
  7    the data directory, or a backup, is damaged
  8    the data directory is in use by another server
  9    the data directory is not gcd's, has no store, was taken away, or was written by a newer version
  10   not permitted: the server asks who comes, or gives no right to this
  64   the command line is wrong
  130  interrupted by a signal`

// program is gcd. h is for the command serve alone; it is nil where another command runs.
func program(h *host) *cmdline.Program {
	commands := []*cli.Command{
		serveCommand(h), initCommand(), tokenCommand(), authCommand(), backupCommand(), countCommand(), resetCommand(),
		pingCommand(), benchCommand(),
	}
	for _, command := range commands {
		cmdline.ReadVariables(envPrefix, command.Flags)
	}
	return &cmdline.Program{
		Name:     programName,
		Sibling:  cmdline.Sibling{Name: "gcd-tool", Commands: toolCommands()},
		Usage:    "a durable counter service",
		Intro:    helpIntro,
		Outro:    helpOutro,
		Commands: commands,
	}
}

// toolCommands are the commands of gcd-tool.
func toolCommands() []string {
	return []string{"dump", "verify", "inspect", "history", "restore", "import", "compact", "repair"}
}

// usagef makes an error in the command line of a command.
func usagef(command, format string, args ...any) error {
	return cmdline.Usagef("gcd", command, format, args...)
}

// wrongFlag makes an error about the value of a command's flag. It names the flag as it was given:
// by its name or by its variable.
func wrongFlag(c *cli.Context, flag, format string, args ...any) error {
	return usagef(c.Command.Name, "%s "+format, append([]any{cmdline.Given(c, flag)}, args...)...)
}

// serverAddr is the address of the server that a command is for.
func serverAddr(c *cli.Context) (string, error) {
	addr := c.String("addr")
	if addr == "" { // packages take an empty one for their default
		return "", wrongFlag(c, "addr", "is empty: it takes HOST:PORT, such as %s", codec.DefaultAddr)
	}
	if network, path := dial.Split(addr); network == "unix" {
		if path == "" {
			return "", wrongFlag(c, "addr", "is %q: it takes unix:PATH, with the path of the server's socket", addr)
		}
		return addr, nil
	}
	err := checkListenAddr(addr)
	if _, port, _ := net.SplitHostPort(addr); err == nil && port == "0" {
		err = errors.New("its port is 0")
	}
	if err != nil {
		return "", wrongFlag(c, "addr", "%q is no address of a server: %v", addr, err)
	}
	return addr, nil
}

// useless refuses flags of a command that were typed and have no effect, and gives the reason.
// Variables in the environment serve several commands, so one of them may have no use for a
// variable.
func useless(c *cli.Context, reason string, flags ...string) error {
	for _, flag := range flags {
		if cmdline.Typed(c, flag) {
			return usagef(c.Command.Name, "--%s has no effect: %s", flag, reason)
		}
	}
	return nil
}

// envPrefix begins the name of each of gcd's variables in the environment.
const envPrefix = "GCD_"
