package cmdline

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// The scripts ask the hidden command "complete" for candidates: it gets the words between the program's name and the cursor,
// the last of them being the one that is typed and possibly empty. They never evaluate what was typed. PROGRAM stands for the program's name, FUNCTION
// for a name that a shell takes for a function.
var completionScripts = map[string]string{
	"bash": `# bash completion for PROGRAM; load it with: source <(PROGRAM completion bash)
_FUNCTION() {
  local cur=${COMP_WORDS[COMP_CWORD]} candidates
  candidates=$(command PROGRAM complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=()
  while IFS= read -r candidate; do
    [[ -n $candidate && $candidate == "$cur"* ]] && COMPREPLY+=("$candidate")
  done <<<"$candidates"
}
complete -o default -F _FUNCTION PROGRAM
`,
	"zsh": `#compdef PROGRAM
# zsh completion for PROGRAM; load it with: source <(PROGRAM completion zsh)
_FUNCTION() {
  local -a candidates
  candidates=("${(@f)$(command PROGRAM complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n ${candidates[1]} ]]; then
    compadd -a candidates
  else
    _files
  fi
}
if [[ ${funcstack[1]} == _FUNCTION ]]; then
  _FUNCTION "$@"
else
  compdef _FUNCTION PROGRAM
fi
`,
	"fish": `# fish completion for PROGRAM; load it with: PROGRAM completion fish | source
function __FUNCTION_complete
    set -l typed (commandline -opc) (commandline -ct)
    command PROGRAM complete $typed[2..-1] 2>/dev/null
end
complete -c PROGRAM -a '(__FUNCTION_complete)'
`,
	"powershell": `# PowerShell completion for PROGRAM; load it with: PROGRAM completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName PROGRAM -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $typed = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    if ($wordToComplete -eq '') { $typed += ' ' }
    PROGRAM complete @typed 2>$null | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
`,
}

var completionShells = []string{"bash", "zsh", "fish", "powershell"}

func (p *Program) completionCommand() *cli.Command {
	named := strings.NewReplacer("PROGRAM", p.Name, "FUNCTION", strings.ReplaceAll(p.Name, "-", "_"))
	return &cli.Command{
		Name:      "completion",
		Usage:     "Print a script that completes " + p.Name + "'s commands and flags in a shell",
		Category:  p.category(),
		ArgsUsage: strings.Join(completionShells, "|"),
		Description: named.Replace(`To try it:           source <(PROGRAM completion bash)
To keep it, bash:    PROGRAM completion bash > ~/.local/share/bash-completion/completions/PROGRAM
zsh:                 PROGRAM completion zsh > "${fpath[1]}/_PROGRAM"
fish:                PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish
PowerShell:          PROGRAM completion powershell >> $PROFILE`),
		Action: func(c *cli.Context) error {
			if err := TakesArgs(c, 1); err != nil {
				return err
			}
			shell := c.Args().First()
			script, ok := completionScripts[shell]
			if !ok {
				return Usagef(c.App.Name, "completion", "name a shell: %s", strings.Join(completionShells, ", "))
			}
			_, err := named.WriteString(c.App.Writer, script)
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
				if _, err := fmt.Fprintln(c.App.Writer, candidate); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// candidates returns what the last of the words could become. None means that the shell may offer files.
func candidates(app *cli.App, words []string) []string {
	if len(words) == 0 {
		return commandNames(app)
	}
	// PowerShell cannot pass an empty word in all its versions; its script passes a blank.
	typed, before := strings.TrimSpace(words[len(words)-1]), words[:len(words)-1]
	if len(before) == 0 {
		return withPrefix(commandNames(app), typed)
	}
	command := app.Command(before[0])
	if command == nil {
		return nil
	}
	last := before[len(before)-1]
	if flag := findFlag(command, strings.TrimLeft(last, "-")); strings.HasPrefix(last, "-") && flag != nil && flag.TakesValue() {
		return withPrefix(flagValues(flag), typed)
	}
	if strings.HasPrefix(typed, "-") {
		return withPrefix(append(flagNames(command), "--help"), typed)
	}
	switch command.Name {
	case "completion":
		return withPrefix(completionShells, typed)
	case "help":
		return withPrefix(commandNames(app), typed)
	}
	return nil
}

// flagValues are the words that a flag takes, if there are few.
func flagValues(flag cli.Flag) []string {
	if generic, ok := flag.(*cli.GenericFlag); ok {
		if c, ok := generic.Value.(*Choice); ok {
			return c.allowed
		}
	}
	return nil
}

func withPrefix(words []string, prefix string) []string {
	var matching []string
	for _, word := range words {
		if strings.HasPrefix(word, prefix) {
			matching = append(matching, word)
		}
	}
	return matching
}
