package tools

import (
	"slices"
	"testing"

	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
)

// TestFurthest: of each topic the furthest state and the latest record are kept, in whatever order
// they come and wherever they are, and given back as often as they are asked for.
func TestFurthest(t *testing.T) {
	t.Parallel()
	states := []seen{{core.Value{Sum: 5}, 9}, {core.Value{Sum: 3}, 4}, {core.Value{Epoch: 1}, 7},
		{core.Value{Sum: 6}, 2}}
	for _, memory := range []int{1, 1 << 20} {
		w := newFurthest(bytopic.Options{Dir: t.TempDir(), Memory: memory})
		for _, topic := range []string{"b", "a"} {
			for _, s := range states {
				if err := w.observe([]byte(topic), s.Value, s.last); err != nil {
					t.Fatal(err)
				}
			}
			slices.Reverse(states)
		}
		for range 2 {
			var topics string
			err := w.each(func(e snapshot.Entry) error {
				topics += string(e.Topic)
				if e.Value != (core.Value{Epoch: 1}) || e.Last != 9 {
					t.Errorf("memory %d: %+v", memory, e)
				}
				return nil
			})
			if err != nil || topics != "ab" {
				t.Errorf("memory %d: %q, %v", memory, topics, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}
