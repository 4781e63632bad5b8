package cmdline

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestMeterPlain: where there is no terminal there is a line every five seconds, about the phase
// that is under way, and none after the end.
func TestMeterPlain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testMeterPlain)
}

func testMeterPlain(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(0, 0)
	m := NewMeter(&b, func() time.Time { return now })
	for _, step := range []struct {
		after time.Duration
		phase string
		done  uint64
		total uint64
		unit  string
		says  string
	}{
		{0, "reading", 50, 0, "records", ""},
		{4999 * time.Millisecond, "reading", 90, 0, "records", ""},
		{time.Millisecond, "reading", 100, 0, "records", "reading: 100 records, 10/s\n"},
		{4 * time.Second, "reading", 200, 0, "records", ""},
		{time.Second, "reading", 300, 0, "records", "reading: 300 records, 25/s\n"},
		{3 * time.Second, "writing", 1, 1000, "bytes", ""},
		{4 * time.Second, "writing", 100, 1000, "bytes", ""}, // 7 s after the last line, 4 s into the phase
		{time.Second, "writing", 200, 1000, "bytes", "writing: 200 bytes of 1000, 40/s, 20s left\n"},
		{5 * time.Second, "writing", 1000, 1000, "bytes", "writing: 1000 bytes of 1000, 100/s\n"},
	} {
		now = now.Add(step.after)
		b.Reset()
		m.Report(step.phase, step.done, step.total, step.unit)
		if synctest.Wait(); b.String() != step.says {
			t.Errorf("%v: it says %q", step, b.String())
		}
	}
	b.Reset()
	m.End(nil)
	m.End(nil)
	now = now.Add(time.Hour)
	m.Report("writing", 1000, 1000, "bytes")
	if b.Len() > 0 {
		t.Errorf("after the end it says %q", b.String())
	}
	if w := io.Writer(&b); m.Data(w) != w {
		t.Error("data is not written as it is")
	}
}

// TestMeterStuck: a work does not wait for a terminal that is stopped, or for a pipe that nobody
// reads.
func TestMeterStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		now, began := time.Unix(0, 0), time.Now()
		m := NewMeter(w, func() time.Time { return now })
		for n := range uint64(100) {
			m.Report("reading", n, 0, "records")
			now = now.Add(time.Minute)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the work waited %v", took)
		}
		m.End(nil)
		if took := time.Since(began); took != shownTime {
			t.Errorf("its end waited %v, want %v", took, shownTime)
		}
		r.Close()
	})
}
