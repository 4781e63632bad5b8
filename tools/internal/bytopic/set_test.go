package bytopic

import "testing"

// TestTopicsWithOneHash: topics that have a hash in common are told apart.
func TestTopicsWithOneHash(t *testing.T) {
	t.Parallel()
	const hash = 7
	s := newSet[int](4)
	names := []string{"a", "b", "c"}
	for i, name := range names {
		if topic := s.find(hash, []byte(name)); topic != nil {
			t.Fatalf("%s is there before it was added: %v", name, *topic)
		}
		s.insert(hash, []byte(name), i)
	}
	for i, name := range names {
		if topic := s.find(hash, []byte(name)); topic == nil || s.values[topic.first].v != i {
			t.Errorf("%s: %v, want the value %d", name, topic, i)
		}
	}
}
