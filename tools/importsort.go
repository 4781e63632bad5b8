package tools

import (
	"bufio"
	"bytes"
	"encoding/binary"

	"gcd/store"
)

// imported is what a table says of a topic.
type imported struct {
	sum  uint64
	line uint64 // where it says so
}

// importSize is about what a topic of a table takes in memory beside its bytes.
const importSize = 16 + cellSize

// imports collects the topics of a table in memory of bounded size, spills them as sorted runs into
// a temporary file, and gives them back in the order of keys.
type imports struct {
	memory int
	size   int
	open   topics[imported]
	runs   runs // earlier lines first
}

func newImports(dir string, memory int, pause pause) *imports {
	return &imports{memory: memory, open: newTopics[imported](0), runs: runs{dir: dir, pause: pause}}
}

// add adds a topic. If it is known already that it came before it is not added, and the line of
// that is returned.
func (m *imports) add(topic []byte, v imported) (first uint64, err error) {
	if before := m.open.find(topic); before != nil {
		return before.line, nil
	}
	if m.size += len(topic) + importSize; m.size > m.memory && len(m.open.cells) > 0 {
		if err := m.spill(); err != nil {
			return 0, err
		}
		m.size = len(topic) + importSize
	}
	m.open.add(topic, v)
	return 0, nil
}

// spill writes what is collected as a run.
func (m *imports) spill() error {
	err := m.runs.write(func(w *bufio.Writer) error {
		var b []byte
		for _, i := range m.open.sorted() {
			v := &m.open.cells[i].value
			b = appendTopic(b[:0], m.open.topic(i))
			b = binary.AppendUvarint(b, v.sum)
			b = binary.AppendUvarint(b, v.line)
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
	m.open.clear()
	return err
}

// importRow is a topic on its way out of a run, or out of memory.
type importRow struct {
	topic []byte
	imported
}

// read reads the next one of a run; io.EOF behind the last.
func (row *importRow) read(r *bufio.Reader) (err error) {
	if row.topic, err = readTopic(r, row.topic); err != nil {
		return err
	}
	var n [2]uint64
	err = readNumbers(r, n[:])
	row.imported = imported{sum: n[0], line: n[1]}
	return err
}

// all calls each with every topic once, in the order of keys, and twice with each line that has one
// again.
func (m *imports) all(each func(topic []byte, v imported) error, twice func(topic []byte, first, again uint64)) error {
	sorted := merged[*importRow]{compare: func(a, b *importRow) int { return store.CompareTopics(a.topic, b.topic) }}
	readers, err := m.runs.readers()
	if err != nil {
		return err
	}
	for _, r := range readers {
		row := &importRow{}
		if err := sorted.add(func() (*importRow, error) { return row, row.read(r) }); err != nil {
			return err
		}
	}
	row, next := &importRow{}, m.open.inOrder()
	err = sorted.add(func() (_ *importRow, err error) {
		row.topic, row.imported, err = next()
		return row, err
	})
	if err != nil {
		return err
	}
	var last importRow
	some := false
	for head, ok := sorted.peek(); ok; head, ok = sorted.peek() {
		if some && bytes.Equal(head.topic, last.topic) { // of what is equal the earlier run comes first
			twice(head.topic, last.line, head.line)
		} else {
			some = true
			last.topic, last.imported = append(last.topic[:0], head.topic...), head.imported
			if err := each(last.topic, last.imported); err != nil {
				return err
			}
		}
		if err := sorted.step(); err != nil {
			return err
		}
	}
	return nil
}

func (m *imports) close() {
	_ = m.runs.close() // nothing of it is kept
}
