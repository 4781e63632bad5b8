package audit

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// TestFullDisk: lines that meet a full disk are lost, counted, and told of in the file once there
// is room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit")
		l := open(t, path, Options{})
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		must(t, err)
		must(t, l.out.replace(full))
		l.Write(Record{Event: Reset})
		l.Write(Record{Event: Delete})
		synctest.Wait() // until the queue has tried both
		if lost := l.LostLines(); lost != 2 {
			t.Fatalf("%d lines are said to be lost, want 2", lost)
		}
		must(t, l.Reopen())
		l.Write(Record{Event: Stop})
		closeAll(t, l)
		all := lines(t, path)
		if len(all) != 2 || all[0].Event != Lost || all[0].Lines != 2 || all[1].Event != Stop {
			t.Errorf("there is %+v, want that 2 are lost, and the last one", all)
		}
	})
}
