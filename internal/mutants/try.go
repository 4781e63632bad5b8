package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// outcome is what became of a betrayal.
type outcome struct {
	red  bool
	text string // where it went red, or why it did not
}

func (o outcome) String() string {
	if o.red {
		return "red: " + o.text
	}
	return "GREEN: " + o.text
}

// try runs the tests of a betrayal with its text in the place of the file's, in the module at root.
// Tests that only hang until the time is over have not gone red. An error says that it could not be
// tried.
func (b *betrayal) try(ctx context.Context, root string, most time.Duration) (outcome, error) {
	betrayed, err := b.apply(root)
	if err != nil {
		return outcome{}, err
	}
	dir, err := os.MkdirTemp("", "gcd-betrayal-")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(dir)
	overlay, err := b.overlay(root, dir, betrayed)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	timeout := most * 9 / 10 // a test that is ended by this says where it hung
	args := []string{"test", "-json", "-vet=off", "-count=1", "-failfast", "-timeout", timeout.String(), "-run",
		b.tests}
	command := exec.CommandContext(ctx, "go", append(args, b.packages...)...)
	// By the environment, so that programs which tests build are betrayed as well.
	command.Dir, command.Env = root, append(os.Environ(), "GOFLAGS=-overlay="+overlay)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		return outcome{}, err
	}
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return outcome{}, ctx.Err()
	}
	return judge(output, stderr.String(), ctx.Err() != nil)
}

// overlay writes the betrayed file, and what tells the go command to take it, into dir.
func (b *betrayal) overlay(root, dir string, betrayed []byte) (name string, err error) {
	original, err := filepath.Abs(filepath.Join(root, b.file))
	if err != nil {
		return "", err
	}
	instead := filepath.Join(dir, filepath.Base(b.file))
	text, err := json.Marshal(map[string]map[string]string{"Replace": {original: instead}})
	if err != nil {
		return "", err
	}
	name = filepath.Join(dir, "overlay.json")
	return name, errors.Join(os.WriteFile(instead, betrayed, 0o600), os.WriteFile(name, text, 0o600))
}

// judge reads what go test has said (go doc test2json). late says that its time was over.
func judge(output []byte, stderr string, late bool) (outcome, error) {
	var red, ran, hung, panicked bool
	where := ""
	for decoder := json.NewDecoder(bytes.NewReader(output)); decoder.More(); {
		var event struct{ Action, Package, Test, Output string }
		if err := decoder.Decode(&event); err != nil {
			if late {
				break // it was cut off
			}
			return outcome{}, fmt.Errorf("go test says what is no event: %w\n%s", err, stderr)
		}
		switch {
		case event.Action == "build-fail":
			return outcome{}, fmt.Errorf("it does not build:\n%s%s", buildOutput(output), stderr)
		case event.Action == "output" && strings.HasPrefix(event.Output, "panic: test timed out"):
			hung = true
		case event.Action == "output" && strings.HasPrefix(event.Output, "panic: "),
			event.Action == "output" && strings.HasPrefix(event.Output, "fatal error: "):
			panicked = true
		case event.Action == "run":
			ran = true
		case event.Action == "fail" && where == "": // the first is the innermost
			red, where = true, strings.TrimSuffix(event.Package+" "+event.Test, " ")
		}
	}
	switch {
	case hung || late:
		return outcome{text: "its tests hang, without a word of their own"}, nil
	case !ran && !red:
		return outcome{}, fmt.Errorf("no test has run\n%s", stderr)
	case !red:
		return outcome{text: "its tests notice nothing"}, nil
	case panicked:
		where += " (panics)"
	}
	return outcome{red: true, text: where}, nil
}

// buildOutput is what the compiler has said.
func buildOutput(output []byte) string {
	var said strings.Builder
	for decoder := json.NewDecoder(bytes.NewReader(output)); decoder.More(); {
		var event struct{ Action, Output string }
		if decoder.Decode(&event) != nil {
			break
		}
		if event.Action == "build-output" {
			said.WriteString(event.Output)
		}
	}
	return said.String()
}
