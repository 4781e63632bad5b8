package store

import (
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// SyncMode says when a batch is synced.
type SyncMode string

const (
	// SyncAlways syncs each batch before its ops have their outcome. The default.
	SyncAlways SyncMode = "always"
	// SyncInterval gives ops their outcome when they are written, and syncs every
	// Options.SyncInterval: a power loss can take back what was acknowledged since the last sync,
	// and values are then handed out again.
	SyncInterval SyncMode = "interval"
)

// Options configure a Store. The zero value works.
type Options struct {
	Sync         SyncMode      // default SyncAlways
	SyncInterval time.Duration // for SyncInterval mode; default 1 s

	// A snapshot is taken when SnapshotInterval has passed since the last one and something
	// changed, and when the log grew by SnapshotBytes. Defaults: 5 minutes and 128 MiB. Negative:
	// never for that reason.
	SnapshotInterval time.Duration
	SnapshotBytes    int64

	// Retain is what is kept of the log though recovery does not need it.
	Retain Retain

	MaxTopics   int // default 16,777,216; a topic takes about 55 bytes and its name
	MaxTopicLen int // bytes; default and most 65,535; longer topics that are there already can be read

	// SegmentSize is that of the log's files, in bytes, a multiple of 4,096; default 64 MiB. Below
	// 256 KiB the longest topics do not fit into a record and are refused as too long.
	SegmentSize int64

	// NoCreate has Open refuse, with ErrNoStore, where there is no store yet.
	NoCreate bool
	// LockWait is how long Open waits for a tool that has the directory. Default 10 s; negative:
	// not at all. For another server it never waits.
	LockWait time.Duration
	// Locked, if set, is called once, on Open's goroutine, when the directory is locked and before
	// any file of it is read. An error of it ends Open, and the lock is given back.
	Locked func() error

	// Logger: default none. What it writes to must not block, for the doors and the commit would
	// wait for it.
	Logger hclog.Logger
	// Progress, if set, is called now and then while a long recovery runs, on Open's goroutine.
	Progress func(Progress)

	// Reserve keeps a file in the directory that holds the room for one snapshot, so that the log
	// cannot take it. It is made once the store is open.
	Reserve bool
	// NoRoom, if set, is called on Open's goroutine when a start has something to write and the
	// disk has no room for it. It may wait; nil has the start try again, an error ends Open. If it
	// is not set Open ends with the disk's error.
	NoRoom func(error) error

	fs vfs.FS // of the log; default the OS
	// of what is in the store's directory beside the log; default the OS
	files     vfs.FS
	free      func(dir string) (bytes int64, known bool) // default vfs.Free
	logDir    string                                     // default: wal in the store's directory
	roomRetry time.Duration                              // the longest pause between two looks for room; default 5 s
	now       func() time.Time
	hooks     snapshot.Hooks // of the snapshot file; with NoSync the reserve is not synced either
	closing   func(*Store)   // all is written, and the directory is still the store's; for tests
	marks     time.Duration  // between two syncs of the mark; default markInterval
}

// Progress is how far a recovery is.
type Progress struct {
	Phase       string // "pages" (of the snapshot's file), "snapshot" (entries) or "log" (records)
	Done, Total uint64
}

func (o Options) withDefaults() Options {
	if o.Sync == "" {
		o.Sync = SyncAlways
	}
	if o.SyncInterval <= 0 {
		o.SyncInterval = time.Second
	}
	if o.SnapshotInterval == 0 {
		o.SnapshotInterval = 5 * time.Minute
	}
	if o.SnapshotBytes == 0 {
		o.SnapshotBytes = 128 << 20
	}
	if o.MaxTopics <= 0 {
		o.MaxTopics = 1 << 24
	}
	if o.MaxTopicLen <= 0 || o.MaxTopicLen > core.MaxTopicLen {
		o.MaxTopicLen = core.MaxTopicLen
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = wal.DefaultSegmentSize
	}
	if o.LockWait == 0 {
		o.LockWait = 10 * time.Second
	}
	if o.Locked == nil {
		o.Locked = func() error { return nil }
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.fs == nil {
		o.fs = vfs.OS{}
	}
	if o.files == nil {
		o.files = vfs.OS{}
	}
	if o.free == nil {
		o.free = vfs.Free
	}
	if o.roomRetry == 0 {
		o.roomRetry = 5 * time.Second
	}
	if o.marks <= 0 {
		o.marks = markInterval
	}
	if o.closing == nil {
		o.closing = func(*Store) {}
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}
