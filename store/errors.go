package store

import (
	"errors"

	"gcd/internal/dirlock"
	"gcd/internal/vfs"
)

// The errors of Open, beside *wal.CorruptionError, wal.ErrNotOurs and wal.ErrVersion.
var (
	// ErrLocked says that a server has the directory: another try does not help.
	ErrLocked = dirlock.ErrLocked
	// ErrBusy says that a tool has the directory, and had it for as long as Options.LockWait: it
	// ends by itself.
	ErrBusy = dirlock.ErrBusy
	// ErrMoved says that the directory, or the log in it, is not the one any more that was opened:
	// removed, renamed, or something else has its name. It is also the error of a store that this
	// has stopped.
	ErrMoved = dirlock.ErrMoved
	// ErrNoStore says that a directory holds no store: neither a snapshot nor a log.
	ErrNoStore = errors.New("store: there is no store here")
	// ErrUnfinished says that there is no store in the directory, while beside it stands what a
	// restore or a repair left there, or put there.
	ErrUnfinished = errors.New("store: the directory was put aside, or not put back")
	// ErrNotRegular says that what has the name of a store's file is none: a directory, a named
	// pipe, a socket or a device.
	ErrNotRegular = vfs.ErrNotRegular
)
