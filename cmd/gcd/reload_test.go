package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/audit"
)

// reloads is a reloader in a test: what it says, and writes down.
type reloads struct {
	*reloader
	log     bytes.Buffer
	records []string
}

func newReloads(all ...*reloadable) *reloads {
	r := &reloads{}
	r.reloader = newReloader(&settings{log: hclog.New(&hclog.LoggerOptions{Output: &r.log, DisableTime: true})}, all)
	r.record = func(record audit.Record) { r.records = append(r.records, string(record.Event)+": "+record.Reason) }
	return r
}

// said returns the lines of the log since it was asked last.
func (r *reloads) said() []string {
	lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	r.log.Reset()
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}

// TestLooks: a look each half minute warns once of one error, and tells when it is mended; a signal
// is always answered.
func TestLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changed bool
		var wrong error
		r := newReloads(&reloadable{
			name: "rules", reload: func() (bool, error) { return changed, wrong },
			says: func() []any { return []any{"principals", 3, "added", 1} },
		})
		end := r.start()
		defer end()
		look := func(want ...string) {
			t.Helper()
			time.Sleep(reloadEvery)
			synctest.Wait()
			if said := r.said(); !slices.Equal(said, want) {
				t.Errorf("after a look the log has %q, want %q", said, want)
			}
		}
		signal := func(want ...string) {
			t.Helper()
			r.ask()
			synctest.Wait()
			if said := r.said(); !slices.Equal(said, want) {
				t.Errorf("after a signal the log has %q, want %q", said, want)
			}
		}
		const (
			bad   = `[WARN]  cannot reload: what was read before stays: what=rules error="line 3"`
			worse = `[WARN]  cannot reload: what was read before stays: what=rules error="line 4"`
			done  = `[INFO]  reloaded: what=rules principals=3 added=1`
			same  = `[INFO]  reloaded: it has not changed: what=rules`
			right = `[INFO]  reloaded: it is right again, and as it was before: what=rules`
		)
		look()
		signal(same)
		wrong = errors.New("line 3")
		look(bad)
		look()
		signal(bad)
		look()
		wrong = errors.New("line 4")
		look(worse)
		wrong = nil
		look(right)
		look()
		wrong = errors.New("line 3")
		look(bad)
		changed, wrong = true, nil
		look(done)
		signal(done)
		if want := slices.Repeat([]string{"reload: rules, principals 3, added 1"}, 2); !slices.Equal(r.records, want) {
			t.Errorf("the audit log has %q, want %q", r.records, want)
		}
	})
}

// TestReloadedInOrder: after a signal everything is read, in order, also what only a signal has
// read, and what comes after something that is wrong.
func TestReloadedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var read []string
		one := func(name string, err error) *reloadable {
			return &reloadable{name: name, reload: func() (bool, error) {
				read = append(read, name)
				return false, err
			}}
		}
		opened := one("audit log", nil)
		opened.onSignal = true
		r := newReloads(opened, one("rules", errors.New("wrong")), one("certificate", nil))
		end := r.start()
		defer end()
		r.ask()
		synctest.Wait()
		time.Sleep(reloadEvery)
		synctest.Wait()
		if want := []string{"audit log", "rules", "certificate", "rules", "certificate"}; !slices.Equal(read, want) {
			t.Errorf("it has read %q, want %q", read, want)
		}
	})
}

// TestReloadHangs: a read that hangs holds up neither who asks nor the end.
func TestReloadHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goesOn := make(chan struct{})
		r := newReloads(&reloadable{name: "rules", reload: func() (bool, error) {
			<-goesOn
			return false, nil
		}})
		end := r.start()
		for range 3 {
			r.ask()
			synctest.Wait()
		}
		before := time.Now()
		end()
		if waited := time.Since(before); waited != drainTime {
			t.Errorf("the end waits for %v, want %v", waited, drainTime)
		}
		close(goesOn)
	})
}
