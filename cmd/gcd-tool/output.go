package main

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
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

func tempDirFlag() cli.Flag {
	return &cli.StringFlag{Name: "temp-dir", Category: "Output", Usage: "`DIR` for what does not fit into memory. Default: that of the system."}
}
