package cmdline

import "testing"

func TestByteSize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want int64 // -1: refused
		back string
	}{
		{"0", 0, "0"},
		{"4095", 4095, "4095"},
		{"4096", 4096, "4KiB"},
		{"1536KiB", 1536 << 10, "1536KiB"},
		{"1024MiB", 1 << 30, "1GiB"},
		{"8589934591GiB", 8589934591 << 30, "8589934591GiB"},
		{"8589934592GiB", -1, ""},
		{"-1", -1, ""}, {"", -1, ""}, {"MiB", -1, ""}, {"1.5MiB", -1, ""}, {"1MB", -1, ""}, {"1 MiB", -1, ""},
		{"0x10", -1, ""},
	} {
		var b ByteSize
		err := b.Set(test.text)
		if test.want < 0 {
			if err == nil {
				t.Errorf("%q was taken as %d", test.text, b)
			}
			continue
		}
		if err != nil || int64(b) != test.want || b.String() != test.back {
			t.Errorf("%q: %d, %q, %v; want %d, %q", test.text, b, b.String(), err, test.want, test.back)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	candidates := []string{"serve", "count", "reset", "--addr"}
	for typed, want := range map[string]string{
		"serv": "; did you mean serve?", "cuont": "; did you mean count?", "rest": "; did you mean reset?",
		"adr": "; did you mean --addr?",
		"":    "", "c": "", "xy": "", "frobnicate": "",
	} {
		if got := DidYouMean(typed, candidates); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}
