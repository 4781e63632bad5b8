package server

import "testing"

func TestZeroOptions(t *testing.T) {
	t.Parallel()
	o := Options{}.withDefaults()
	if o.TCP != "127.0.0.1:5555" || o.UDP != "127.0.0.1:5555" || o.Dispatch != Pool || o.check() != nil {
		t.Errorf("the zero Options are %+v", o)
	}
	o = Options{UDP: "127.0.0.1:0"}.withDefaults()
	if o.TCP != "" {
		t.Errorf("TCP is %q, want off", o.TCP)
	}
}
