package store

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"gcd/store/core"
	"gcd/store/snapshot"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("gcd/internal/powertest.listener.serve")) // it lives as long as its process
}

// What docs/storage.md says of the snapshot's file, for tests that write into it past everything.
var (
	bucketMeta, bucketTopics = []byte("meta"), []byte("topics")

	keyFormat, keyState, keyDurableAtLeast = []byte("format"), []byte("state"), []byte("witness")
)

// open is Open. When the store is closed its invariants are checked, unless the test has said that
// it damaged the files.
func open(t testing.TB, dir string, o Options) (*Store, error) {
	o.closing = func(s *Store) {
		if err := s.invariants(); err != nil {
			t.Errorf("at the close of the store in %s: %v", dir, err)
		}
	}
	opened := o.hooks.Opened
	o.hooks.Opened = func(db *bolt.DB) {
		if !o.hooks.NoSync && (db.NoSync || db.NoGrowSync || db.NoFreelistSync) {
			t.Errorf("bbolt leaves out syncs of %s: NoSync %t, NoGrowSync %t, NoFreelistSync %t",
				db.Path(), db.NoSync, db.NoGrowSync, db.NoFreelistSync)
		}
		if opened != nil {
			opened(db)
		}
	}
	return Open(dir, o)
}

// spoiled says that the test has damaged the files of a store, so that they are not what it holds.
func spoiled(s *Store) { s.options.closing = func(*Store) {} }

// openMemory opens a store without a directory and closes it with the test.
func openMemory(t testing.TB, o Options) *Store { return openStore(t, "", o) }

// openStore opens a store and closes it when the test ends.
func openStore(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := open(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && s.Err() == nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// invariants says what is wrong with a store to which nothing is done any more: what snapshot and
// log lead to is what it holds, and so is what the log alone leads to if it goes back to the first
// record; and the snapshot's file passes our own check and bbolt's.
func (s *Store) invariants() error {
	held := holds(s.machine)
	loaded := core.NewMachine()
	l := loaded.Loader()
	m, err := s.file.Read(func(_ snapshot.Meta, e snapshot.Entry) error { l.Add(e.Topic, e.Value); return nil })
	if err != nil {
		return fmt.Errorf("reading the snapshot: %w", err)
	}
	if err := boltCheck(s.file.Path); err != nil {
		return fmt.Errorf("bbolt's check of the snapshot: %w", err)
	}
	l.Finish(m.Replay)
	if m.Replay != s.snapshot.replay.Load() || m.DurableAtLeast > s.wal.Durable() {
		return fmt.Errorf("the snapshot has replay index %d and witness %d, the store %d, the log's end is %d",
			m.Replay, m.DurableAtLeast, s.snapshot.replay.Load(), s.wal.Durable())
	}
	if err := s.leadsHere("snapshot and tail", loaded, m.Replay, held); err != nil || s.wal.First() > 1 {
		return err
	}
	return s.leadsHere("the log", core.NewMachine(), 0, held)
}

// boltCheck runs bbolt's own consistency check over a snapshot's file.
func boltCheck(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Minute})
	if err != nil {
		return err
	}
	err = db.View(func(tx *bolt.Tx) error {
		var found []error
		for err := range tx.Check() {
			found = append(found, err)
		}
		return errors.Join(found...)
	})
	return errors.Join(err, db.Close())
}

// leadsHere replays the log after an index and compares what comes of it with what is held.
func (s *Store) leadsHere(what string, m *core.Machine, after uint64, held map[string]core.Value) error {
	for r, err := range s.wal.Records(after + 1) {
		if err == nil {
			err = m.Replay(r.Index, r.Type, r.Payload)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if m.Applied() != s.machine.Applied() || m.Applied() != s.wal.Last() {
		return fmt.Errorf("%s: ends at record %d, the store has applied %d, the log ends at %d",
			what, m.Applied(), s.machine.Applied(), s.wal.Last())
	}
	got := holds(m)
	for topic, want := range held {
		if v, ok := got[topic]; !ok || v != want {
			return fmt.Errorf("%s: topic %.64q is %+v (there: %t), the store holds %+v", what, topic, v, ok, want)
		}
	}
	if len(got) != len(held) || m.Live() != s.machine.Live() {
		return fmt.Errorf("%s: %d topics, %d live; the store holds %d, %d live",
			what, len(got), m.Live(), len(held), s.machine.Live())
	}
	return nil
}

// holds is what a machine holds that nobody changes.
func holds(m *core.Machine) map[string]core.Value {
	values := make(map[string]core.Value, m.Len())
	for id := range uint32(m.Len()) {
		topic, v := m.At(id)
		values[string(topic)] = v
	}
	return values
}

// snapshotHolds is what a store's snapshot alone holds.
func snapshotHolds(t testing.TB, s *Store) map[string]core.Value {
	t.Helper()
	values := map[string]core.Value{}
	if _, err := s.file.Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		values[string(e.Topic)] = e.Value
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return values
}

// TestEveryTestOpensByTheHarness: a test that opens a store by itself is one whose store is not
// looked at when it is closed.
func TestEveryTestOpensByTheHarness(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*_test.go")
	if err != nil || len(names) < 20 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if name == "bench_test.go" {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Name.Name == "open" || strings.HasPrefix(f.Name.Name, "Example") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if to, ok := call.Fun.(*ast.Ident); ok && to.Name == "Open" {
						t.Errorf("%s: use open", files.Position(call.Pos()))
					}
				}
				return true
			})
		}
	}
}

// TestInvariantsAreChecked: the check finds what it is for.
func TestInvariantsAreChecked(t *testing.T) {
	t.Parallel()
	change := func(s *Store, c core.Change) {
		if err := s.machine.Apply(s.machine.Applied(), []core.Change{c}); err != nil {
			t.Error(err)
		}
	}
	for name, damage := range map[string]func(s *Store){
		"nothing":                      func(*Store) {},
		"a sum that no record led to":  func(s *Store) { change(s, core.Change{Topic: []byte("a"), Sum: 2, N: 1}) },
		"a topic that is nowhere else": func(s *Store) { change(s, core.Change{Topic: []byte("new")}) },
		"a live topic too many": func(s *Store) { // the same topic again, at what it is at
			s.machine.Loader().Add([]byte("a"), get(s, "a"))
		},
		"a replay index that is not the file's": func(s *Store) {
			s.snapshot.replay.Add(1)
		},
		"an entry that nothing marked": func(s *Store) {
			err := s.file.Update(func(m *snapshot.Meta) {
				m.Replay, m.DurableAtLeast = s.wal.Last(),
					s.wal.Last()
			})
			s.snapshot.replay.Store(s.wal.Last())
			if err != nil {
				t.Error(err)
			}
		},
		"a count that does not match": func(s *Store) {
			if err := s.file.Update(func(m *snapshot.Meta) { m.Count++ }); err != nil {
				t.Error(err)
			}
		},
		"a witness ahead of the log": func(s *Store) {
			if err := s.file.Update(func(m *snapshot.Meta) { m.DurableAtLeast = s.wal.Last() + 1 }); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, t.TempDir(), Options{SegmentSize: 64 << 10, SnapshotInterval: -1,
				SnapshotBytes: -1, hooks: snapshot.Hooks{NoSync: true}})
			spoiled(s)
			runOps(t, s, []core.Op{count("a", 1), count("b", 2)})
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			runOps(t, s, []core.Op{count("a", 1), reset("b"), count("c", 1)})
			damage(s)
			if err := s.invariants(); (err == nil) != (name == "nothing") {
				t.Errorf("the check says %v", err)
			}
		})
	}
}

// runOps submits ops as one group and returns them with their outcomes.
func runOps(t testing.TB, s *Store, ops []core.Op) []core.Op {
	t.Helper()
	done := make(chan struct{})
	g := &core.Group{Ops: ops, Done: func(*core.Group) { close(done) }}
	s.Submit(g)
	within(t, "the outcome of a group", done)
	return g.Ops
}

// within takes a value that is to come, or sees a channel closed that is to be. Where time is not
// real, as under synctest, a minute is one in which nothing else is to happen.
func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	value, ok := comes(t, what, c)
	if !ok {
		t.FailNow()
	}
	return value
}

// comes is within for goroutines that are not the test's own, which may not end it: it returns
// false when the test has failed.
func comes[T any](t testing.TB, what string, c <-chan T) (value T, ok bool) {
	t.Helper()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	select {
	case value = <-c:
		return value, true
	case <-timeout.C:
		t.Errorf("%s does not come", what)
		return value, false
	}
}

// copySnapshot copies a store's snapshot file into a new directory.
func copySnapshot(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	b, err := os.ReadFile(filepath.Join(dir, snapshot.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, snapshot.FileName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}
