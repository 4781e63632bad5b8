package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
)

// TestOperationsPage compares the tables of flags in docs/operations.md with the flags that there
// are.
func TestOperationsPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string) // flag → default
	rows := regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| ([^|]*)\\|")
	for _, row := range rows.FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = strings.TrimSpace(row[2])
	}
	for _, f := range serveFlags() {
		flag := f.(cli.DocGenerationFlag)
		name := flag.Names()[0]
		text, ok := documented[name]
		delete(documented, name)
		want := strings.Trim(flag.GetDefaultText(), `"`)
		if _, isBool := flag.(*cli.BoolFlag); isBool {
			want = ""
		}
		switch {
		case !ok:
			t.Errorf("docs/operations.md has no row for --%s", name)
		case text != want:
			t.Errorf("docs/operations.md says that the default of --%s is %q, it is %q", name, text, want)
		}
	}
	for name := range documented {
		t.Errorf("docs/operations.md has a row for --%s, which does not exist", name)
	}
}

// TestEveryFlagFromTheEnvironment: the variables are named after the flags, without exception. What
// guards against harm is typed each time: a variable that was set once would switch it off for
// ever.
func TestEveryFlagFromTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, command := range program(nil).Commands {
		for _, f := range command.Flags {
			flag := f.(cli.DocGenerationFlag)
			want := "GCD_" + strings.ToUpper(strings.ReplaceAll(flag.Names()[0], "-", "_"))
			if flag.Names()[0] == "yes" {
				if vars := flag.GetEnvVars(); len(vars) > 0 {
					t.Errorf("%s --yes comes from %v", command.Name, vars)
				}
				continue
			}
			if vars := flag.GetEnvVars(); len(vars) != 1 || vars[0] != want {
				t.Errorf("%s --%s comes from %v, want %s", command.Name, flag.Names()[0], vars, want)
			}
		}
	}
}

// TestUnitRestarts holds the unit in docs/operations.md to the exit codes: those that another start
// does not mend keep the server down, and no other does. That the runtime's is none of them,
// testdata/script/signals.txtar shows with a real process.
func TestUnitRestarts(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	lists := regexp.MustCompile(`(?m)^RestartPreventExitStatus=(.*)$`).FindAllStringSubmatch(string(page), -1)
	if len(lists) != 1 {
		t.Fatalf("docs/operations.md has %d lines RestartPreventExitStatus, want 1", len(lists))
	}
	var stays []int
	for _, word := range strings.Fields(lists[0][1]) {
		code, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		stays = append(stays, code)
	}
	for _, line := range []string{
		"Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "WatchdogSec=120", "Restart=on-failure",
	} {
		if !strings.Contains(string(page), "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	slices.Sort(stays)
	want := []int{cmdline.ExitCorruption, cmdline.ExitLocked, cmdline.ExitForeign, cmdline.ExitUsage}
	slices.Sort(want)
	if !slices.Equal(stays, want) {
		t.Errorf("the unit does not start the server again after %v, want %v", stays, want)
	}
}

// TestExitCodesOfHelp holds the list of exit codes in help to the constants, and each of them away
// from what Go's runtime (2), shells and programs that run others (124 to 128) end with.
func TestExitCodesOfHelp(t *testing.T) {
	t.Parallel()
	var listed []int
	for _, line := range regexp.MustCompile(`(?m)^  (\d+) `).FindAllStringSubmatch(helpOutro, -1) {
		code, err := strconv.Atoi(line[1])
		if err != nil {
			t.Fatal(err)
		}
		if code == 2 || code >= 124 && code <= 128 {
			t.Errorf("exit code %d is not the program's own", code)
		}
		listed = append(listed, code)
	}
	want := []int{cmdline.ExitOK, cmdline.ExitFailure, cmdline.ExitNotSent, cmdline.ExitUnknown, cmdline.ExitCorruption,
		cmdline.ExitLocked,
		cmdline.ExitForeign, cmdline.ExitNotPermitted, cmdline.ExitUsage, cmdline.ExitInterrupted}
	if !slices.Equal(listed, want) {
		t.Errorf("help lists the exit codes %v, want %v", listed, want)
	}
}
