package main

import (
	"testing"
	"time"

	"gcd/internal/cmdline"
	"gcd/store"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]store.Retain{
		"0":              {},
		"7d":             {Age: 7 * cmdline.Day},
		"36h":            {Age: 36 * time.Hour},
		"90m":            {Age: 90 * time.Minute},
		"10GiB":          {Bytes: 10 << 30},
		"64KiB":          {Bytes: 65536},
		"7d,10GiB":       {Age: 7 * cmdline.Day, Bytes: 10 << 30},
		"512MiB,1h30m0s": {Age: 90 * time.Minute, Bytes: 512 << 20},
		"106751d":        {Age: 106751 * cmdline.Day},
	} {
		r := retention{Age: 1, Bytes: 1}
		if err := r.Set(value); err != nil || store.Retain(r) != want {
			t.Errorf("%s: %+v, %v; want %+v", value, r, err, want)
		}
		var again retention
		if err := again.Set(r.String()); err != nil || again != r {
			t.Errorf("%s is written as %s, which is read as %+v, %v", value, r.String(), again, err)
		}
	}
	for _, value := range []string{"", " ", "d", "-7d", "7d,7d", "1GiB,1GiB", "7d,", ",", "7d,0", "0,0", "0d", "0s",
		"-1h", "1.5d", "106752d", "18446744073709551616d",
		"4294967295d", "7 d", "7D", "1GB", "99999999999GiB", "7d,1GiB,1h", "forever", "7", "65536", "7d,7", "1"} {
		r := retention{Age: 1}
		if err := r.Set(value); err == nil || r != (retention{Age: 1}) {
			t.Errorf("%q: %+v, %v; want it refused and nothing changed", value, r, err)
		}
	}
}
