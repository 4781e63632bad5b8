package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// The scripts ask the hidden command "complete" for candidates: it gets the words between "gcd" and the cursor, the last
// of them being the one that is typed and possibly empty. They never evaluate what was typed.
var completionScripts = map[string]string{
	"bash": `# bash completion for gcd; load it with: source <(gcd completion bash)
_gcd() {
  local cur=${COMP_WORDS[COMP_CWORD]} candidates
  candidates=$(command gcd complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=()
  while IFS= read -r candidate; do
    [[ -n $candidate && $candidate == "$cur"* ]] && COMPREPLY+=("$candidate")
  done <<<"$candidates"
}
complete -o default -F _gcd gcd
`,
	"zsh": `#compdef gcd
# zsh completion for gcd; load it with: source <(gcd completion zsh)
_gcd() {
  local -a candidates
  candidates=("${(@f)$(command gcd complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n ${candidates[1]} ]]; then
    compadd -a candidates
  else
    _files
  fi
}
if [[ ${funcstack[1]} == _gcd ]]; then
  _gcd "$@"
else
  compdef _gcd gcd
fi
`,
	"fish": `# fish completion for gcd; load it with: gcd completion fish | source
function __gcd_complete
    set -l typed (commandline -opc) (commandline -ct)
    command gcd complete $typed[2..-1] 2>/dev/null
end
complete -c gcd -a '(__gcd_complete)'
`,
	"powershell": `# PowerShell completion for gcd; load it with: gcd completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName gcd -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $typed = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    if ($wordToComplete -eq '') { $typed += ' ' }
    gcd complete @typed 2>$null | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
`,
}

var completionShells = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "Print a script that completes gcd's commands and flags in a shell",
		Category:  categoryAbout,
		ArgsUsage: strings.Join(completionShells, "|"),
		Description: `To try it:           source <(gcd completion bash)
To keep it, bash:    gcd completion bash > ~/.local/share/bash-completion/completions/gcd
zsh:                 gcd completion zsh > "${fpath[1]}/_gcd"
fish:                gcd completion fish > ~/.config/fish/completions/gcd.fish
PowerShell:          gcd completion powershell >> $PROFILE`,
		Action: func(c *cli.Context) error {
			if err := takesArgs(c, 1); err != nil {
				return err
			}
			shell := c.Args().First()
			script, ok := completionScripts[shell]
			if !ok {
				return usagef("completion", "name a shell: %s", strings.Join(completionShells, ", "))
			}
			_, err := io.WriteString(c.App.Writer, script)
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
		if c, ok := generic.Value.(*choice); ok {
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
