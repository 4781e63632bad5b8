package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"gcd/client"
	"gcd/codec"
	"gcd/internal/cmdline"
)

const serverFlags = "The server"

// clientFlags are the flags of count and reset; attempts is how many datagrams the command sends by
// default.
func clientFlags(attempts int) []cli.Flag {
	return append(reachFlags("The server's address"),
		&cli.GenericFlag{Name: "network", Value: cmdline.NewChoice("tcp", "udp", "resp"), Category: serverFlags,
			Usage: "How to talk to it, `NETWORK`: tcp or udp, or resp, the protocol of Redis, over TCP. With a token " +
				"it is resp, unless another is given."},
		&cli.DurationFlag{Name: "timeout", DefaultText: "5s over TCP, 100ms over UDP", Category: serverFlags,
			Usage: "The `TIME` to wait for the answer: over TCP in all, over UDP to each datagram."},
		&cli.IntFlag{Name: "attempts", Value: attempts, Category: serverFlags,
			Usage: "Over UDP send at most `N` datagrams while no answer comes. Each one that arrives takes effect. " +
				"Over TCP nothing is sent twice."},
		&cli.BoolFlag{Name: "any-port", Category: serverFlags,
			Usage: "Over UDP take answers from any port of the server's host, as some servers send them."},
		&cli.DurationFlag{Name: "answer-settle", DefaultText: "0, wait for the end", Category: serverFlags,
			Usage: "Over TCP take an answer as whole when nothing followed it for `TIME`, for a server that does not " +
				"close the connection."},
	)
}

func countCommand() *cli.Command {
	return &cli.Command{
		Name:      "count",
		Usage:     "Count once and print the number",
		Category:  categoryClient,
		ArgsUsage: "[TOPIC]",
		Description: `Adds one to the topic and prints its new sum, alone on a line. Without TOPIC it
counts "` + codec.DefaultTopic + `", as the protocol's clients do. A topic is any UTF-8 text, the empty one ('')
included; "--" goes before one that begins with "-".

Examples:
  gcd count orders
  n=$(gcd count orders) || exit
  gcd count --addr 10.0.0.7:5555 --network udp orders

When it ends with exit code 6 the count may or may not have been made.`,
		Flags: clientFlags(5),
		Action: func(c *cli.Context) error {
			return ask(c, func(ctx context.Context, client *client.Client, topic string) error {
				n, err := client.Count(ctx, topic)
				if err != nil {
					return err
				}
				if err := cmdline.PrintLine(c.App.Writer, strconv.FormatUint(n, 10)); err != nil {
					return cmdline.Fail(cmdline.ExitFailure, err, "") // the error has the number
				}
				if cmdline.MayBeClosed(c.App.Writer) {
					fmt.Fprintf(c.App.ErrWriter,
						"%s: stdout was closed, or is the null device: the number is %d\n", programName, n)
				}
				return nil
			})
		},
	}
}

func resetCommand() *cli.Command {
	return &cli.Command{
		Name:      "reset",
		Usage:     "Set a topic's sum to zero",
		Category:  categoryClient,
		ArgsUsage: "[TOPIC]",
		Description: `The next count of the topic returns 1 again: numbers that were handed out are
handed out anew. Without TOPIC it resets "` + codec.DefaultTopic + `". Prints nothing.

Example:
  gcd reset orders`,
		Flags: clientFlags(1),
		Action: func(c *cli.Context) error {
			return ask(c, func(ctx context.Context, client *client.Client, topic string) error {
				return client.Reset(ctx, topic)
			})
		},
	}
}

// ask makes a client as the flags say, and makes one request with it.
func ask(c *cli.Context, request func(ctx context.Context, client *client.Client, topic string) error) error {
	if err := cmdline.TakesArgs(c, 1); err != nil {
		return err
	}
	topic := codec.DefaultTopic
	if c.Args().Present() {
		topic = c.Args().First()
	}
	way, err := readReach(c)
	if err != nil {
		return err
	}
	network, err := way.network(c)
	if err != nil {
		return err
	}
	way = way.over(network)
	timeout, attempts := c.Duration("timeout"), c.Int("attempts")
	switch {
	case c.IsSet("timeout") && timeout <= 0:
		return wrongFlag(c, "timeout", "is %v: it must be above 0", timeout)
	case c.Duration("answer-settle") < 0:
		return wrongFlag(c, "answer-settle", "is %v: it must not be below 0", c.Duration("answer-settle"))
	case attempts < 1:
		return wrongFlag(c, "attempts", "is %d: it must be at least 1", attempts)
	}
	switch network {
	case "udp":
		if err := useless(c, "it is for TCP", "answer-settle"); err != nil {
			return err
		}
	case "tcp":
		if err := useless(c, "it is for --network udp; over TCP nothing is sent twice", "attempts"); err != nil {
			return err
		}
		if err := useless(c, "it is for --network udp", "any-port"); err != nil {
			return err
		}
	default:
		if err := useless(c, "it is not for --network "+network, "attempts", "any-port", "answer-settle"); err != nil {
			return err
		}
	}
	cl, err := client.New(way.addr, client.Options{
		Network:       network,
		TLS:           way.secure,
		Token:         way.token,
		Timeout:       timeout,
		Attempts:      attempts,
		ResetAttempts: attempts,
		AnyPort:       c.Bool("any-port"),
		Settle:        c.Duration("answer-settle"),
	})
	if err != nil { // every other option was checked before, so it is the address
		return usagef(c.Command.Name, "%s: %s", cmdline.Given(c, "addr"), plain(err))
	}
	defer cl.Close()
	return request(c.Context, cl, topic)
}
