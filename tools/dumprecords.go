package tools

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"unicode/utf8"

	"gcd/store"
	"gcd/store/core"
	"gcd/wal"
)

// A RecordWriter takes the records of a log. Changes and their topics are valid during the call.
type RecordWriter interface {
	Record(r wal.Record, changes []core.Change) error
	Footer() error
}

// DumpRecords writes the records of a store's log, oldest first, and changes nothing. It ends at
// the first damage, which is the error: *wal.CorruptionError, wal.ErrNotOurs or wal.ErrVersion.
// After the last record it checks that the snapshot, if it can be read, knows of no later ones:
// *wal.CorruptionError. Beside a running server it ends with the last record that there was when it
// began. Of the options it needs Rest and Progress.
func DumpRecords(ctx context.Context, dir string, w RecordWriter, o DumpOptions) (err error) {
	r, err := openDirView(ctx, dir, dirViewOptions{rest: o.Rest, noEntries: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	err = dumpRecords(ctx, &r, w, o.Progress)
	if err == nil || errors.Is(err, wal.ErrNoLog) {
		var log *wal.Log
		if log, err = r.openLog(); err == nil {
			err = r.fits(log)
		}
	}
	return errors.Join(err, w.Footer())
}

func dumpRecords(ctx context.Context, from *dirView, w RecordWriter, progress ProgressFunc) error {
	var done uint64
	var changes []core.Change
	for r, err := range wal.Scan(store.LogDir(from.dir), wal.Options{FS: from.fs}) {
		if err != nil {
			return err
		}
		changes = changes[:0]
		for change, err := range core.Changes(r.Type, r.Payload) {
			if err != nil {
				return &wal.CorruptionError{File: segmentPath(from.dir, r.Segment), Offset: r.Offset, Index: r.Index,
					Err: err}
			}
			changes = append(changes, change)
		}
		if err := w.Record(r, changes); err != nil {
			return err
		}
		done++
		progress.report("writing records", "records", done, 0)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// segmentPath is the file of a segment, and the log's directory for 0.
func segmentPath(dir string, number uint64) string {
	if number == 0 {
		return store.LogDir(dir)
	}
	return path.Join(store.LogDir(dir), fmt.Sprintf("%016x.seg", number))
}

// NewRecordWriter makes the writer of a format. docs/dump.md has every byte. Nothing is left
// unwritten when Footer returned.
func NewRecordWriter(w io.Writer, format string) (RecordWriter, error) {
	lines := recordLines{w: w}
	switch format {
	case FormatNDJSON:
		return &recordsNDJSON{recordLines: lines}, nil
	case FormatJSON:
		lines.buf = append(lines.buf, `{"records":[`...)
		return &recordsNDJSON{recordLines: lines, document: true}, nil
	case FormatCSV:
		lines.buf = append(lines.buf, "index,time,segment,offset,durable,topic,epoch,sum,n\n"...)
		return &recordsCSV{recordLines: lines}, nil
	}
	return nil, fmt.Errorf("no records can be written as %q", format)
}

// recordLines is written many lines at a time.
type recordLines struct {
	w   io.Writer
	buf []byte
}

func (l *recordLines) line() error {
	if len(l.buf) < pieceSize {
		return nil
	}
	return l.write()
}

func (l *recordLines) write() error {
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

// Footer writes what is left.
func (l *recordLines) Footer() error { return l.write() }

type recordsNDJSON struct {
	recordLines
	document bool // one JSON document, and not one a line
	some     bool
}

func (w *recordsNDJSON) Record(r wal.Record, changes []core.Change) error {
	b := w.buf
	if w.document {
		if w.some {
			b = append(b, ',')
		}
		b = append(b, '\n')
		w.some = true
	}
	b = fmt.Appendf(b, `{"index":%d,"time":"`, r.Index)
	b = appendTime(b, r.Time)
	b = fmt.Appendf(b, `","segment":%d,"offset":%d,"durable":%d,"changes":[`, r.Segment, r.Offset, r.Durable)
	for i := range changes {
		c := &changes[i]
		if i > 0 {
			b = append(b, ',')
		}
		if utf8.Valid(c.Topic) {
			b = appendEscaped(append(b, `{"topic":"`...), c.Topic, &jsonEscapes)
		} else {
			b = hex.AppendEncode(append(b, `{"topic_hex":"`...), c.Topic)
		}
		b = strconv.AppendUint(append(b, `","epoch":`...), c.Epoch, 10)
		b = strconv.AppendUint(append(b, `,"sum":`...), c.Sum, 10)
		if c.N == 0 {
			b = append(b, `,"reset":true}`...)
		} else {
			b = append(strconv.AppendUint(append(b, `,"n":`...), c.N, 10), '}')
		}
	}
	b = append(b, `]}`...)
	if !w.document {
		b = append(b, '\n')
	}
	w.buf = b
	return w.line()
}

func (w *recordsNDJSON) Footer() error {
	if w.document {
		w.buf = append(w.buf, "]}\n"...)
	}
	return w.write()
}

type recordsCSV struct {
	recordLines
	topic []byte
}

func (w *recordsCSV) Record(r wal.Record, changes []core.Change) error {
	for i := range changes {
		c := &changes[i]
		b := strconv.AppendUint(w.buf, r.Index, 10)
		b = appendTime(append(b, ','), r.Time)
		b = fmt.Appendf(b, ",%d,%d,%d,", r.Segment, r.Offset, r.Durable)
		w.topic = appendEscaped(w.topic[:0], c.Topic, &csvEscapes)
		b = appendField(b, w.topic)
		b = strconv.AppendUint(append(b, ','), c.Epoch, 10)
		b = strconv.AppendUint(append(b, ','), c.Sum, 10)
		b = strconv.AppendUint(append(b, ','), c.N, 10) // 0: a reset
		w.buf = append(b, '\n')
		if err := w.line(); err != nil {
			return err
		}
	}
	return nil
}
