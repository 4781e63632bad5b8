package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
	"gcd/wal"
)

// ImportOptions say how a table of topics and sums becomes a directory. The zero value works.
type ImportOptions struct {
	TempDir     string        // for what does not fit into memory; "": os.TempDir
	SegmentSize int64         // of the new log's files, in bytes, as store.Options has it; 0: the default
	LockWait    time.Duration // as store.Options has it
	Progress    ProgressFunc

	memory int // of topics before they go to a temporary file, bytes; 0: importMemory
	seams
}

// importMemory is how much of the topics is collected before it goes to a temporary file, in bytes.
const importMemory = 64 << 20

// importIndex is the record at which an imported store is, and that all its topics are of: the next
// one is the first of its log.
const importIndex = 1

// Imported is what Import did.
type Imported struct {
	Topics uint64
	Zeros  uint64 // topics with the sum 0, which are left out: to a store they are new, and begin at 1
	Store  wal.ID // the new directory's
}

// An ImportError says that lines of a table are wrong. It has the first ones, by their numbers.
type ImportError struct {
	Lines []BadLine // the first ones that were found, at least one and at most maxBadLines
	Total uint64    // how many are wrong
}

// BadLine is a line of a table that is wrong.
type BadLine struct {
	Line   uint64 // its number, from 1
	Reason string
}

// maxBadLines is how many wrong lines an ImportError names.
const maxBadLines = 1000

// String names line and reason.
func (b BadLine) String() string { return fmt.Sprintf("line %d: %s", b.Line, b.Reason) }

// Error has them all.
func (e *ImportError) Error() string {
	var lines []string
	for _, line := range e.Lines {
		lines = append(lines, line.String())
	}
	if more := e.Total - uint64(len(e.Lines)); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// ErrNothingToImport says that a table has no topic that was counted.
var ErrNothingToImport = errors.New("tools: there is no topic in it")

// Import makes a store's directory from a table of topics and their sums, as CSV in any order: all
// of it or nothing. The next count of each topic returns its sum and one. docs/moving-in.md has the
// format.
//
// A dir that is not empty is fs.ErrExist; for the rest it is as Restore's. When lines are wrong all
// of them are looked for, and the error is an *ImportError. Memory does not grow with the number of
// topics.
func Import(ctx context.Context, table io.Reader, dir string, o ImportOptions) (result Imported, err error) {
	if o.memory == 0 {
		o.memory = importMemory
	}
	topics := bytopic.New(importedNumbers, bytopic.Options{Dir: o.TempDir, Memory: o.memory, Pause: newPause(ctx, nil)})
	defer func() { _ = topics.Close() }() // nothing of it is kept
	m := &maker{
		seams: o.seams.withDefaults(), ctx: ctx,
		segmentSize: o.SegmentSize, lockWait: o.LockWait, progress: o.Progress,
		index: importIndex,
	}
	if err := m.target(dir); err != nil { // before the table is read, which may come from a long query
		return Imported{}, err
	}
	defer func() { err = errors.Join(err, m.release()) }()
	i := &importing{maker: m, topics: topics}
	if err := i.read(table); err != nil {
		return Imported{}, err
	}
	if err := i.check(); err != nil {
		return Imported{}, err
	}
	m.entries = func(each func(snapshot.Entry) error) error { return i.all("building", each) }
	err = m.replace()
	return Imported{Topics: m.count, Zeros: i.zeros, Store: m.store}, err
}

// imported is what a table says of a topic.
type imported struct {
	sum  uint64
	line uint64 // where it says so
}

func importedNumbers(v *imported) []*uint64 { return []*uint64{&v.sum, &v.line} }

// importing is one Import.
type importing struct {
	*maker
	topics *bytopic.Collector[imported]
	zeros  uint64
	bad    ImportError
}

// wrong notes a wrong line.
func (i *importing) wrong(line uint64, format string, args ...any) {
	i.bad.Total++
	if len(i.bad.Lines) < maxBadLines {
		i.bad.Lines = append(i.bad.Lines, BadLine{line, fmt.Sprintf(format, args...)})
	}
}

// twice notes a topic that comes twice.
func (i *importing) twice(topic []byte, first, again uint64) {
	i.wrong(again, "the topic %.64q is on line %d already", topic, first)
}

// read reads the whole table.
func (i *importing) read(table io.Reader) error {
	rows, err := newRows(table)
	var bad *badLine
	if errors.As(err, &bad) {
		i.wrong(1, "%v", bad)
		return &i.bad
	}
	if err != nil {
		return err
	}
	for done := uint64(1); ; done++ {
		i.progress.report("reading", "topics", done, 0)
		if err := i.ctx.Err(); err != nil {
			return err
		}
		row, err := rows.read()
		switch {
		case err == io.EOF:
			return i.ctx.Err()
		case errors.As(err, &bad):
			i.wrong(rows.line, "%v", bad)
		case err != nil:
			return fmt.Errorf("line %d: %w", rows.line, err)
		case !row.names:
			if err := i.add(row, rows.line); err != nil {
				return err
			}
		}
	}
}

// add adds a row. Of a topic that comes twice it keeps the first one.
func (i *importing) add(r row, line uint64) error {
	v, known, err := i.topics.At(r.topic)
	switch {
	case err != nil:
		return err
	case known:
		i.twice(r.topic, v.line, line)
	default:
		*v = imported{sum: r.sum, line: line}
	}
	return nil
}

// check looks for topics that come twice, and for what the whole store will be.
func (i *importing) check() error {
	sum := newEntrySum()
	err := i.all("checking", func(e snapshot.Entry) error {
		i.count++
		sum.add(e)
		return nil
	})
	switch {
	case err != nil:
		return err
	case i.bad.Total > 0:
		slices.SortFunc(i.bad.Lines, func(a, b BadLine) int { return cmp.Compare(a.Line, b.Line) })
		return &i.bad
	case i.count == 0:
		return ErrNothingToImport
	}
	i.sum = sum.sum()
	return nil
}

// all calls each with every topic, in the order of keys. It notes lines with a topic that was on an
// earlier one.
func (i *importing) all(phase string, each func(snapshot.Entry) error) error {
	var done, zeros uint64
	total := i.count
	for t, err := range i.topics.All() {
		if err != nil {
			return err
		}
		done++
		if err := i.passed(phase, done, total); err != nil {
			return err
		}
		t.Next()
		v := t.Value
		for t.Next() { // lines between which memory was full
			i.twice(t.Name, v.line, t.Value.line)
		}
		if v.sum == 0 {
			zeros++
			continue
		}
		if err := each(snapshot.Entry{Topic: t.Name, Value: core.Value{Sum: v.sum}, Last: importIndex}); err != nil {
			return err
		}
	}
	i.zeros = zeros
	return i.ctx.Err()
}
