package tools

import (
	"slices"
	"testing"

	"gcd/store"
)

// TestWitnesses: of each topic the furthest state and the latest record are kept, in whatever order they come and wherever they are, and given back as often as
// they are asked for.
func TestWitnesses(t *testing.T) {
	t.Parallel()
	states := []seen{{store.Value{Sum: 5}, 9}, {store.Value{Sum: 3}, 4}, {store.Value{Epoch: 1}, 7}, {store.Value{Sum: 6}, 2}}
	for _, memory := range []int{1, 1 << 20} {
		w := newWitnesses(t.TempDir(), memory, nil)
		for _, topic := range []string{"b", "a"} {
			for _, s := range states {
				if err := w.add([]byte(topic), s.Value, s.last); err != nil {
					t.Fatal(err)
				}
			}
			slices.Reverse(states)
		}
		for range 2 {
			var topics string
			err := w.each(func(s *witnessed) error {
				topics += string(s.topic)
				if s.Value != (store.Value{Epoch: 1}) || s.last != 9 {
					t.Errorf("memory %d: %+v", memory, s)
				}
				return nil
			})
			if err != nil || topics != "ab" {
				t.Errorf("memory %d: %q, %v", memory, topics, err)
			}
		}
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}
}
