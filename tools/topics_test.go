package tools

import (
	"hash/maphash"
	"testing"
)

// TestTopicsWithOneHash: topics that have a hash in common are told apart.
func TestTopicsWithOneHash(t *testing.T) {
	t.Parallel()
	set := newTopics[int](4)
	names := []string{"a", "b", "c"}
	for i, name := range names {
		if i > 0 { // as if it had that of the one before
			set.index[maphash.String(set.seed, name)] = set.index[maphash.String(set.seed, names[i-1])]
		}
		if v := set.find([]byte(name)); v != nil {
			t.Fatalf("%s is there before it was added: %d", name, *v)
		}
		set.add([]byte(name), i)
	}
	last := set.index[maphash.String(set.seed, "c")]
	for i, name := range names {
		set.index[maphash.String(set.seed, name)] = last
		if v := set.find([]byte(name)); v == nil || *v != i {
			t.Errorf("%s: %v, want %d", name, v, i)
		}
	}
}
