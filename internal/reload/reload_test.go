package reload

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// loop is a Loop in a test: what it says, and whom it tells.
type loop struct {
	*Loop
	mu      sync.Mutex
	log     bytes.Buffer
	changes []string
}

func start(things ...Thing) *loop {
	l := &loop{}
	l.Loop = Start(Options{
		Things: things, Log: hclog.New(&hclog.LoggerOptions{Output: l, DisableTime: true}),
		Changed: func(what string) { l.changes = append(l.changes, what) },
	})
	return l
}

// Write takes a line of the log.
func (l *loop) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(line)
}

// said returns the lines of the log since it was asked last.
func (l *loop) said() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(l.log.String()), "\n")
	l.log.Reset()
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}

// TestLooks: a look each half minute warns once of one error, and tells when it is mended; a signal
// is always answered.
func TestLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type result struct {
			changed bool
			err     error
		}
		var next atomic.Pointer[result]
		becomes := func(changed bool, err error) { next.Store(&result{changed, err}) }
		becomes(false, nil)
		l := start(Thing{
			Name: "rules", Reload: func() (bool, error) { r := next.Load(); return r.changed, r.err },
			Says: func() []any { return []any{"principals", 3, "added", 1} },
		})
		defer l.Stop(time.Second)
		look := func(want ...string) {
			t.Helper()
			<-time.After(Every) // of the bubble, where no time passes
			synctest.Wait()
			if said := l.said(); !slices.Equal(said, want) {
				t.Errorf("after a look the log has %q, want %q", said, want)
			}
		}
		signal := func(want ...string) {
			t.Helper()
			l.Ask()
			synctest.Wait()
			if said := l.said(); !slices.Equal(said, want) {
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
		becomes(false, errors.New("line 3"))
		look(bad)
		look()
		signal(bad)
		look()
		becomes(false, errors.New("line 4"))
		look(worse)
		becomes(false, nil)
		look(right)
		look()
		becomes(false, errors.New("line 3"))
		look(bad)
		becomes(true, nil)
		look(done)
		signal(done)
		if want := slices.Repeat([]string{"rules, principals 3, added 1"}, 2); !slices.Equal(l.changes, want) {
			t.Errorf("it has told %q, want %q", l.changes, want)
		}
	})
}

// TestReloadedInOrder: after a signal everything is read, in order, also what only a signal has
// read, and what comes after something that is wrong.
func TestReloadedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var read []string
		one := func(name string, err error) Thing {
			return Thing{Name: name, Reload: func() (bool, error) {
				read = append(read, name)
				return false, err
			}}
		}
		opened := one("audit log", nil)
		opened.OnSignal = true
		l := start(opened, one("rules", errors.New("wrong")), one("certificate", nil))
		defer l.Stop(time.Second)
		l.Ask()
		synctest.Wait()
		<-time.After(Every) // of the bubble, where no time passes
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
		l := start(Thing{Name: "rules", Reload: func() (bool, error) {
			<-goesOn
			return false, nil
		}})
		for range 3 {
			l.Ask()
			synctest.Wait()
		}
		before := time.Now()
		l.Stop(time.Second)
		if waited := time.Since(before); waited != time.Second {
			t.Errorf("the end waits for %v, want %v", waited, time.Second)
		}
		close(goesOn)
	})
}
