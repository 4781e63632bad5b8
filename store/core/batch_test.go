package core

import (
	"errors"
	"fmt"
	"testing"
)

// TestChanges yields what a batch holds, and an error where it is cut off.
func TestChanges(t *testing.T) {
	t.Parallel()
	var payload []byte
	want := []Change{{Topic: []byte("a"), Sum: 7, N: 3}, {Topic: []byte(""), Epoch: 3, Sum: 1<<64 - 1},
		{Topic: []byte("b"), Epoch: 9, Sum: 1<<64 - 2, N: 1}}
	for _, c := range want {
		payload = c.Append(payload)
	}
	var got []Change
	for c, err := range Changes(batch, payload) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, c := range []struct {
		change        Change
		before, after Value
	}{{want[0], Value{Sum: 7}, Value{Sum: 10}}, {want[1], Value{Sum: 1<<64 - 1, Epoch: 3}, Value{Epoch: 4}}} {
		if c.change.Before() != c.before || c.change.After() != c.after {
			t.Errorf("%v goes from %v to %v", c.change, c.change.Before(), c.change.After())
		}
		for _, step := range []struct {
			at, after     Value
			held, follows bool
		}{
			{c.before, c.after, false, true},
			{c.after, c.after, true, true},
			{Value{Epoch: 5}, Value{Epoch: 5}, true, true},
			{Value{}, c.after, false, false},
		} {
			if after, held, follows := c.change.Step(step.at); after != step.after || held != step.held ||
				follows != step.follows {
				t.Errorf("%v makes %v of %v: held %t, follows %t", c.change, after, step.at, held, follows)
			}
		}
	}
	for range Changes(batch, payload) {
		break
	}
	for n := range len(payload) {
		var last error
		for _, err := range Changes(batch, payload[:n]) {
			last = err
		}
		if whole := n == 5 || n == 5+12; (last == nil) != whole {
			t.Errorf("the first %d of %d bytes: %v", n, len(payload), last)
		}
	}
	for _, other := range []uint8{0, batch + 1} {
		for _, err := range Changes(other, payload) {
			if !errors.Is(err, errBatchFormat) {
				t.Errorf("a record of type %d: %v", other, err)
			}
		}
		if err := NewMachine().Replay(1, other, payload); !errors.Is(err, errBatchFormat) {
			t.Errorf("replay of a record of type %d: %v", other, err)
		}
	}
}
