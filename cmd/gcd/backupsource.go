package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"gcd/internal/priority"
	"gcd/store"
	"gcd/tools"
)

// backupOf makes what the server sends for GCD.BACKUP: a dump of its own directory, read as gcd-tool reads that of a running server. What
// does not fit into memory, and a copy of the snapshot, is kept in the directory, in files without names, and nothing is written elsewhere. It takes no room that the log needs
// next, and rests.
func backupOf(dir string, segmentSize int64) func(ctx context.Context, w io.Writer, format string) error {
	return func(ctx context.Context, w io.Writer, format string) error {
		if err := roomForBackup(dir, segmentSize, freeSpace); err != nil {
			return err
		}
		out, err := tools.NewDumpWriter(w, format, false)
		if err != nil {
			return err
		}
		_, err = tools.Dump(ctx, dir, out, tools.DumpOptions{TempDir: dir, Rest: priority.NewRester(ctx).Rest})
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
