package cmdline

import (
	"embed"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// The scripts ask the hidden command "complete" for candidates: it gets the words between the
// program's name and the cursor, the last of them being the one that is typed and possibly empty.
// They never evaluate what was typed. Each line of the answer is a candidate and, after a tab, what
// it is; or it tells the shell to offer files or directories itself. PROGRAM stands for the
// program's name, FUNCTION for a name that a shell takes for a function.
//
// Bash takes "--flag=value" apart, and replaces only what follows the "=".
//
//go:embed completion
var completionScripts embed.FS

var completionShells = []string{"bash", "zsh", "fish"}

// What the command "complete" says when the shell should offer files or directories itself. No
// candidate begins with a colon.
const (
	offerFiles       = ":files"
	offerDirectories = ":directories"
)

func (p *Program) completionCommand() *cli.Command {
	named := strings.NewReplacer("PROGRAM", p.Name, "FUNCTION", strings.ReplaceAll(p.Name, "-", "_"),
		"ENDFILES", offerFiles, "ENDDIRECTORIES", offerDirectories)
	return &cli.Command{
		Name:      "completion",
		Usage:     "Print a script that completes " + p.Name + "'s commands and flags in a shell",
		Category:  p.category(),
		ArgsUsage: strings.Join(completionShells, "|"),
		Description: named.Replace(`To try it in bash or zsh:
  source <(PROGRAM completion bash)

To keep it, in bash, zsh and fish:
  PROGRAM completion bash > ~/.local/share/bash-completion/completions/PROGRAM
  PROGRAM completion zsh > "${fpath[1]}/_PROGRAM"
  PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish`),
		Action: func(c *cli.Context) error {
			if err := TakesArgs(c, 1); err != nil {
				return err
			}
			script, err := completionScripts.ReadFile("completion/" + c.Args().First())
			if err != nil { // there is none
				return Usagef(c.App.Name, "completion", "name a shell: %s", strings.Join(completionShells, ", "))
			}
			_, err = named.WriteString(c.App.Writer, string(script))
			return err
		},
	}
}

// completeCommand is what the scripts call.
func completeCommand() *cli.Command {
	return &cli.Command{
		Name:            "complete",
		Hidden:          true,
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			for _, candidate := range candidates(c.App, c.Args().Slice()) {
				line := candidate.word
				if candidate.about != "" {
					line += "\t" + candidate.about
				}
				if _, err := fmt.Fprintln(c.App.Writer, line); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// candidate is what a word could become; about says what that is, and may be empty.
type candidate struct{ word, about string }

// candidates returns what the last of the words could become. An empty result means that nothing is
// known about it.
func candidates(app *cli.App, words []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	typed, before := words[len(words)-1], words[:len(words)-1]
	if len(before) == 0 {
		return withPrefix(commandsAbout(app), typed)
	}
	command := app.Command(before[0])
	if command == nil || command.Hidden {
		return nil
	}
	l := split(command, before[1:])
	switch {
	case l.open:
		return flagValues(l.flags[len(l.flags)-1].flag, "", typed)
	case l.dashes || !strings.HasPrefix(typed, "-"):
		return argumentValues(app, command, len(l.args), typed)
	}
	if name, _, ok := strings.Cut(typed, "="); ok {
		if flag := findFlag(command, strings.TrimLeft(name, "-")); flag != nil {
			return flagValues(flag, name+"=", typed)
		}
		return nil
	}
	var all []candidate
	for _, flag := range command.Flags {
		_, usage := unquote(flag.(helpFlag).GetUsage())
		all = append(all, candidate{dashed(flag.Names()[0]), firstSentence(usage)})
	}
	return withPrefix(append(all, candidate{"--help", "Say what " + command.Name + " does"}), typed)
}

// argumentValues are what the next argument of a command could be.
func argumentValues(app *cli.App, command *cli.Command, given int, typed string) []candidate {
	takes := strings.Fields(strings.Trim(command.ArgsUsage, "[]"))
	if given >= len(takes) {
		return nil
	}
	switch command.Name {
	case "completion":
		return withPrefix(plainCandidates(completionShells), typed)
	case helpName:
		return withPrefix(commandsAbout(app), typed)
	}
	return paths(takes[given])
}

// flagValues are what the value of a flag could be; before is the part of the same word in front of
// it.
func flagValues(flag cli.DocGenerationFlag, before, typed string) []candidate {
	var words []string
	if generic, ok := flag.(*cli.GenericFlag); ok {
		if c, ok := generic.Value.(*Choice); ok {
			words = c.allowed
		}
	}
	if !flag.TakesValue() {
		words = []string{"true", "false"}
	}
	if words == nil {
		placeholder, _ := unquote(flag.GetUsage())
		return paths(placeholder)
	}
	var values []candidate
	for _, word := range words {
		values = append(values, candidate{word: before + word})
	}
	return withPrefix(values, typed)
}

// paths tells a shell what to offer for what help calls FILE or DIR.
func paths(placeholder string) []candidate {
	switch {
	case placeholder == "FILE":
		return []candidate{{word: offerFiles}}
	case strings.HasPrefix(placeholder, "DIR"):
		return []candidate{{word: offerDirectories}}
	}
	return nil
}

func commandsAbout(app *cli.App) []candidate {
	var all []candidate
	for _, command := range app.VisibleCommands() {
		all = append(all, candidate{command.Name, command.Usage})
	}
	return all
}

func plainCandidates(words []string) []candidate {
	var all []candidate
	for _, word := range words {
		all = append(all, candidate{word: word})
	}
	return all
}

// firstSentence is the first sentence of a usage, without the period.
func firstSentence(text string) string {
	first, _, _ := strings.Cut(text, ". ")
	return strings.TrimSuffix(first, ".")
}

func withPrefix(all []candidate, prefix string) []candidate {
	var matching []candidate
	for _, c := range all {
		if strings.HasPrefix(c.word, prefix) {
			matching = append(matching, c)
		}
	}
	return matching
}
