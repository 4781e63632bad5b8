package tools

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gcd/store/core"
	"gcd/tools/internal/bytopic"
)

// TestDeltas: the changes of a topic are one, however little memory there is for them, and one that
// does not follow from the one before it is told of, at once or when all are read.
func TestDeltas(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{1, 1 << 20} {
		d := newDeltas(bytopic.Options{Dir: t.TempDir(), Memory: memory})
		defer d.Close()
		told := 0
		add := func(index uint64, c core.Change) {
			before, ok, err := d.add(index, time.Unix(-1, int64(index)), &c, index <= 4)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				told++
				if index != 5 || before.Sum != 9 {
					t.Errorf("memory %d: record %d does not follow from %v", memory, index, before)
				}
			}
		}
		for _, topic := range []string{"b", "a"} { // one in memory sends the other one into the file
			add(3, core.Change{Topic: []byte(topic), Epoch: 2, Sum: 5, N: 3})
		}
		for _, topic := range []string{"b", "a"} {
			add(4, core.Change{Topic: []byte(topic), Epoch: 2, Sum: 8, N: 1})
		}
		add(5, core.Change{Topic: []byte("b"), Epoch: 2, Sum: 8}) // it has 9
		var got []string
		for topic, err := range d.All() {
			if err != nil {
				t.Fatal(err)
			}
			w, err := whole(topic, func(topic []byte, index uint64, from, at core.Value) error {
				if told++; string(topic) != "b" || index != 5 || from.Sum != 8 || at.Sum != 9 {
					t.Errorf("memory %d: record %d takes %q from %v, which is at %v", memory, index, topic, from, at)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(string(topic.Name), w.first, w.from, w.last, w.at, w.upTo, w.upToAt,
				time.Unix(0, int64(w.time)).Nanosecond()))
		}
		if want := "[a3 {5 2} 4 {9 2} 4 {9 2} 4 b3 {5 2} 5 {0 3} 4 {9 2} 4]"; fmt.Sprint(got) != want || told != 1 {
			t.Errorf("memory %d: %v, told of %d changes that do not follow; want %s, 1", memory, got, told, want)
		}
		failed := errors.New("failed")
		for topic, err := range d.All() {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := whole(topic, func([]byte, uint64, core.Value,
				core.Value) error {
				return failed
			}); (string(topic.Name) == "b" && memory == 1) != (err == failed) {
				t.Errorf("memory %d: %q: %v", memory, topic.Name, err)
			}
		}
	}
}
