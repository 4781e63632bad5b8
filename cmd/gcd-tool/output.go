package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/store"
)

// What several commands print, and the flags that say how.

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// plainTable is a table without a frame, as all of ours are.
func plainTable() table.Writer {
	t := table.NewWriter()
	s := table.StyleLight
	s.Options = table.OptionsNoBordersAndSeparators
	t.SetStyle(s)
	return t
}

// formatFlag has the formats of a command; the first is the default.
func formatFlag(formats ...string) cli.Flag {
	return &cli.GenericFlag{Name: "format", Category: "Output", Value: cmdline.NewChoice(formats...),
		Usage: "`FORMAT` of what is printed: " + strings.Join(formats, ", ") + "."}
}

// outside refuses a file to be written, which a flag names, that would be in the directory of a
// store.
func outside(c *cli.Context, flag, dir string) error {
	file := c.String(flag)
	if file == "" {
		return usagef(c.Command.Name, "--%s is empty: it takes a file", flag)
	}
	around, err := store.EnclosingStore(file, dir)
	if err != nil {
		return cmdline.Fail(cmdline.ExitFailure, err, fmt.Sprintf("make the directory for --%s first", flag))
	}
	if around != "" {
		return usagef(c.Command.Name, "--%s is %s, within %s, the directory of a store: write it elsewhere",
			flag, file, around)
	}
	return nil
}

func tempDirFlag() cli.Flag {
	return &cli.StringFlag{Name: "temp-dir", Category: "Output",
		Usage: "`DIR` for what does not fit into memory. Default: that of the system."}
}
