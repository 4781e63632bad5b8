package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

func dumpCommand() *cli.Command {
	return &cli.Command{
		Name:      "dump",
		Usage:     "Print all counters",
		Category:  categoryRead,
		ArgsUsage: "DIR",
		Flags:     []cli.Flag{quietFlag()},
		Action: func(c *cli.Context) error {
			if _, err := named(c, "DIR"); err != nil {
				return err
			}
			return errors.New("dump is not there yet")
		},
	}
}
