package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"

	"gcd/internal/throttle"
	"gcd/internal/vfs"
	"gcd/store"
	"gcd/tools"
)

// backupOf makes what the server sends for GCD.BACKUP: a dump of its own directory, read as
// gcd-tool reads that of a running server. A copy of the snapshot, and what does not fit into
// memory, is kept in tempDir (if that is empty, in the directory), in files without names; nothing
// is written elsewhere. It takes no room that the log needs next, and pauses so that it does not
// slow the server down.
func backupOf(dir, tempDir string, segmentSize int64) func(ctx context.Context, w io.Writer, format string) error {
	return func(ctx context.Context, w io.Writer, format string) error {
		if err := roomForBackup(dir, tempDir, segmentSize, vfs.Free); err != nil {
			return err
		}
		out, err := tools.NewDumpWriter(w, format, false)
		if err != nil {
			return err
		}
		_, err = tools.Dump(ctx, dir, out,
			tools.DumpOptions{TempDir: cmp.Or(tempDir, dir), Rest: throttle.New(ctx).Rest})
		return err
	}
}

// roomForBackup refuses a backup whose copy of the snapshot does not fit into tempDir. Where
// tempDir is empty, and the copy is beside the log, it leaves as much room again for the log, but
// not more than two more segments take. free returns how many bytes are free where a directory is,
// if the system says so.
func roomForBackup(dir, tempDir string, segmentSize int64, free func(dir string) (int64, bool)) error {
	info, err := os.Stat(store.SnapshotPath(dir))
	if err != nil {
		return err
	}
	need, where := info.Size(), tempDir
	if tempDir == "" {
		need, where = need+min(need, 2*segmentSize), dir
	}
	if room, ok := free(where); ok && room < need {
		return fmt.Errorf("no room: the copy of the snapshot needs %d bytes, and %d are free in %s; gcd serve "+
			"--temp-dir can name another place for it", need, room, where)
	}
	return nil
}
