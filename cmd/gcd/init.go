package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/internal/owner"
	"gcd/store"
)

func initCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "Make an empty store",
		Category:  categoryServer,
		ArgsUsage: "DIR",
		Description: `Makes a store in DIR, durably, for a "gcd serve --no-create". DIR must be
empty, or not there. A store that is there already stays as it is. What root makes belongs to the
owner of DIR.

Example:
  sudo -u gcd gcd init /var/lib/gcd`,
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "lock-wait", Value: 10 * time.Second,
				Usage: "The `TIME` to wait for a gcd-tool that has the directory."},
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.TakesArgs(c, 1); err != nil {
				return err
			}
			dir := c.Args().First()
			if dir == "" {
				return usagef("init", "DIR is missing: gcd init [FLAGS] DIR")
			}
			keepFilesPrivate()
			place, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			wait := c.Duration("lock-wait")
			if wait <= 0 {
				wait = -1
			}
			id, made, err := store.Init(c.Context, dir, store.Options{LockWait: wait})
			if err != nil && c.Context.Err() != nil {
				return cmdline.Fail(cmdline.ExitInterrupted, errors.New("interrupted"), "nothing was made")
			}
			if errors.Is(err, store.ErrLocked) {
				if there, _ := store.Holds(dir); there {
					fmt.Fprintf(c.App.Writer, "there is a store in %s already, and a server has it\n", place)
					return nil
				}
			}
			switch {
			case err != nil:
				return err
			case made:
				fmt.Fprintf(c.App.Writer, "made store %s in %s\n", id, place)
			default:
				fmt.Fprintf(c.App.Writer, "there is a store in %s already: %s\n", place, id)
			}
			return nil
		},
	}
}

// checkOwner keeps root out of another user's directory, unless --allow-root is given: that user's
// next start could not open what root has made.
func (s *settings) checkOwner() error {
	if s.dir == "" || s.allowRoot {
		return nil
	}
	// The directory may belong to anybody, for root may have made the volume, while the store in it
	// belongs to a user.
	for _, path := range []string{s.dir, store.SnapshotPath(s.dir), store.LogDir(s.dir)} {
		if theirs, foreign := owner.Foreign(path); foreign {
			return cmdline.Fail(cmdline.ExitForeign,
				fmt.Errorf("%s belongs to %s, and this process runs as root: nothing was changed", path, theirs),
				"run it as that user, who could not open the files that root makes; "+
					"--allow-root lets root do it all the same")
		}
	}
	return nil
}
