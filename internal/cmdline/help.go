package cmdline

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// textWidth is how many columns text for people has, where a terminal does not have fewer.
const textWidth = 80

// helpName is the name of the command that --help stands for.
const helpName = "help"

// helpCommand says what the program and its commands do.
func (p *Program) helpCommand() *cli.Command {
	return &cli.Command{
		Name:      helpName,
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
				return p.unknown(c.App, name)
			}
			return writeHelp(c.App.Writer, commandHelp(c.App.Name, command))
		},
	}
}

func writeHelp(w io.Writer, text string) error {
	width := textWidth
	if columns := terminalWidth(w); columns > 0 {
		width = min(width, columns)
	}
	_, err := io.WriteString(w, layout(text, width))
	return err
}

func (p *Program) help(app *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s - %s\n\n%s\n\nUsage:\n  %s COMMAND [FLAGS] [ARGUMENTS]\n", p.Name, p.Usage, p.Intro, p.Name)
	category := ""
	for _, command := range app.VisibleCommands() {
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

// flagHelp writes the name and the placeholder of a flag on one line, its usage, default and
// variable below.
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
	return "  " + name + "\n      " + usage + "\n"
}

// unquote returns the word in back quotes, which is the name of the flag's value, and the usage
// without the quotes.
func unquote(usage string) (placeholder, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return "VALUE", usage
	}
	placeholder, after, _ := strings.Cut(rest, "`")
	return placeholder, before + placeholder + after
}

// layout breaks text into lines of at most width columns, as far as words allow that. Lines that
// are not indented flow together. A line that is indented stays apart, and what does not fit goes
// below it.
func layout(text string, width int) string {
	var b strings.Builder
	var paragraph []string
	flow := func() {
		if len(paragraph) > 0 {
			b.WriteString(wrap("", strings.Join(paragraph, " "), 0, width))
		}
		paragraph = nil
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		switch {
		case line == "":
			flow()
			b.WriteString("\n")
		case line[0] != ' ':
			paragraph = append(paragraph, line)
		default:
			flow()
			b.WriteString(wrapIndented(line, width))
		}
	}
	flow()
	return b.String()
}

// besideColumn separates two columns.
const besideColumn = "  "

// wrapIndented breaks one line. If it has two columns the second stays one, where there is room.
func wrapIndented(line string, width int) string {
	text := strings.TrimLeft(line, " ")
	indent := len(line) - len(text)
	first, second, two := strings.Cut(text, besideColumn)
	if !two {
		hang := indent
		if indent < 6 { // an example, and not the usage of a flag
			hang += 4
		}
		return wrap(line[:indent], text, hang, width)
	}
	second = strings.TrimLeft(second, " ")
	at := columns(line) - columns(second)
	if at > width/2 {
		return wrap(line[:indent], first, indent+4, width) + wrap(strings.Repeat(" ", indent+4), second,
			indent+4, width)
	}
	return wrap(strings.TrimSuffix(line, second), second, at, width)
}

// wrap breaks text at blanks into lines of at most width columns. The first begins with begin, the
// others with as many blanks as indent says.
func wrap(begin, text string, indent, width int) string {
	var b strings.Builder
	b.WriteString(begin)
	column := columns(begin)
	for i, word := range strings.Fields(text) {
		switch n := columns(word); {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += columns(word)
	}
	b.WriteString("\n")
	return b.String()
}

// columns is how many a text of ours takes on a terminal.
func columns(text string) int { return utf8.RuneCountInString(text) }
