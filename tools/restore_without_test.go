package tools

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcd/store/core"
	"gcd/store/snapshot"
)

// TestRestoreWithout leaves out the topics of some prefixes, and counts them.
func TestRestoreWithout(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := testHeader()
	entries := randomEntries(rand.New(rand.NewPCG(seed, 0)), 100, h.Index)
	for _, topic := range []string{"bench:", "bench:000000000001", "bench:000000000002", "bench", "Bench:1",
		"a,b:1", "\xffz", "bench:0" + strings.Repeat("x", 2000)} {
		entries = append(entries, snapshot.Entry{Topic: []byte(topic), Value: core.Value{Sum: 9, Epoch: 1}, Last: 3})
	}
	slices.SortFunc(entries, func(a, b snapshot.Entry) int { return core.CompareTopics(a.Topic, b.Topic) })
	entries = slices.CompactFunc(entries, func(a, b snapshot.Entry) bool { return string(a.Topic) == string(b.Topic) })
	without := []string{"bench:00", "a,b:", "bench:", "none of them", "\xff"}
	want, left := map[string]core.Value{}, make([]uint64, len(without))
	for _, e := range entries {
		kept := true
		for i, prefix := range without {
			if strings.HasPrefix(string(e.Topic), prefix) {
				left[i]++
				kept = false
			}
		}
		if kept {
			want[string(e.Topic)] = core.Value{Sum: e.Sum, Epoch: e.Epoch}
		}
	}
	for _, format := range []string{"ndjson", "csv"} {
		dir := filepath.Join(t.TempDir(), "data")
		got, err := Restore(t.Context(), writeDump(t, format, h, entries), dir,
			RestoreOptions{SegmentSize: testSegment, Without: without})
		if err != nil {
			t.Fatal(err)
		}
		if got.Entries != uint64(len(want)) || !slices.Equal(got.LeftOut, left) || got.Store == h.Store {
			t.Errorf("%+v, want %d topics and %d left out", got, len(want), left)
		}
		if v, err := Verify(t.Context(), dir, VerifyOptions{}); err != nil || v.Err() != nil {
			t.Errorf("verify: %v, %v", err, v.Err())
		}
		if !equalValues(sums(t, dir), want) {
			t.Error("the store that starts has other counters")
		}
	}
	// What is left out cannot be too large, and nothing at all may be left.
	dump := writeDump(t, "ndjson", h, []snapshot.Entry{{Topic: []byte("bench:"),
		Value: core.Value{Sum: math.MaxUint64}, Last: 1}})
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := Restore(t.Context(), dump, dir, RestoreOptions{SegmentSize: testSegment, Advance: 1,
		Without: without}); err != nil {
		t.Fatal(err)
	}
	if got := sums(t, dir); len(got) != 0 {
		t.Errorf("the store has %v", got)
	}
}
