package cmdline

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// Build is what the binary knows about where it came from.
type Build struct {
	Version  string `json:"version"`          // of the module, "(devel)" for a build from a working tree
	Commit   string `json:"commit,omitempty"` // empty when built outside of a repository
	Time     string `json:"time,omitempty"`   // of the commit
	Modified bool   `json:"modified"`         // the tree had changes that were not committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ReadBuild reads it.
func ReadBuild() Build {
	b := Build{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
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

// String is the line that the command version prints, without the program's name.
func (b Build) String() string {
	text := b.Version
	if b.Commit != "" {
		text += fmt.Sprintf(" (commit %s of %s)", b.Commit, b.Time)
	}
	if b.Modified {
		text += " modified"
	}
	return text + " " + b.Go + " " + b.Platform
}

// versionName is the name of the command that --version stands for.
const versionName = "version"

func (p *Program) versionCommand() *cli.Command {
	return &cli.Command{
		Name:     versionName,
		Usage:    "Print the version of this binary",
		Category: p.category(),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Category: "Output",
				Usage: "Print an object with version, commit, time, modified, go and platform."},
		},
		Action: func(c *cli.Context) error {
			if err := TakesArgs(c, 0); err != nil {
				return err
			}
			b := ReadBuild()
			if !c.Bool("json") {
				return PrintLine(c.App.Writer, p.Name+" "+b.String())
			}
			line, err := json.Marshal(b)
			if err != nil {
				return err
			}
			return PrintLine(c.App.Writer, string(line))
		},
	}
}
