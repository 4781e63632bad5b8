//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// part is what stands between two headings of the README.
func part(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("README.md has no heading %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// typed is a command of the README, and what it shows that it prints.
type typed struct {
	command string
	prints  []string
}

// commands are those of the blocks without a language.
func commands(text string) (all []typed) {
	fenced, block := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		command, typing := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
			block = fenced && line == "```"
		case block && typing:
			all = append(all, typed{command: command})
		case block && len(all) > 0:
			last := &all[len(all)-1]
			last.prints = append(last.prints, line)
		}
	}
	return all
}

// TestReadme does what the README says, word by word but for the port: the programs print what it
// shows, and what is left in the tree is ignored, so that the next build is not one of a changed
// tree.
func TestReadme(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash, for which the tour is written")
	}
	dir := t.TempDir()
	first := commands(part(t, "Two commands"))
	if len(first) != 2 || first[0].command != "go build -o bin/ ./cmd/..." ||
		first[1].command != "bin/gcd serve --data ./gcd-data" {
		t.Fatalf("the two commands are %q", first)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bin")+"/", "./cmd/...")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the README's build failed: %v\n%s", err, out)
	}
	s := newTourShell(t, bash, dir)
	tour := commands(part(t, "A minute's tour"))
	shown := 0
	for _, step := range tour {
		shown += len(step.prints)
		if printed := s.run(step.command); len(step.prints) > 0 && !slices.Equal(printed, step.prints) {
			t.Errorf("%s\nprints %q, and the README shows %q", step.command, printed, step.prints)
		}
	}
	if len(tour) < 12 || shown < 8 {
		t.Errorf("the tour has %d commands with %d lines of output", len(tour), shown)
	}
	leavesTreeClean(t, dir)
}

// tourShell is a shell that one command after the other is typed into.
type tourShell struct {
	t     *testing.T
	dir   string
	to    io.Writer
	lines *bufio.Scanner
	port  string // of the server that was started last
}

func newTourShell(t *testing.T, bash, dir string) *tourShell {
	t.Helper()
	shell := exec.Command(bash, "--norc")
	shell.Dir = dir
	shell.Env = append(os.Environ(), "GCD_TCP=127.0.0.1:0", "GCD_UDP=127.0.0.1:0")
	to, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	from, err := shell.StdoutPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(hang, func() {
		t.Errorf("the tour did not end within %v", hang)
		_ = shell.Process.Kill()
	})
	t.Cleanup(func() {
		fmt.Fprintln(to, "kill $(jobs -p) 2> /dev/null; wait")
		to.Close()
		_ = shell.Wait()
		late.Stop()
	})
	s := &tourShell{t: t, dir: dir, to: to, lines: bufio.NewScanner(from)}
	// What redis-cli shows on a terminal; it need not be there.
	s.run(`redis-cli() { exec 4<>/dev/tcp/127.0.0.1/$2; shift 2; printf '%s\r\n' "$*" >&4; read -r reply <&4; exec ` +
		`4>&-; reply=${reply%$'\r'}; echo "(integer) ${reply#:}"; }`)
	return s
}

// run runs a command and returns what it prints.
func (s *tourShell) run(command string) (printed []string) {
	s.t.Helper()
	log := filepath.Join(s.dir, "gcd-data.log")
	started := strings.HasPrefix(command, "bin/gcd serve ") && strings.HasSuffix(command, " 2> gcd-data.log &")
	if started {
		_ = os.Remove(log) // of the server before
	}
	said := strings.ReplaceAll(command, "5555", s.port)
	if strings.HasPrefix(command, "kill ") {
		said += "; wait $!" // whoever types is slower than a server ends
	}
	fmt.Fprintf(s.to, "%s\necho \"@end $?\"\n", said)
	for s.lines.Scan() {
		code, end := strings.CutPrefix(s.lines.Text(), "@end ")
		if !end {
			printed = append(printed, s.lines.Text())
			continue
		}
		if want := map[bool]string{true: "137", false: "0"}[strings.HasPrefix(command, "kill -9 ")]; code != want {
			s.t.Errorf("%s: exit code %s, want %s", command, code, want)
		}
		if started {
			s.serves(log)
		}
		return printed
	}
	s.t.Fatalf("%s: the shell has ended: %v", command, s.lines.Err())
	return nil
}

// serves waits until the server says where it listens, and has the other commands ask it there.
func (s *tourShell) serves(log string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), hang)
	defer cancel()
	follow := exec.CommandContext(ctx, "tail", "-n", "+1", "-F", log)
	out, err := follow.StdoutPipe()
	if err == nil {
		err = follow.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = follow.Wait() // which says that it was killed
	}()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said := serving.FindStringSubmatch(lines.Text()); said != nil {
			_, s.port, _ = strings.Cut(said[1], ":")
			s.run("export GCD_ADDR=" + said[1])
			return
		}
	}
	s.t.Fatalf("the server did not serve within %v", hang)
}

// leavesTreeClean checks that git ignores what is in a directory.
func leavesTreeClean(t *testing.T, dir string) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Log("there is no git: what is left in the tree was not looked at")
		return
	}
	ignore, err := os.ReadFile("../../.gitignore")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ".gitignore"), ignore, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(git, "-C", dir, "init", "--quiet").CombinedOutput(); err != nil {
		t.Fatalf("git made no repository: %v\n%s", err, out)
	}
	left, err := exec.Command(git, "-C", dir, "status", "--porcelain").Output()
	if err != nil || string(left) != "?? .gitignore\n" {
		t.Errorf("%v: the tour leaves in the tree\n%s", err, left)
	}
}

// TestReadmeVersion: the README names the version of Go that go.mod wants.
func TestReadmeVersion(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	if text := part(t, "Two commands"); want == nil ||
		!strings.Contains(text, "(https://go.dev/dl/) "+string(want[1])+" or newer") {
		t.Errorf("the README does not say that it wants Go %s", want)
	}
}
