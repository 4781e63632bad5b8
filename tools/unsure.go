package tools

import (
	"io"
	"iter"
)

// WriteCounters writes counters in the lines that a dump has for them, and in CSV below the names
// of the columns: format is FormatNDJSON or FormatCSV. It is no dump, and cannot be restored.
func WriteCounters(w io.Writer, format string, counters iter.Seq2[*Counter, error]) error {
	var b, field []byte
	if format == FormatCSV {
		b = append(b, "topic,sum,epoch,last\n"...)
	}
	for c, err := range counters {
		if err != nil {
			return err
		}
		if format == FormatCSV {
			b, field = appendCSVCounter(b, c, false, field)
		} else {
			b = appendJSONCounter(b, c, true)
		}
		if b = append(b, '\n'); len(b) >= pieceSize {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	_, err := w.Write(b)
	return err
}
