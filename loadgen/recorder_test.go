package loadgen

import "testing"

// TestLastAnswer: who looked at the clock first may take note last.
func TestLastAnswer(t *testing.T) {
	t.Parallel()
	r := newRecorder(0)
	r.answered(1, 20)
	r.answered(1, 10)
	if r.last != 20 {
		t.Errorf("the last answer came at %d, want 20", r.last)
	}
}
