// Package tools is what gcd-tool does: it reads, checks, restores and repairs the directories that
// package store keeps. It reads them with the code of store and wal, and has no decoder of its own.
// It prints nothing but to the writers that it is given, and never exits.
//
// What only reads changes no file, and may be done beside a running server (View says how).
package tools

// Progress is how far a long work is.
type Progress struct {
	Phase string // what is being done, in a word or two; another phase begins its counting anew
	Done  uint64 // entries, records or bytes, as Unit says
	Total uint64 // 0: not known
	Unit  string // "topics", "records", "bytes"
}

// ProgressFunc takes a report of progress, on the goroutine that does the work, every few ten
// thousand steps. nil takes none.
type ProgressFunc func(Progress)

// progressEvery is how many topics or records pass between two reports.
const progressEvery = 1 << 15

// report calls f now and then: when done is a multiple of progressEvery.
func (f ProgressFunc) report(phase, unit string, done, total uint64) {
	if f != nil && done%progressEvery == 0 {
		f(Progress{Phase: phase, Done: done, Total: total, Unit: unit})
	}
}
