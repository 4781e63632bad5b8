package tools

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcd/store"
	"gcd/wal"
)

// TestDumpRecords gives every record with its place, and of a damaged log those before the damage.
func TestDumpRecords(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	dir := livedStore(t, r, fewTopics(r, 20, 300), 8192, 6)
	write := func(dir, format string) (string, error) {
		var b bytes.Buffer
		w, err := NewRecordWriter(&b, format)
		if err != nil {
			t.Fatal(err)
		}
		err = DumpRecords(t.Context(), dir, w, DumpOptions{})
		return b.String(), err
	}
	all, err := write(dir, "ndjson")
	if err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(store.LogDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(all, "\n")
	i := 0
	var second wal.Record // of the second segment
	for rec, err := range log.Records(1) {
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"index":%d,"time":"%s","segment":%d,"offset":%d,"durable":%d,"changes":[{"topic`,
			rec.Index, rec.Time.UTC().Format(time.RFC3339Nano), rec.Segment, rec.Offset, rec.Durable)
		if !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d: %s, want %s…", i, lines[i], want)
		}
		i++
		if rec.Segment == 2 && rec.Index > second.Index && second.Segment == 0 {
			second = rec
		}
	}
	if i != len(lines)-1 {
		t.Errorf("%d lines, want %d", len(lines)-1, i)
	}
	document, err := write(dir, "json")
	if want := "{\"records\":[\n" + strings.ReplaceAll(strings.TrimSuffix(all, "\n"), "\n", ",\n") +
		"]}\n"; err != nil || document != want {
		t.Errorf("json: %v", err)
	}
	rows, err := write(dir, "csv")
	if err != nil || strings.Count(rows, "\n") != 1+strings.Count(all, `"epoch":`) {
		t.Errorf("csv: %d rows, %v", strings.Count(rows, "\n"), err)
	}

	damaged := copyTree(t, dir)
	// the first byte of its payload
	flip(t, filepath.Join(store.LogDir(damaged), "0000000000000002.seg"), second.Offset+40)
	part, err := write(damaged, "ndjson")
	var damage *wal.CorruptionError
	if !errors.As(err, &damage) || damage.Offset != second.Offset || part != strings.Join(lines[:second.Index-1], "") {
		t.Errorf("%d lines, %v; want %d and damage at %d", strings.Count(part, "\n"), err, second.Index-1,
			second.Offset)
	}
	if _, err := write(t.TempDir(), "csv"); !errors.Is(err, store.ErrNoStore) {
		t.Errorf("no store: %v", err)
	}
}
