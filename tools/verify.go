package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gcd/store"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
	"gcd/wal"
)

// VerifyOptions say how a directory is verified. The zero value works.
type VerifyOptions struct {
	TempDir  string // where what does not fit into memory goes; empty: that of the system
	Rest     func() // nil or as in DumpOptions
	Progress ProgressFunc

	memory int // of collected topics, bytes; 0: verifyMemory
}

// verifyMemory is how much of the log's topics is collected before it goes to a temporary file, in
// bytes.
const verifyMemory = 24 << 20

// maxDamage is how many damages of one file are listed; the others are counted.
const maxDamage = 20

// A Damage is something wrong with a file.
type Damage struct {
	Offset int64  `json:"offset"`           // in the file, bytes
	Whole  bool   `json:"whole,omitempty"`  // it is about the file as a whole, and Offset is 0
	Record uint64 `json:"record,omitempty"` // index; 0 if it is about none
	Text   string `json:"text"`
	err    error
}

// A VerifiedFile is one file of the directory.
type VerifiedFile struct {
	Name    string   `json:"name"`              // in the directory
	Missing bool     `json:"missing,omitempty"` // it is not there, and should be
	Bytes   int64    `json:"bytes"`
	Used    int64    `json:"used"` // of them hold something
	Entries uint64   `json:"entries,omitempty"`
	Records uint64   `json:"records,omitempty"`
	First   uint64   `json:"first,omitempty"` // index of its first record
	Last    uint64   `json:"last,omitempty"`
	Damage  []Damage `json:"damage,omitempty"`
	Damages int      `json:"damages"` // all of them, the ones that Damage has no room for included
}

// Verified is what Verify found.
type Verified struct {
	Dir      string         `json:"dir"`
	Store    string         `json:"store"`
	State    string         `json:"state"` // as the snapshot says; empty without one
	Running  bool           `json:"running"`
	Topics   uint64         `json:"topics"` // in snapshot and log; of a log that is damaged none is counted
	Changes  uint64         `json:"changes"`
	First    uint64         `json:"first"` // record of the log; after Last if there is none
	Last     uint64         `json:"last"`
	Replay   uint64         `json:"replay"`
	Mark     string         `json:"mark"`    // what the log's mark is good for: sound, missing, and so on
	Durable  uint64         `json:"durable"` // record up to which the mark says that the log was durable; or 0
	Files    []VerifiedFile `json:"files"`
	Starts   bool           `json:"starts"`   // a server would start here
	Harmless bool           `json:"harmless"` // no sum depends on the damage, and Compact removes it
	Unproven []string       `json:"unproven"` // what no file can prove
}

// Err is the first damage, as an error of store or wal that names file and offset; nil if there is
// none.
func (v *Verified) Err() error {
	for _, f := range v.Files {
		for _, d := range f.Damage {
			return d.err
		}
	}
	return nil
}

// Verify reads everything in a store's directory and says what is wrong with each file. It checks
// every record's checksum and chain, the snapshot's pages, entries and digest, and that each
// counter is what the records lead to, as far back as they are kept. It changes nothing.
//
// Damage is in what is returned. The error says what keeps Verify from looking: store.ErrNoStore,
// or an error of the disk. Memory is bounded: what does not fit goes to temporary files.
func Verify(ctx context.Context, dir string, o VerifyOptions) (*Verified, error) {
	r, err := openDirView(ctx, dir, dirViewOptions{tempDir: o.TempDir, rest: o.Rest})
	if err != nil {
		return nil, err
	}
	if o.memory == 0 {
		o.memory = verifyMemory
	}
	v := &verifier{VerifyOptions: o, ctx: ctx, dirView: r,
		result: &Verified{Dir: dir, Running: r.running, Unproven: []string{}}}
	err = v.verify()
	if closeErr := r.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	return v.result, nil
}

// verifier is one Verify.
type verifier struct {
	VerifyOptions
	dirView
	ctx    context.Context
	result *Verified

	meta         *snapshot.Meta // nil: there is no snapshot that can be read
	snapshot     int            // place in result.Files; -1: none
	segments     map[uint64]int // number → place in result.Files
	log          *wal.Log       // nil: there is none that can be read
	mark         wal.Mark       // of the log
	newerEntries uint64         // of the snapshot, newer than its replay
	unproved     uint64         // topics whose sums no kept record can prove
	contradicted bool           // sound records or entries contradict each other
}

// file adds a file.
func (v *verifier) file(path string, size int64) int {
	name, err := filepath.Rel(v.dir, path)
	if err != nil {
		name = path
	}
	v.result.Files = append(v.result.Files, VerifiedFile{Name: name, Bytes: size})
	return len(v.result.Files) - 1
}

// damage notes an error as damage of a file. Errors that are not about what the file holds are
// returned.
func (v *verifier) damage(at int, err error) error {
	var e *wal.CorruptionError
	d := Damage{Text: err.Error(), err: err}
	switch {
	case errors.As(err, &e):
		d.Offset, d.Record, d.Whole, d.Text = e.Offset, e.Index, e.Whole(), e.Err.Error()
	case errors.Is(err, wal.ErrNotOurs), errors.Is(err, wal.ErrVersion):
		d.Whole = true
	default:
		return err
	}
	f := &v.result.Files[at]
	if f.Damages++; len(f.Damage) < maxDamage {
		f.Damage = append(f.Damage, d)
	}
	return nil
}

func (v *verifier) collecting() bytopic.Options {
	return bytopic.Options{Dir: v.TempDir, Memory: v.memory, Pause: v.pause}
}

func (v *verifier) unproven(format string, args ...any) {
	v.result.Unproven = append(v.result.Unproven, fmt.Sprintf(format, args...))
}

func (v *verifier) verify() error {
	if err := v.readSnapshot(); err != nil {
		return err
	}
	if err := v.readLog(); err != nil {
		return err
	}
	if v.snapshot < 0 && len(v.segments) == 0 && v.result.Err() == nil {
		return fmt.Errorf("%w: %s", store.ErrNoStore, v.dir)
	}
	if err := v.together(); err != nil {
		return err
	}
	if err := v.starts(); err != nil {
		return err
	}
	v.caveats()
	return nil
}

// readSnapshot checks the snapshot's pages, and what it says of itself.
func (v *verifier) readSnapshot() error {
	v.snapshot = -1
	path := store.SnapshotPath(v.dir)
	size, err := v.snapshotSize()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	v.snapshot = v.file(path, size)
	pages, err := (&snapshot.File{Path: path, Open: v.open, Rest: v.pause}).Check(nil)
	v.result.Files[v.snapshot].Used = pages.Used
	if err != nil {
		if err := v.damage(v.snapshot, err); err != nil {
			return err
		}
	}
	m, err := v.snapshotMeta()
	if err != nil {
		if len(v.result.Files[v.snapshot].Damage) > 0 {
			return nil // the damage is the reason
		}
		return v.damage(v.snapshot, err)
	}
	v.meta = &m
	v.result.Store, v.result.State = m.Store.String(), m.State.String()
	v.result.Topics, v.result.Replay = m.Count, m.Replay
	return nil
}

// readLog checks all segments, and all records of each.
func (v *verifier) readLog() error {
	v.segments = map[uint64]int{}
	v.result.First = 1
	o := v.logOptions()
	log, err := wal.Open(store.LogDir(v.dir), o)
	if err != nil && !refused(err) {
		return err
	}
	var id wal.ID
	switch {
	case err == nil:
		id = log.ID()
	case v.meta != nil:
		id = v.meta.Store
	}
	mark, markErr := wal.FindMark(store.LogDir(v.dir), id, o)
	if v.mark = mark; markErr != nil {
		return markErr
	}
	v.result.Mark, v.result.Durable = mark.State.String(), mark.Index
	if errors.Is(err, wal.ErrNoLog) {
		return nil
	}
	if err == nil {
		v.log = log
		v.result.Store, v.result.First, v.result.Last = log.ID().String(), log.First(), log.Last()
		for _, s := range log.Segments() {
			at := v.file(s.Path, s.Size)
			v.segments[s.Number] = at
			f := &v.result.Files[at]
			f.Used = s.Size // zeros are checked to be zeros
			if s.Last >= s.First {
				f.First, f.Last, f.Records = s.First, s.Last, s.Last-s.First+1
			}
		}
		return nil
	}
	found, surveyErr := wal.Survey(store.LogDir(v.dir), id, o, nil)
	if errors.Is(surveyErr, wal.ErrNoLog) { // all segments are gone, and the mark says that there were some
		at := v.file(store.LogDir(v.dir), 0)
		v.result.Files[at].Missing = true
		return v.damage(at, err)
	}
	if surveyErr != nil {
		return surveyErr
	}
	for _, s := range found {
		at := v.file(s.Path, s.Size)
		v.segments[s.Number] = at
		f := &v.result.Files[at]
		f.First, f.Last, f.Records, f.Used = s.First, s.Last, s.Records, s.Size
		v.result.Last = max(v.result.Last, s.Last)
		for _, damage := range s.Damage {
			if err := v.damage(at, damage); err != nil {
				return err
			}
		}
	}
	if v.result.Err() == nil { // what Open refuses is damage, whatever a survey makes of it
		return err
	}
	return nil
}

// logOptions are those that the log is read with.
func (v *verifier) logOptions() wal.Options {
	o := wal.Options{FS: v.fs, Ours: v.meta != nil}
	if v.meta != nil {
		o.Mark.Note = v.meta.Mark
	}
	return o
}

// together compares the snapshot with the log.
func (v *verifier) together() error {
	log := v.log
	if v.log != nil || len(v.segments) == 0 {
		m := v.meta
		if m == nil && v.snapshot >= 0 {
			return nil // it is damaged, and was said to be
		}
		if err := store.CheckTogether(v.dir, m, v.log); err != nil {
			if err := v.damage(v.fileOf(err), err); err != nil {
				return err
			}
			log = nil
		} else if err := v.states(len(v.result.Files) - 1); err != nil {
			return err
		}
	}
	if log == nil && v.meta == nil {
		return nil
	}
	c := newComparison(v, log)
	defer c.close()
	return c.run()
}

// fileOf is the place in the report of what an error of store.CheckTogether is about: a file, one
// that is missing, or the log as a whole.
func (v *verifier) fileOf(err error) int {
	var damage *wal.CorruptionError
	switch {
	case !errors.As(err, &damage), damage.Index != 0:
		return len(v.result.Files) - 1 // the last segment
	case damage.File == store.SnapshotPath(v.dir) && v.snapshot >= 0:
		return v.snapshot
	}
	at := v.file(damage.File, 0)
	f := &v.result.Files[at]
	f.Missing = v.log == nil || damage.File == store.SnapshotPath(v.dir)
	if !f.Missing && v.result.Last >= v.result.First {
		f.First, f.Last, f.Records = v.result.First, v.result.Last, v.result.Last-v.result.First+1
	}
	return at
}

// states checks what the snapshot says about how the last process ended.
func (v *verifier) states(at int) error {
	if v.meta == nil || v.log == nil || v.running {
		return nil
	}
	tail, last := v.log.Tail(), v.log.Last()
	switch {
	case v.meta.State == snapshot.StateCreating &&
		(last >= v.log.First() || v.meta.DurableAtLeast > 0 || v.meta.Count > 0):
		return v.damage(v.snapshot, &wal.CorruptionError{File: store.SnapshotPath(v.dir),
			Err: errors.New("it says that the store was never used, but there are records")})
	case v.meta.State != snapshot.StateClosed:
		return nil
	case v.meta.DurableAtLeast != last:
		return v.damage(v.snapshot, &wal.CorruptionError{File: store.SnapshotPath(v.dir),
			Err: fmt.Errorf("it says that the store was closed at record %d, but the log ends at %d",
				v.meta.DurableAtLeast, last)})
	case tail.Length > 0:
		return v.damage(at, &wal.CorruptionError{File: tail.File, Offset: tail.Offset, Index: last + 1,
			Err: fmt.Errorf("%d bytes after the last record are not zero, though the store was closed cleanly; they "+
				"hold nothing, and a start cuts them off", tail.Length)})
	}
	return nil
}

// starts finds out whether a server would start. Records that are kept only for history do not
// matter to it.
func (v *verifier) starts() error {
	if v.result.Err() == nil {
		v.result.Starts = true
		return nil
	}
	var covered uint64
	if v.snapshot >= 0 {
		if v.meta == nil {
			return nil
		}
		covered = v.meta.Replay
	}
	o := v.logOptions()
	o.Covered = covered
	log, err := wal.Open(store.LogDir(v.dir), o)
	if err != nil && !refused(err) {
		return err
	}
	if err != nil && !errors.Is(err, wal.ErrNoLog) || store.CheckTogether(v.dir, v.meta, log) != nil {
		return nil
	}
	if log == nil {
		v.result.Starts = true // it makes the log anew, since nothing was ever counted
		return nil
	}
	changes := newChangesByTopic(v.collecting())
	refusal, err := changes.refusal(log, covered, allOf(v.eachEntry), func(uint64, uint64) error {
		return v.ctx.Err()
	})
	var damage *wal.CorruptionError
	if errors.As(err, &damage) {
		refusal, err = err, nil
	}
	v.result.Starts = refusal == nil && err == nil
	v.result.Harmless = v.result.Starts && !v.contradicted
	return errors.Join(err, changes.Close(), log.Close())
}

// eachEntry calls each with the snapshot's entries, if there is one.
func (v *verifier) eachEntry(each func(snapshot.Entry) error) error {
	if v.meta == nil {
		return nil
	}
	_, err := v.readEntries(func(_ snapshot.Meta, e snapshot.Entry) error { return errors.Join(each(e), v.ctx.Err()) })
	return err
}

// caveats says what the files cannot prove.
func (v *verifier) caveats() {
	if v.running {
		v.unproven("another process has the directory, a server or a gcd-tool: what it wrote after record %d was "+
			"not read", v.result.Last)
	}
	if len(v.segments) > 0 {
		v.evidence()
	}
	if v.log == nil && len(v.segments) > 0 {
		v.unproven("the log is damaged, so its records were not compared with the snapshot")
		return
	}
	if v.log == nil {
		return
	}
	switch {
	case v.meta == nil && v.snapshot < 0:
		v.unproven("there is no snapshot, and so no witness of how far the log reached")
	case v.meta == nil || v.meta.State != snapshot.StateOpen || v.running:
	case v.mark.State == wal.MarkSound && !v.mark.Partial && !v.outrun():
		v.unproven("the store was not closed: if it was the power that failed, up to a second of records after %d "+
			"may be gone without a trace; if the process was killed none is, for its mark says that the log was "+
			"durable up to record %d (%d bytes are after it)",
			v.result.Last, v.mark.Index, v.log.Tail().Length)
	default:
		v.unproven("the store was not closed: damage to the records after %d would look like a log that ended "+
			"there, or like a write that was under way (%d bytes)", v.result.Last, v.log.Tail().Length)
	}
	if v.newerEntries > 0 {
		v.unproven("entries of the snapshot that are newer than record %d, up to which it is said to be whole: %d; "+
			"it was interrupted, or the number is too low, which costs a start time and no sum",
			v.result.Replay, v.newerEntries)
	}
	if v.unproved > 0 {
		v.unproven("the log begins at record %d, and so sums that rest on the snapshot and its digest alone: %d",
			v.log.First(), v.unproved)
	}
	v.unproven("that the whole directory was put back to an older state cannot be noticed")
}

// outrun says that the log goes on further after the mark than a killed process leaves it. With a
// sync for each record, such a mark lacks one record at most: the one that was being written.
func (v *verifier) outrun() bool {
	return !v.running && v.log != nil && v.mark.SyncEach && (v.meta == nil || v.meta.State == snapshot.StateOpen) &&
		v.log.Last() > v.mark.Index+1
}

// evidence says why the mark does not prove how far the log reached.
func (v *verifier) evidence() {
	closed := v.meta != nil && v.meta.State == snapshot.StateClosed
	if v.mark.Partial {
		v.unproven("a part of the mark of how far the log was durable is damaged, as a power loss may leave it: it "+
			"is no evidence of records after %d", v.mark.Index)
	}
	switch v.mark.State {
	case wal.MarkSound:
		if v.outrun() {
			v.unproven("the mark of how far the log was durable says record %d, but the log goes on to record %d: "+
				"the power was lost, the mark could not be written, or an older one was put here; it is no evidence "+
				"of what came later", v.mark.Index, v.log.Last())
		}
		if v.log != nil && closed && v.mark.Index != v.log.Last() {
			v.unproven("the mark of how far the log was durable says record %d, but the store was closed at record "+
				"%d: it could not be written then", v.mark.Index, v.log.Last())
		}
		return
	case wal.MarkStale:
		why := "is older than the last run, which was one of an older gcd, or could not write it"
		if v.meta == nil {
			why = "may be older than the last run, since no snapshot says otherwise"
		}
		v.unproven("the mark of how far the log was durable, record %d, %s: that holds, but it is no evidence of "+
			"what came later", v.mark.Index, why)
	case wal.MarkUnreadable:
		v.unproven("the mark of how far the log was durable cannot be read: %v", v.mark.Err)
	default:
		v.unproven("the mark of how far the log was durable is %s: it is no evidence that the log is whole to its end",
			v.mark.State)
	}
}

func (r *dirView) snapshotSize() (int64, error) {
	if r.open == nil {
		info, err := os.Stat(store.SnapshotPath(r.dir))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	f, err := r.open()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// segmentFile is the place in the report of the segment that holds a record.
func (v *verifier) segmentFile(index uint64) int {
	segments := v.log.Segments()
	at, _ := slices.BinarySearchFunc(segments, index, func(s wal.SegmentInfo, index uint64) int {
		if s.Last < index {
			return -1
		}
		return 1
	})
	return v.segments[segments[min(at, len(segments)-1)].Number]
}
