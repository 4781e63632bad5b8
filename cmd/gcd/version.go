package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

const (
	categoryServer = "Server"
	categoryClient = "Client"
	categoryAbout  = "About gcd"
)

// build is what the binary knows about where it came from.
type build struct {
	Version  string `json:"version"`          // of the module, "(devel)" for a build from a working tree
	Commit   string `json:"commit,omitempty"` // empty when built outside of a repository
	Time     string `json:"time,omitempty"`   // of the commit
	Modified bool   `json:"modified"`         // the tree had changes that were not committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() build {
	b := build{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	text := "gcd " + b.Version
	if b.Commit != "" {
		text += fmt.Sprintf(" (commit %s of %s)", b.Commit, b.Time)
	}
	if b.Modified {
		text += " modified"
	}
	return text + " " + b.Go + " " + b.Platform
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:     "version",
		Usage:    "Print the version of this binary",
		Category: categoryAbout,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Category: "Output", Usage: "Print an object with version, commit, time, modified, go and platform."},
		},
		Action: func(c *cli.Context) error {
			if err := takesArgs(c, 0); err != nil {
				return err
			}
			b := readBuild()
			if !c.Bool("json") {
				return printLine(c.App.Writer, b.String())
			}
			line, err := json.Marshal(b)
			if err != nil {
				return err
			}
			return printLine(c.App.Writer, string(line))
		},
	}
}
