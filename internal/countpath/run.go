package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gcd/client"
)

const (
	counts   = 1000             // by which the second run has more than the first
	startsIn = 30 * time.Second // until the server says where it listens
)

// function is one of gcd's, at a place in a file. The file is named from the module's root.
type function struct {
	file, name string
	line       int
}

// program is a gcd with counters in it.
type program struct {
	root, module, dir string
}

// build compiles the gcd whose source is in root.
func build(ctx context.Context, root string) (*program, error) {
	dir, err := os.MkdirTemp("", "gcd-countpath-")
	if err != nil {
		return nil, err
	}
	p := &program{root: root, dir: dir}
	module, err := p.command(ctx, "go", "list", "-m")
	if err != nil {
		p.remove()
		return nil, err
	}
	p.module = strings.TrimSpace(string(module))
	_, err = p.command(ctx, "go", "build", "-cover", "-covermode=atomic", "-coverpkg=./...", "-o", p.gcd(), "./cmd/gcd")
	if err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

func (p *program) gcd() string { return filepath.Join(p.dir, "gcd") }

func (p *program) remove() { os.RemoveAll(p.dir) }

// command runs a command in the source's directory, and returns what it printed.
func (p *program) command(ctx context.Context, name string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = p.root
	var stderr bytes.Buffer
	c.Stderr = &stderr
	printed, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", c, err, stderr.String())
	}
	return printed, nil
}

// perCount returns the functions that run for each count, by file and line.
func (p *program) perCount(ctx context.Context, w way) ([]function, error) {
	few, err := p.calls(ctx, w, counts)
	if err != nil {
		return nil, err
	}
	many, err := p.calls(ctx, w, 2*counts)
	if err != nil {
		return nil, err
	}
	var ran []function
	for f, n := range many {
		// Where a wake-up sometimes is for nothing, or for two, it is still one for each count.
		if n-few[f] >= counts*9/10 {
			ran = append(ran, f)
		}
	}
	slices.SortFunc(ran, func(a, b function) int {
		if a.file != b.file {
			return strings.Compare(a.file, b.file)
		}
		return a.line - b.line
	})
	return ran, nil
}

// calls returns how often each function ran in a server that answered n counts, one after another.
func (p *program) calls(ctx context.Context, w way, n int) (map[function]int, error) {
	covered, err := os.MkdirTemp(p.dir, "counters-")
	if err != nil {
		return nil, err
	}
	if err := p.serve(ctx, w, n, covered); err != nil {
		return nil, err
	}
	profile := filepath.Join(covered, "profile")
	if _, err := p.command(ctx, "go", "tool", "covdata", "textfmt", "-i="+covered, "-o="+profile); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(profile)
	if err != nil {
		return nil, err
	}
	return p.entries(string(b))
}

// serve runs a server until it has answered n counts. Its counters are in covered then.
func (p *program) serve(ctx context.Context, w way, n int, covered string) error {
	data, err := os.MkdirTemp(p.dir, "data-")
	if err != nil {
		return err
	}
	server := exec.CommandContext(ctx, p.gcd(), "serve", "--data", data, "--dispatch", w.dispatch,
		"--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")
	server.Env = append(os.Environ(), "GOCOVERDIR="+covered)
	stderr, err := server.StderrPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	late := time.AfterFunc(startsIn, func() { server.Process.Kill() })
	said := bufio.NewScanner(stderr)
	counted := error(nil)
	served := false
	for said.Scan() {
		address := listens(said.Text(), w.network)
		if address == "" || served {
			continue
		}
		served = true
		if late.Stop() {
			counted = count(ctx, w.network, address, n)
			if err := server.Process.Signal(syscall.SIGTERM); err != nil && counted == nil {
				counted = err
			}
		}
	}
	late.Stop()
	ended := server.Wait()
	switch {
	case !served:
		return fmt.Errorf("the server does not say where it listens: %v", ended)
	case counted != nil:
		return counted
	}
	return ended
}

// listens finds the address in a line of the server's log; "" if it is another line.
func listens(line, network string) string {
	_, where, serves := strings.Cut(line, "serving: tcp=")
	fields := strings.Fields(where)
	switch {
	case !serves || len(fields) < 2:
		return ""
	case network == "udp":
		return strings.TrimPrefix(fields[1], "udp=")
	}
	return fields[0]
}

// timeout is how long a count may take. Over UDP one that is sent again counts twice.
const timeout = 5 * time.Second

// count counts n times, one after another: over RESP as clients of Redis do.
func count(ctx context.Context, network, address string, n int) error {
	if network == "resp" {
		return incr(address, n)
	}
	c, err := client.New(address, client.Options{Network: network, Timeout: timeout})
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range n {
		sum, err := c.Count(ctx, "topic")
		if err != nil {
			return err
		}
		if sum != uint64(i+1) {
			return fmt.Errorf("count %d is answered by %d", i+1, sum)
		}
	}
	return nil
}

// incr counts n times by INCR.
func incr(address string, n int) error {
	c, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	for i := range n {
		if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("*2\r\n$4\r\nINCR\r\n$5\r\ntopic\r\n")); err != nil {
			return err
		}
		answer, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		if want := fmt.Sprintf(":%d\r\n", i+1); answer != want {
			return fmt.Errorf("INCR is answered by %q, want %q", answer, want)
		}
	}
	return nil
}

// block is a piece of a file that has a counter.
type block struct {
	line, column int
	ran          int
}

// entries finds in a profile how often each function was entered: its first block says so.
func (p *program) entries(profile string) (map[function]int, error) {
	blocks := map[string][]block{}
	for line := range strings.Lines(profile) {
		file, b, err := parse(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		if file, ours := strings.CutPrefix(file, p.module+"/"); ours {
			blocks[file] = append(blocks[file], b)
		}
	}
	entered := map[function]int{}
	for file, inFile := range blocks {
		slices.SortFunc(inFile, func(a, b block) int {
			if a.line != b.line {
				return a.line - b.line
			}
			return a.column - b.column
		})
		set := token.NewFileSet()
		source, err := parser.ParseFile(set, filepath.Join(p.root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range source.Decls {
			f, is := d.(*ast.FuncDecl)
			if !is || f.Body == nil {
				continue
			}
			from, to := set.Position(f.Body.Lbrace), set.Position(f.Body.Rbrace)
			for _, b := range inFile {
				if b.line > to.Line || b.line == to.Line && b.column >= to.Column {
					break
				}
				if b.line > from.Line || b.line == from.Line && b.column >= from.Column {
					entered[function{file, name(f), from.Line}] = b.ran
					break
				}
			}
		}
	}
	return entered, nil
}

// parse reads a line of a profile, FILE:LINE.COLUMN,LINE.COLUMN STATEMENTS RAN. The first line has
// no block.
func parse(line string) (file string, b block, err error) {
	if strings.HasPrefix(line, "mode:") {
		return "", block{}, nil
	}
	file, place, _ := strings.Cut(line, ":")
	begin, rest, _ := strings.Cut(place, ",")
	lineText, column, _ := strings.Cut(begin, ".")
	fields := strings.Fields(rest)
	if len(fields) == 3 {
		if b.line, err = strconv.Atoi(lineText); err == nil {
			if b.column, err = strconv.Atoi(column); err == nil {
				b.ran, err = strconv.Atoi(fields[2])
			}
		}
	}
	if err != nil || len(fields) != 3 {
		return "", block{}, fmt.Errorf("no line of a profile: %q", line)
	}
	return file, b, nil
}

// name is a function's name, with the type whose method it is.
func name(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.Ident:
			return r.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}
