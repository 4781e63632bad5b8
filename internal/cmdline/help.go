package cmdline

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

const helpWidth = 100 // columns

// helpCommand says what the program and its commands do.
func (p *Program) helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "Say what " + p.Name + " and its commands do",
		Category:  p.category(),
		ArgsUsage: "[COMMAND]",
		Action: func(c *cli.Context) error {
			if err := TakesArgs(c, 1); err != nil {
				return err
			}
			if !c.Args().Present() {
				return writeHelp(c.App.Writer, p.help(c.App))
			}
			name := c.Args().First()
			command := c.App.Command(name)
			if command == nil {
				return Usagef(c.App.Name, "", "unknown command %q%s", name, DidYouMean(name, commandNames(c.App)))
			}
			return writeHelp(c.App.Writer, commandHelp(c.App.Name, command))
		},
	}
}

func writeHelp(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

func (p *Program) help(app *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s - %s\n\n%s\n\nUsage:\n  %s COMMAND [FLAGS] [ARGUMENTS]\n", p.Name, p.Usage, p.Intro, p.Name)
	category := ""
	for _, command := range visibleCommands(app) {
		if command.Category != category {
			category = command.Category
			fmt.Fprintf(&b, "\n%s:\n", category)
		}
		fmt.Fprintf(&b, "  %-11s %s\n", command.Name, command.Usage)
	}
	fmt.Fprintf(&b, "\n\"%s COMMAND --help\" says more about one.\n\n%s\n", p.Name, p.Outro)
	return b.String()
}

func commandHelp(program string, command *cli.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s - %s\n\nUsage:\n  %s %s", program, command.Name, command.Usage, program, command.Name)
	if len(command.Flags) > 0 {
		b.WriteString(" [FLAGS]")
	}
	if command.ArgsUsage != "" {
		b.WriteString(" " + command.ArgsUsage)
	}
	b.WriteString("\n")
	if command.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", command.Description)
	}
	category := ""
	for _, flag := range command.Flags {
		f := flag.(helpFlag)
		if f.GetCategory() != category {
			category = f.GetCategory()
			fmt.Fprintf(&b, "\n%s:\n", category)
		}
		b.WriteString(flagHelp(f))
	}
	return b.String()
}

// helpFlag is what every flag of the library can tell about itself.
type helpFlag interface {
	cli.DocGenerationFlag
	GetCategory() string
}

// flagHelp writes the name and the placeholder of a flag on one line, its usage, default and variable below.
func flagHelp(flag helpFlag) string {
	name := dashed(flag.Names()[0])
	placeholder, usage := unquote(flag.GetUsage())
	if flag.TakesValue() {
		name += " " + placeholder
		if text := flag.GetDefaultText(); text != "" {
			usage += " Default: " + strings.Trim(text, `"`) + "."
		}
	}
	if vars := flag.GetEnvVars(); len(vars) > 0 {
		usage += " [" + vars[0] + "]"
	}
	return "  " + name + "\n" + wrap(usage, "      ", helpWidth)
}

// unquote returns the word in back quotes, which is the name of the flag's value, and the usage without the quotes.
func unquote(usage string) (placeholder, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return "VALUE", usage
	}
	placeholder, after, _ := strings.Cut(rest, "`")
	return placeholder, before + placeholder + after
}

// wrap breaks text at spaces into indented lines of at most width columns.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteString("\n")
	return b.String()
}
