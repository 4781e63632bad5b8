package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"gcd/store"
	"gcd/tools"
)

// backupOf makes what the server sends for GCD.BACKUP: a dump of its own directory, read as gcd-tool reads that of a running server. What
// does not fit into memory, and a copy of the snapshot, is kept in the directory, in files without names, and nothing is written elsewhere. It takes no room that the log needs
// next, and rests (see rester).
func backupOf(dir string, segmentSize int64) func(ctx context.Context, w io.Writer, format string) error {
	return func(ctx context.Context, w io.Writer, format string) error {
		if err := roomForBackup(dir, segmentSize, freeSpace); err != nil {
			return err
		}
		out, err := tools.NewDumpWriter(w, format, false)
		if err != nil {
			return err
		}
		r := rester{now: time.Now, sleep: func(d time.Duration) {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
			case <-ctx.Done():
			}
		}}
		_, err = tools.Dump(ctx, dir, out, tools.DumpOptions{TempDir: dir, Rest: r.rest})
		return err
	}
}

// roomForBackup refuses a backup whose copy of the snapshot would take the room of the log's next two segments. free tells the bytes that are free where a
// directory is, if the system does.
func roomForBackup(dir string, segmentSize int64, free func(dir string) (int64, bool)) error {
	info, err := os.Stat(store.SnapshotPath(dir))
	if err != nil {
		return err
	}
	need := info.Size() + 2*segmentSize
	if room, ok := free(dir); ok && room < need {
		return fmt.Errorf("no room: the copy of the snapshot and two segments of the log take %d bytes, and %d are free in %s", need, room, dir)
	}
	return nil
}

// A rester makes a work rest for nine times as long as it worked, so that it takes a tenth of one processor. A backup is work for seconds, and a count may
// have to wait for the piece of it that is under way: so pieces are few, and much shorter than a busy server takes for an answer.
type rester struct {
	now     func() time.Time
	sleep   func(time.Duration)
	resumed time.Time // when the last rest ended; zero before the first
}

const (
	leastWork = 100 * time.Microsecond // less is gone on with
	restRatio = 9                      // rest : work
	longRest  = 10 * time.Millisecond  // the longest: the work may have waited itself, for a client
)

// rest is called between small pieces of the work.
func (r *rester) rest() {
	now := r.now()
	if r.resumed.IsZero() {
		r.resumed = now
	}
	worked := now.Sub(r.resumed)
	if worked < leastWork {
		return
	}
	r.sleep(min(restRatio*worked, longRest))
	r.resumed = r.now()
}
