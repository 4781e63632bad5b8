package cmdline

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// sayWhatWasGiven is a program whose command "go" prints the values of its flags, how each was
// given, and its arguments. Flags with their defaults are left out.
func sayWhatWasGiven() *Program {
	size := ByteSize(4096)
	flags := []cli.Flag{
		&cli.BoolFlag{Name: "loud", EnvVars: []string{"P_LOUD"}, Category: "All", Usage: "Shout."},
		&cli.BoolFlag{Name: "color", Value: true, EnvVars: []string{"P_COLOR"}, Category: "All", Usage: "In color."},
		&cli.StringFlag{Name: "to", Value: "all", EnvVars: []string{"P_TO"}, Category: "All", Usage: "To `WHOM`."},
		&cli.IntFlag{Name: "times", Aliases: []string{"n"}, Value: 1, EnvVars: []string{"P_TIMES"}, Category: "All",
			Usage: "So often, `N`."},
		&cli.Uint64Flag{Name: "from", EnvVars: []string{"P_FROM"}, Category: "All", Usage: "From `N`."},
		&cli.DurationFlag{Name: "wait", EnvVars: []string{"P_WAIT"}, Category: "All", Usage: "So long, `TIME`."},
		&cli.GenericFlag{Name: "kind", Value: NewChoice("plain", "fancy"), EnvVars: []string{"P_KIND"}, Category: "All",
			Usage: "The `KIND`."},
		&cli.GenericFlag{Name: "size", Value: &size, EnvVars: []string{"P_SIZE"}, Category: "All",
			Usage: "So many `BYTES`."},
	}
	flags = append(flags, &cli.GenericFlag{Name: "with", Value: new(Words), Category: "All", Usage: "With `WHAT`."})
	return &Program{
		Name:    "p",
		Usage:   "says what it was given",
		Sibling: Sibling{Name: "q", Commands: []string{"gone", "stop"}},
		Commands: []*cli.Command{{
			Name: "go", Usage: "Go", ArgsUsage: "[ARGS]", Category: "All", Flags: flags,
			Action: func(c *cli.Context) error {
				var said []string
				for _, value := range []struct {
					flag      string
					value     any
					isDefault bool
				}{
					{"loud", c.Bool("loud"), !c.Bool("loud")},
					{"color", c.Bool("color"), c.Bool("color")},
					{"to", c.String("to"), c.String("to") == "all"},
					{"times", c.Int("times"), c.Int("times") == 1},
					{"from", c.Uint64("from"), c.Uint64("from") == 0},
					{"wait", c.Duration("wait"), c.Duration("wait") == 0},
					{"kind", Word(c, "kind"), Word(c, "kind") == "plain"},
					{"size", Bytes(c, "size"), Bytes(c, "size") == 4096},
					{"with", fmt.Sprintf("%q", AllWords(c, "with")), len(AllWords(c, "with")) == 0},
				} {
					if !value.isDefault || c.IsSet(value.flag) {
						said = append(said, fmt.Sprintf("%s=%v", Given(c, value.flag), value.value))
					}
				}
				fmt.Fprintf(c.App.Writer, "%s %q", strings.Join(said, " "), c.Args().Slice())
				return nil
			},
		}, {
			Name: "raw", Category: "All", SkipFlagParsing: true,
			Action: func(c *cli.Context) error {
				fmt.Fprintf(c.App.Writer, "%q", c.Args().Slice())
				return nil
			},
		}},
	}
}

// TestLines holds what a command line means: the values of flags wherever they stand, arguments,
// variables of the environment, what is wrong, and where to read on.
func TestLines(t *testing.T) {
	const (
		number = "it takes a whole number"
		upward = "it takes a whole number from 0 to 18446744073709551615"
		period = "it takes a time such as 500ms, 10s or 5m"
		either = "it takes true or false"
		bytes_ = "it takes bytes such as 1048576, 512KiB, 64MiB or 1GiB"
	)
	for _, test := range []struct {
		line string // in words that a shell would have made of it; '' is an empty one
		env  string // NAME=value
		want string // what is printed
		hint string // of the error, whose text want is then
	}{
		// Flags anywhere.
		{line: "go", want: ` []`},
		{line: "go a b", want: ` ["a" "b"]`},
		{line: "go --to x a", want: `--to=x ["a"]`},
		{line: "go a --to x b --loud", want: `--loud=true --to=x ["a" "b"]`},
		{line: "go a --to=x", want: `--to=x ["a"]`},
		{line: "go a -to x", want: `--to=x ["a"]`},
		{line: "go --to x --to y", want: `--to=y []`},
		{line: "go --to=a=b", want: `--to=a=b []`},
		{line: "go --to= a", want: `--to= ["a"]`},
		{line: "go --to '' a", want: `--to= ["a"]`},
		{line: "go --to -x", want: `--to=-x []`},
		{line: "go --to -- a", want: `--to=-- ["a"]`},
		{line: "go --to - a", want: `--to=- ["a"]`},
		{line: "go --to --help", want: `--to=--help []`},
		{line: "go --loud a", want: `--loud=true ["a"]`},
		{line: "go --loud=false a", want: `--loud=false ["a"]`},
		{line: "go --color=0", want: `--color=false []`},
		{line: "go --wait 90s --kind fancy --size 1MiB", want: `--wait=1m30s --kind=fancy --size=1048576 []`},
		{line: "go --times -3 --from 18446744073709551615", want: `--times=-3 --from=18446744073709551615 []`},
		{line: "go --times 0100 --from=007", want: `--times=100 --from=7 []`},
		{line: `go --with a,b a --with=\sc`, want: `--with=["a,b" " c"] ["a"]`},

		// What ends them, and what is none.
		{line: "go -- --to x", want: ` ["--to" "x"]`},
		{line: "go a -- --loud -- b", want: ` ["a" "--loud" "--" "b"]`},
		{line: "go --loud -- -h", want: `--loud=true ["-h"]`},
		{line: "go -", want: ` ["-"]`},
		{line: "go - --loud ''", want: `--loud=true ["-" ""]`},
		{line: "raw a --to -- -h --help", want: `["a" "--to" "--" "-h" "--help"]`},
		{line: "-- go a", want: ` ["a"]`},

		// The environment, over which the line wins.
		{line: "go", env: "P_TO=y", want: `P_TO=y []`},
		{line: "go", env: "P_TO=", want: `P_TO= []`},
		{line: "go --to x", env: "P_TO=y", want: `--to=x []`},
		{line: "go --times 3", env: "P_TIMES=4", want: `--times=3 []`},
		{line: "go", env: "P_TIMES=0100", want: `P_TIMES=100 []`},
		{line: "go", env: "P_TIMES=", want: ` []`},
		{line: "go", env: "P_LOUD=true", want: `P_LOUD=true []`},
		{line: "go", env: "P_COLOR=", want: `P_COLOR=false []`},
		{line: "go", env: "P_KIND=fancy", want: `P_KIND=fancy []`},
		{line: "go", env: "P_SIZE=1KiB", want: `P_SIZE=1024 []`},
		{line: "go", env: "P_WAIT=1s", want: `P_WAIT=1s []`},
		{line: "go", env: "P_FROM=5", want: `P_FROM=5 []`},
		{line: "go", env: "P_LOUD=maybe", want: `P_LOUD cannot be "maybe": ` + either, hint: "go"},
		{line: "go", env: "P_TIMES=many", want: `P_TIMES cannot be "many": ` + number, hint: "go"},
		{line: "go", env: "P_TIMES=0x10", want: `P_TIMES cannot be "0x10": ` + number, hint: "go"},
		{line: "go", env: "P_FROM=-1", want: `P_FROM cannot be "-1": ` + upward, hint: "go"},
		{line: "go", env: "P_WAIT=1", want: `P_WAIT cannot be "1": ` + period, hint: "go"},
		{line: "go", env: "P_KIND=odd", want: `P_KIND cannot be "odd": it takes plain or fancy`, hint: "go"},
		{line: "go", env: "P_SIZE=1MB", want: `P_SIZE cannot be "1MB": ` + bytes_, hint: "go"},
		{line: "go --times 3", env: "P_TIMES=many", want: `P_TIMES cannot be "many": ` + number, hint: "go"},
		{line: "go --help", env: "P_TIMES=many", want: "help"},

		// Values that a flag does not take.
		{line: "go --times x", want: `--times cannot be "x": ` + number, hint: "go"},
		{line: "go --times=", want: `--times cannot be "": ` + number, hint: "go"},
		{line: "go -n x", want: `-n cannot be "x": ` + number, hint: "go"},
		{line: "go --from -1", want: `--from cannot be "-1": ` + upward, hint: "go"},
		{line: "go --from 1e6", want: `--from cannot be "1e6": ` + upward, hint: "go"},
		{line: "go --wait 5", want: `--wait cannot be "5": ` + period, hint: "go"},
		{line: "go --wait ''", want: `--wait cannot be "": ` + period, hint: "go"},
		{line: "go --kind odd", want: `--kind cannot be "odd": it takes plain or fancy`, hint: "go"},
		{line: "go --kind=", want: `--kind cannot be "": it takes plain or fancy`, hint: "go"},
		{line: "go --size 1.5MiB", want: `--size cannot be "1.5MiB": ` + bytes_, hint: "go"},
		{line: "go --loud=maybe", want: `--loud cannot be "maybe": ` + either, hint: "go"},
		{line: "go --loud=", want: `--loud cannot be "": ` + either, hint: "go"},
		{line: `go --kind for\sflag\s-times:\sx`,
			want: `--kind cannot be "for flag -times: x": it takes plain or fancy`, hint: "go"},

		// Values that are missing.
		{line: "go --to", want: "flag --to needs a value", hint: "go"},
		{line: "go a --times", want: "flag --times needs a value", hint: "go"},
		{line: "go --to --times 3", want: "flag --to needs a value, but --times follows", hint: "go"},
		{line: "go --to -n", want: "flag --to needs a value, but -n follows", hint: "go"},

		// Flags that there are not.
		{line: "go --too x", want: "unknown flag --too; did you mean --to?", hint: "go"},
		{line: "go --tims=3", want: "unknown flag --tims; did you mean --times?", hint: "go"},
		{line: "go -x", want: "unknown flag -x", hint: "go"},
		{line: "go a --frobnicate", want: "unknown flag --frobnicate", hint: "go"},
		{line: "go --version", want: "unknown flag --version", hint: "go"},
		{line: "go ---to x", want: "bad flag syntax: ---to", hint: "go"},
		{line: "go --=x", want: "bad flag syntax: --=x", hint: "go"},
		{line: "go -=x", want: "bad flag syntax: -=x", hint: "go"},
		{line: "--to x go", want: "unknown flag --to: flags go after a command", hint: "-"},
		{line: "-x", want: "unknown flag -x: flags go after a command", hint: "-"},
		{line: "-x=3", want: "unknown flag -x: flags go after a command", hint: "-"},
		{line: "---x", want: "bad flag syntax: ---x", hint: "-"},

		// Commands that there are not.
		{line: "", want: "no command given", hint: "-"},
		{line: "--", want: "no command given", hint: "-"},
		{line: "''", want: `unknown command ""`, hint: "-"},
		{line: "-", want: `unknown command "-"`, hint: "-"},
		{line: "oops x", want: `unknown command "oops"`, hint: "-"},
		{line: "gogo", want: `unknown command "gogo"; did you mean go?`, hint: "-"},
		{line: "stopp", want: `unknown command "stopp"; did you mean q stop?`, hint: "-"},
		{line: "gone --help", want: `"gone" is a command of q: q gone`, hint: "q gone"},
		{line: "-- --help", want: `unknown command "--help"; did you mean help?`, hint: "-"},

		// Help, and the version.
		{line: "go --help", want: "help"},
		{line: "go -h", want: "help"},
		{line: "go -help", want: "help"},
		{line: "go a --loud --help b", want: "help"},
		{line: "go --frobnicate --help", want: "help"},
		{line: "go --kind odd -h", want: "help"},
		{line: "go --times x -h", want: "help"},
		{line: "go --help --to", want: "help"},
		{line: "help go", want: "help"},
		{line: "--help go", want: "help"},
		{line: "-h go", want: "help"},
		{line: "--h go", want: "help"},
		{line: "--help=true go", want: "help"},
		{line: "help --help", want: "help of help"},
		{line: "help go raw", want: `help takes at most 1 argument, and "raw" is one more`, hint: "help"},
		{line: "help oops", want: `unknown command "oops"`, hint: "-"},
		{line: "--help --oops", want: `unknown command "--oops"`, hint: "-"},
		{line: "version --jsn", want: "unknown flag --jsn; did you mean --json?", hint: "version"},
		{line: "--version x", want: `version takes no arguments, but got "x"`, hint: "version"},
		{line: "--version -h", want: "help of version"},
	} {
		t.Run(test.line+" "+test.env, func(t *testing.T) {
			if name, value, ok := strings.Cut(test.env, "="); ok {
				t.Setenv(name, value)
			}
			args := []string{"p"}
			for _, word := range strings.Fields(test.line) {
				args = append(args, strings.ReplaceAll(strings.ReplaceAll(word, "''", ""), `\s`, " "))
			}
			want, hint := test.want, ""
			switch test.hint {
			case "":
			case "-":
				hint = "see p --help"
			case "q gone":
				hint = "see q gone --help"
			default:
				hint = "see p " + test.hint + " --help"
			}

			var stdout, stderr bytes.Buffer
			err := sayWhatWasGiven().Run(t.Context(), args, &stdout, &stderr)
			said, read := stdout.String(), ""
			if err != nil {
				var usage *UsageError
				if !errors.As(err, &usage) || said != "" {
					t.Fatalf("it printed %q and ended with %v, want a UsageError alone", said, err)
				}
				said, read = usage.Reason, usage.Hint
			}
			if command, ok := strings.CutPrefix(want, "help"); ok && hint == "" {
				command, found := strings.CutPrefix(command, " of ")
				if !found {
					command = "go"
				}
				want, said = "p "+command+" - ", said[:min(len(said), len("p  - ")+len(command))]
			}
			if said != want || read != hint || stderr.Len() > 0 {
				t.Errorf("it says %s, hint %q, stderr %q;\nwant %s, hint %q", said, read, stderr.String(), want, hint)
			}
		})
	}
}

// TestRuns: a program that does something else for one of its commands takes the same for it as
// Run does.
func TestRuns(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"p go a": "go", "p -- go": "go", "p go --oops": "go", "p go --to": "go", "p help go": "help",
		"p go a -h":   "help",
		"p --help go": "help", "p --version": "version", "p raw --help": "raw", "p go -- --help": "go",
		"p": "", "": "", "p --": "", "p oops": "", "p --to go": "", "p a go": "",
	} {
		if got := sayWhatWasGiven().Runs(strings.Fields(line)); got != want {
			t.Errorf("%q runs %q, want %q", line, got, want)
		}
	}
}

// TestManualPage: the library can make a manual page of the tree of commands.
func TestManualPage(t *testing.T) {
	t.Parallel()
	page, err := sayWhatWasGiven().app(nil, nil).ToMan()
	if err != nil || !strings.HasPrefix(page, ".nh\n.TH p 8\n") || !strings.Contains(page, `\fB--times, -n\fP=`) {
		t.Errorf("the manual page is (%v)\n%s", err, page)
	}
}
