package main

import (
	"bufio"
	"context"
	"errors"
	"gcd/internal/scripttest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBackupPage runs every command of docs/backup.md, in its order, as they stand there but for
// the paths: twice, since names that are there the second time must not be in the way. systemctl
// starts and stops a gcd of this source, and the page's unit.
func TestBackupPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &pageRun{t: t, dir: t.TempDir()}
	p.bin = filepath.Join(p.dir, "bin")
	for _, name := range []string{"bin", "private", "backup"} {
		if err := os.Mkdir(filepath.Join(p.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	scripttest.Build(t, p.bin, ".", "../gcd")
	t.Cleanup(p.stop)
	p.start()
	for _, want := range []string{"1", "2", "3"} {
		if got := p.shell("gcd count orders", 0); got != want {
			t.Fatalf("counted %q, want %s", got, want)
		}
	}
	p.run(string(page))
	p.age()
	p.run(string(page))

	if p.commands < 2*45 {
		t.Errorf("%d commands were found", p.commands)
	}
	// After the restored backup, which has 3, and the copy; after the move of what --advance made
	// of it. Then two were counted, of which the damage takes the record of the first, and the
	// second time it all begins with these.
	if want := []string{"3", "3", "1000003", "1000005", "1000005", "2000005"}; !slices.Equal(p.sums, want) {
		t.Errorf("the page showed the sums %q, want %q", p.sums, want)
	}
	for name, want := range map[string]int{"private/gcd.before-restore-*": 6, "private/gcd.old-*": 2,
		"private/gcd.broken-*": 2, "backup/gcd-directory-*": 2, "backup/gcd-damaged-*": 2} {
		if found, _ := filepath.Glob(filepath.Join(p.dir, name)); len(found) != want {
			t.Errorf("%s: there is %q, want %d", name, found, want)
		}
	}
}

// age renames what the page has named after the second it was made in: a page may take less than
// one.
func (p *pageRun) age() {
	p.t.Helper()
	for _, name := range []string{"private/gcd.old-", "backup/gcd-directory-", "backup/gcd-damaged-"} {
		made, err := filepath.Glob(filepath.Join(p.dir, name) + "*")
		if err == nil && len(made) == 1 {
			err = os.Rename(made[0], filepath.Join(p.dir, name)+"0") // before the others in their order
		}
		if err != nil || len(made) != 1 {
			p.t.Errorf("the page's commands left %q (%v), want one of it", made, err)
		}
	}
}

// pageRun is a run of the page's commands.
type pageRun struct {
	t      *testing.T
	dir    string // has what is in / for the page
	bin    string
	line   int // of the page
	server *exec.Cmd
	log    chan string // the rest of the server's log, when it has ended
	addr   string

	unit     string   // what the page's service executes
	commands int      // that were run
	sums     []string // of the topic orders, that the page looked at
}

// run runs the commands of the page.
func (p *pageRun) run(page string) {
	p.t.Helper()
	kind, script := "", ""
	for n, line := range strings.Split(page, "\n") {
		p.line = n + 1
		switch {
		case strings.HasPrefix(line, "```") && script != "":
			p.script(script)
			kind, script = "", ""
		case strings.HasPrefix(line, "```"):
			kind = line[3:]
		case line == "<!-- here the test damages a page that holds nothing -->":
			p.damagePage()
		case line == "<!-- here the test damages the log -->":
			p.damageLog()
		case line == "":
		case kind == "sh" && (script != "" || strings.HasPrefix(line, "#!")):
			script += line + "\n"
		case kind == "sh":
			p.commands++
			if out := p.command(line); strings.HasPrefix(line, "gcd-tool dump") &&
				strings.Contains(line, "--prefix orders ") {
				p.sums = append(p.sums, ordersSum.FindStringSubmatch(out)[1])
			}
		case kind == "ini":
			if command, ok := strings.CutPrefix(line, "ExecStart="); ok {
				p.unit = command
			}
			if strings.ContainsAny(line, "%$") {
				p.t.Errorf("line %d: systemd takes this for something of its own: %s", p.line, line)
			}
		case kind == "crontab":
			p.cron(line)
		}
	}
}

var ordersSum = regexp.MustCompile(`(?m)^orders,(\d+),0,`)

// script writes the page's script and sees that it removes what is old after a backup that went
// well, and only then.
func (p *pageRun) script(text string) {
	p.t.Helper()
	path := filepath.Join(p.bin, "gcd-backup")
	if err := os.WriteFile(path, []byte(p.paths(text)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	backups := filepath.Join(p.dir, "backup")
	is := func(name string) bool {
		_, err := os.Stat(filepath.Join(backups, name))
		return err == nil
	}
	const (
		last, left    = "gcd-2020-01-02-03.ndjson", ".gcd-2020-01-02-03.ndjson.123.part"
		recent, other = "gcd-2020-01-02-04.ndjson", "gcd-of-somebody.ndjson"
	)
	for _, name := range []string{last, left, recent, other} {
		old := time.Now().AddDate(0, 0, -40)
		if name == recent {
			old = time.Now().AddDate(0, 0, -20)
		}
		path := filepath.Join(backups, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, old, old)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.stop()
	if p.shell(path, 4); !is(last) || !is(left) || !is(recent) {
		p.t.Errorf("line %d: a backup that failed removed others", p.line)
	}
	p.start()
	if p.shell(path, 0); is(last) || is(left) || !is(recent) || !is(other) {
		p.t.Errorf("line %d: the wrong backups were removed", p.line)
	}
	if err := os.Remove(filepath.Join(backups, recent)); err != nil {
		p.t.Error(err)
	}
	p.backups(1)
}

// backups sees that so many backups with a date were made, and takes them away.
func (p *pageRun) backups(want int) {
	p.t.Helper()
	made, err := filepath.Glob(filepath.Join(p.dir, "backup", "gcd-????-??-??-??.ndjson"))
	if err != nil || len(made) != want {
		p.t.Errorf("line %d: %d backups were made, want %d, %v", p.line, len(made), want, err)
	}
	for _, path := range made {
		if err := os.Remove(path); err != nil {
			p.t.Error(err)
		}
	}
}

// cron runs a line of a crontab as cron does: the command ends at a "%", which "\%" stands for.
func (p *pageRun) cron(line string) {
	p.t.Helper()
	_, command, ok := strings.Cut(line, " root ")
	command = strings.ReplaceAll(command, `\%`, "\x00")
	if !ok || strings.Contains(command, "%") {
		p.t.Fatalf("line %d: cron cannot run %s", p.line, line)
	}
	p.commands++
	p.shell(strings.ReplaceAll(command, "\x00", "%"), 0)
	p.backups(1)
}

var exitComment = regexp.MustCompile(`\s+# exit code (\d+)$`)

// command runs a line of the page and returns its output.
func (p *pageRun) command(line string) string {
	p.t.Helper()
	switch line {
	case "systemctl start gcd":
		p.start()
		return ""
	case "systemctl stop gcd":
		p.stop()
		return ""
	case "systemctl daemon-reload", "systemctl enable --now gcd-backup.timer":
		return ""
	case "systemctl start gcd-backup":
		p.shell(p.unit, 0)
		p.backups(1)
		return ""
	}
	code := 0
	if said := exitComment.FindStringSubmatch(line); said != nil {
		code, _ = strconv.Atoi(said[1])
	}
	return p.shell(line, code)
}

// paths puts the test's paths in the place of the page's.
func (p *pageRun) paths(text string) string {
	copies, _ := filepath.Glob(filepath.Join(p.dir, "backup", "gcd-directory-*"))
	newest := ""
	if len(copies) > 0 {
		newest = copies[len(copies)-1]
	}
	return strings.NewReplacer(
		"/var/lib/private/gcd", filepath.Join(p.dir, "private", "gcd"),
		"/usr/local/bin", p.bin, "/usr/local/sbin", p.bin,
		"/backup/gcd-directory-2026-01-02-030405", newest,
		"/backup", filepath.Join(p.dir, "backup"),
		"2026-01-02T03:04:05Z", time.Now().UTC().Add(time.Minute).Format(time.RFC3339),
	).Replace(text)
}

// shell runs a command in a shell.
func (p *pageRun) shell(line string, code int) string {
	p.t.Helper()
	line = p.paths(line)
	c := command(p.t, "sh", "-ec", line)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "PATH="+p.bin+":"+os.Getenv("PATH"), "GCD_ADDR="+p.addr, "GORACE=atexit_sleep_ms=0")
	var out, msg strings.Builder
	c.Stdout, c.Stderr = &out, &msg
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("line %d: %s: %v", p.line, line, err)
	}
	if got := c.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("line %d: %s\nended with exit code %d, want %d:\n%s%s", p.line, line, got, code, out.String(),
			msg.String())
	}
	return strings.TrimSpace(out.String())
}

var pageServing = regexp.MustCompile(`serving: tcp=([^ ]+)`)

// start starts a server and waits until it serves.
func (p *pageRun) start() {
	p.t.Helper()
	if p.server != nil {
		p.t.Fatalf("line %d: the server runs already", p.line)
	}
	p.server = exec.CommandContext(context.Background(), filepath.Join(p.bin, "gcd"), "serve", "--data",
		filepath.Join(p.dir, "private", "gcd"), "--tcp", "127.0.0.1:0", "--udp", "", "--segment-size", "1MiB")
	p.server.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	stderr, err := p.server.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.server.Start(); err != nil {
		p.t.Fatal(err)
	}
	serving := make(chan string, 1)
	p.log = make(chan string, 1)
	go func(log chan<- string) {
		var text strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
			if said := pageServing.FindStringSubmatch(lines.Text()); said != nil {
				serving <- said[1]
			}
		}
		log <- text.String()
	}(p.log)
	select {
	case p.addr = <-serving:
	case log := <-p.log:
		p.log <- log
		p.t.Fatalf("line %d: the server does not serve:\n%s", p.line, log)
	case <-time.After(hang):
		p.t.Fatalf("line %d: the server does not serve within %v", p.line, hang)
	}
}

// stop stops the server, if it runs, as systemd does.
func (p *pageRun) stop() {
	p.t.Helper()
	if p.server == nil {
		return
	}
	server := p.server
	p.server = nil
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	late := time.AfterFunc(hang, func() {
		p.t.Errorf("line %d: the server has not ended within %v", p.line, hang)
		_ = server.Process.Kill()
	})
	defer late.Stop()
	log := <-p.log
	if err := server.Wait(); err != nil {
		p.t.Errorf("line %d: the server ended with %v:\n%s", p.line, err, log)
	}
}

// damagePage stops the server and changes a byte of one of the two pages with which the snapshot
// begins.
func (p *pageRun) damagePage() {
	p.t.Helper()
	p.stop()
	// in its transaction id
	p.flip(filepath.Join(p.dir, "private", "gcd", "counters.db"), int64(os.Getpagesize())+16+48)
}

// damageLog counts twice, stops the server and changes a byte of the first record of the last
// segment.
func (p *pageRun) damageLog() {
	p.t.Helper()
	for range 2 {
		p.shell("gcd count orders", 0)
	}
	p.stop()
	segments, err := filepath.Glob(filepath.Join(p.dir, "private", "gcd", "wal", "*.seg"))
	if err != nil || len(segments) == 0 {
		p.t.Fatalf("no segment to damage: %v", err)
	}
	p.flip(segments[len(segments)-1], 64+40+2) // in the payload
}

// flip changes a byte of a file.
func (p *pageRun) flip(path string, at int64) {
	p.t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		p.t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := file.WriteAt(b, at); err != nil {
		p.t.Fatal(err)
	}
}
