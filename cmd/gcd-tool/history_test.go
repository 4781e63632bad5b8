package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"gcd/store/core"
	"gcd/tools"
)

// TestHistoryTableHasAll: a table of very many steps has each of them, the first one too.
func TestHistoryTableHasAll(t *testing.T) {
	t.Parallel()
	const groups, steps = 50, 2_100 // together more than fit into a table at once
	dir := t.TempDir()
	s := openDir(t, dir)
	for range groups {
		var ops []core.Op
		for i := range steps { // each is a step of its own, though many are in one record
			ops = append(ops, core.Op{Kind: []core.Kind{core.Count, core.Reset}[i%2], Topic: []byte("k")})
		}
		submit(t.Fatalf, s, ops...)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"gcd-tool", "history", "k", dir}, &stdout, &stderr); code != 0 ||
		stderr.Len() > 0 {
		t.Fatal(code, stderr.String())
	}
	rows, epoch := 0, uint64(0)
	for line := range strings.Lines(stdout.String()) {
		fields := strings.Fields(line)
		if fields[0] == "RECORD" {
			continue
		}
		want := []string{"1"}
		if rows%2 == 1 {
			want = []string{"reset", "at", "1"}
		}
		if fmt.Sprint(fields[2:]) != fmt.Sprint(append([]string{fmt.Sprint(epoch)}, want...)) {
			t.Fatalf("row %d is %q", rows, line)
		}
		epoch += uint64(rows % 2)
		rows++
	}
	if rows != groups*steps {
		t.Errorf("%d rows, want %d", rows, groups*steps)
	}
}

// TestLatestSteps: the latest of many are kept, however many are asked for.
func TestLatestSteps(t *testing.T) {
	t.Parallel()
	for _, limit := range []uint64{1, 2, 3, 99, 100, 101, 1 << 63, math.MaxUint64} {
		l := latestSteps{limit: limit}
		for i := range uint64(100) {
			if err := l.add(tools.Step{Index: i + 1}); err != nil {
				t.Fatal(err)
			}
		}
		want := min(limit, 100)
		got := l.steps()
		if uint64(len(got)) != want || got[0].Index != 101-want || got[want-1].Index != 100 {
			t.Errorf("of the latest %d there are %d, the first of record %d", limit, len(got), got[0].Index)
		}
	}
}
