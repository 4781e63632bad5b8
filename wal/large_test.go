package wal

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

// The tests of this file run over the sizes at which the log does something else: a sector, a page,
// the pieces of a MiB in which it writes zeros, the window through which it reads, the longest
// record. Segments are as large as they are in earnest, and sparse.

// largeSegments are sizes of segments, in bytes.
func largeSegments() []int64 {
	if thin.On() {
		return []int64{64 << 10, 4 << 20}
	}
	return []int64{64 << 10, 4 << 20, 64 << 20}
}

// sparse makes and starts a log whose first segment has all of SegmentSize at once.
func sparse(t testing.TB, o Options) *Log {
	t.Helper()
	if err := o.FS.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	if o.Mark.Keep {
		createMark(testDir, testID, 1, o)
	}
	begun(t, o, segmentHeader{format: knownFormats().first(), store: testID, number: 1, first: 1, size: o.SegmentSize})
	return start(t, o)
}

// begun makes an empty segment that is durable, of which no zeros are written.
func begun(t testing.TB, o Options, h segmentHeader) {
	t.Helper()
	f, err := o.FS.Create(path.Join(testDir, segmentName(h.number)))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(writeAt(f, h.encode(), 0), writeAt(f, []byte{0}, h.size-1), f.Sync(), f.Close())
	if err = errors.Join(err, o.FS.SyncDir(testDir)); err != nil {
		t.Fatal(err)
	}
}

// largeOptions are those of a log with large segments.
func largeOptions(disk vfs.FS, segment int64, marked bool) Options {
	o := testOptions(disk)
	if marked {
		o = markedOptions(disk, true)
	}
	o.SegmentSize = segment
	return o
}

// sizesUpTo are lengths of payloads around each constant, at most longest bytes.
func sizesUpTo(longest int) []int {
	if thin.On() {
		return []int{1, 9000, longest}
	}
	sizes := []int{1, longest - 1, longest}
	for _, c := range []int{512, 4096, 8192, 64 << 10, 1 << 20} {
		for _, size := range []int{c - recordHeaderSize - segmentHeaderSize, c - recordHeaderSize, c, c + 1} {
			if size < longest {
				sizes = append(sizes, size)
			}
		}
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// distancesUpTo are multiples of 8 around each constant, from the smallest record to the given one.
// In the largest segments a few are tried: it takes long to read them.
func distancesUpTo(furthest int64) []int64 {
	if thin.On() {
		return []int64{smallestRecord, 4096 + alignment, furthest}
	}
	distances := []int64{smallestRecord, furthest}
	constants := []int64{512, 4096, 64 << 10, 1 << 20, recordSize(maxPayload)}
	constants = append(constants, windowSize, 2*windowSize, 8<<20, 32<<20)
	for _, c := range constants {
		for _, d := range []int64{c - alignment, c, c + alignment} {
			if d < furthest {
				distances = append(distances, d&^(alignment-1))
			}
		}
	}
	slices.Sort(distances)
	if furthest > 4<<20 {
		return []int64{smallestRecord, windowSize + alignment, 8 << 20, furthest}
	}
	return slices.Compact(distances)
}

// TestEverySizeIsDurable: whatever a record's length is, it is there after a power loss after its
// sync, alone and with others that were appended before one sync.
func TestEverySizeIsDurable(t *testing.T) {
	t.Parallel()
	for _, segment := range largeSegments() {
		for _, marked := range []bool{false, true} {
			t.Run(fmt.Sprintf("segments of %d bytes, with a mark %t", segment, marked), func(t *testing.T) {
				t.Parallel()
				var disk *vfstest.Mem
				var l *Log
				var payloads [][]byte
				begin := func() {
					disk, payloads = vfstest.NewMem(), nil
					l = sparse(t, largeOptions(disk, segment, marked))
				}
				look := func(size int) {
					t.Helper()
					o := largeOptions(disk.Crash(vfstest.Crash{}), segment, marked)
					left, err := Open(testDir, o)
					if err != nil {
						t.Fatalf("after a record of %d bytes: %v", size, err)
					}
					if left.Last() != uint64(len(payloads)) || l.Durable() != left.Last() {
						t.Errorf("after a record of %d bytes the log ends with %d, %d were called durable",
							size, left.Last(), l.Durable())
					}
					if err := compare(left, payloads); err != nil {
						t.Errorf("after a record of %d bytes: %v", size, err)
					}
				}
				begin()
				sizes := sizesUpTo(l.MaxRecord())
				if segment > 4<<20 {
					sizes = []int{1, 9000, 1<<20 - 1, l.MaxRecord()}
				}
				for _, size := range sizes { // as the first one
					begin()
					payloads = append(payloads, appendSizes(t, l, size)...)
					look(size)
				}
				begin()
				for _, size := range sizes {
					payloads = append(payloads, appendSizes(t, l, size)...)
					look(size)
				}
				if marked { // which says that each record is synced
					return
				}
				for range 3 {
					for _, size := range []int{l.MaxRecord(), 1, l.MaxRecord() - 1} {
						payloads = append(payloads, payload(l.Last()+1, size))
						if _, err := l.Append(typeBatch, payloads[l.Last()]); err != nil {
							t.Fatal(err)
						}
					}
					if err := l.Sync(); err != nil {
						t.Fatal(err)
					}
					look(l.MaxRecord())
				}
			})
		}
	}
}

// TestTailOfEverySize: what comes after the last record, however long, is zeros on the disk when a
// start returns.
func TestTailOfEverySize(t *testing.T) {
	t.Parallel()
	for _, segment := range largeSegments()[:2] {
		t.Run(fmt.Sprintf("segments of %d bytes", segment), func(t *testing.T) {
			t.Parallel()
			disk := vfstest.NewMem()
			l := sparse(t, largeOptions(disk, segment, false))
			payloads := appendSizes(t, l, 100)
			intact := disk.Clone()
			for _, length := range append(distancesUpTo(segment-l.off), 1, 7) {
				disk := intact.Clone()
				o := largeOptions(disk, segment, false)
				f, err := disk.Open(segment1)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(writeAt(f, bytes.Repeat([]byte{0x5a}, int(length)), l.off), f.Sync(),
					f.Close()); err != nil {
					t.Fatal(err)
				}
				second := start(t, o)
				if want := (length + alignment - 1) &^ (alignment - 1); second.Tail().Length != want {
					t.Errorf("a tail of %d bytes is one of %d, want %d", length, second.Tail().Length, want)
				}
				o.FS = disk.Crash(vfstest.Crash{})
				third, err := Open(testDir, o)
				if err != nil {
					t.Fatal(err)
				}
				if third.Tail().Length != 0 || third.Last() != 1 {
					t.Errorf("of a tail of %d bytes %d are left, after record %d", length, third.Tail().Length,
						third.Last())
				}
				if err := compare(third, payloads); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestUnsyncedTailOfEverySize: records that the system shows and the disk does not have, however
// many bytes they are, are on the disk when a start returns.
func TestUnsyncedTailOfEverySize(t *testing.T) {
	t.Parallel()
	for _, segment := range largeSegments()[:2] {
		for _, tail := range []struct{ records, size int }{
			{1, 1}, {1, 9000}, {1, 1 << 20}, {2, 1<<19 - recordHeaderSize}, {2, 1 << 20}, {3, 1<<20 - 5},
			{1200, 1000}, {2300, 1000},
		} {
			t.Run(fmt.Sprintf("segments of %d bytes, %d records of %d", segment, tail.records, tail.size),
				func(t *testing.T) {
					t.Parallel()
					disk := vfstest.NewMem()
					o := largeOptions(disk, segment, false)
					l := sparse(t, o)
					payloads := appendSizes(t, l, 100)
					for range tail.records {
						p := payload(l.Last()+1, min(tail.size, l.MaxRecord()))
						if l.off+recordSize(len(p)) > segment { // a rotation syncs
							break
						}
						payloads = append(payloads, p)
						if _, err := l.Append(typeBatch, p); err != nil {
							t.Fatal(err)
						}
					}
					if err := disk.FailSync(segment1); err != nil {
						t.Fatal(err)
					}
					start(t, o)
					o.FS = disk.Crash(vfstest.Crash{})
					left, err := Open(testDir, o)
					if err != nil {
						t.Fatal(err)
					}
					if left.Last() != uint64(len(payloads)) {
						t.Errorf("the log ends with record %d, a start called %d durable", left.Last(), len(payloads))
					}
					if err := compare(left, payloads); err != nil {
						t.Error(err)
					}
				})
		}
	}
}

// refusedByAll checks that every reader calls the log in dir damaged there.
func refusedByAll(t *testing.T, what string, o Options, file string, offset int64, index uint64) {
	t.Helper()
	_, opened := Open(testDir, o)
	var scanned error
	for _, err := range Scan(testDir, o) {
		scanned = err
	}
	found, err := Survey(testDir, ID{}, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	var surveyed error
	for _, s := range found {
		if surveyed == nil && len(s.Damage) > 0 {
			surveyed = s.Damage[0]
		}
	}
	for reader, err := range map[string]error{"Open": opened, "Scan": scanned, "Survey": surveyed} {
		var damage *CorruptionError
		if !errors.As(err, &damage) {
			t.Errorf("%s: %s says %v, want damage", what, reader, err)
		} else if damage.File != file || damage.Offset != offset || damage.Index != index {
			t.Errorf("%s: %s says %v; want %s, offset %d, record %d", what, reader, err, file, offset, index)
		}
	}
}

// TestEvidenceAtEveryDistance: a record that calls a missing one durable is found however far
// after it is, and whatever is in between.
func TestEvidenceAtEveryDistance(t *testing.T) {
	t.Parallel()
	for _, segment := range largeSegments() {
		for _, between := range []byte{0, 0x5a} {
			t.Run(fmt.Sprintf("segments of %d bytes, bytes %#x between", segment, between), func(t *testing.T) {
				t.Parallel()
				disk := vfstest.NewMem()
				o := largeOptions(disk, segment, false)
				l := sparse(t, o)
				appendSizes(t, l, 100)
				far := segment - smallestRecord - l.off
				if between != 0 {
					far = min(far, 3*windowSize)
				}
				for _, distance := range distancesUpTo(far) {
					o.FS = disk.Clone()
					f, err := o.FS.Open(segment1)
					if err != nil {
						t.Fatal(err)
					}
					b := make([]byte, smallestRecord)
					encodeRecord(b, typeBatch, l.seed, 0, 3, 2, 0, []byte("x"))
					err = writeAt(f, b, l.off+distance)
					if between != 0 {
						err = errors.Join(err, writeAt(f, bytes.Repeat([]byte{between}, int(distance)), l.off))
					}
					if err != nil {
						t.Fatal(err)
					}
					refusedByAll(t, fmt.Sprintf("%d bytes after it", distance), o, segment1, l.off, 2)
				}
			})
		}
	}
}

// TestSecondRecordAtEveryDistance: where each record was synced before the next, whatever comes
// after the one that may be torn is damage, and nothing within it is.
func TestSecondRecordAtEveryDistance(t *testing.T) {
	t.Parallel()
	for _, segment := range largeSegments() {
		t.Run(fmt.Sprintf("segments of %d bytes", segment), func(t *testing.T) {
			t.Parallel()
			disk := vfstest.NewMem()
			o := largeOptions(disk, segment, true)
			l := sparse(t, o)
			appendSizes(t, l, 100)
			if l.TurnMark() {
				l.SyncMark()
			}
			lengths := append([]int{0}, sizesUpTo(l.MaxRecord())...) // 0: it has no header
			for _, length := range lengths {
				one := recordSize(length)
				if length == 0 {
					one = recordSize(maxPayload)
				}
				last := segment - l.off - alignment
				if segment > 4<<20 && length > 0 { // one that has a header is as in smaller ones
					continue
				}
				for _, at := range []int64{one - alignment, one, one + 4096, one + 64<<10, one + 1<<20,
					one + windowSize, last} {
					if at < recordHeaderSize || l.off+at >= segment {
						continue
					}
					o.FS = disk.Clone()
					f, err := o.FS.Open(segment1)
					if err != nil {
						t.Fatal(err)
					}
					b := make([]byte, recordSize(length))
					if length > 0 {
						encodeRecord(b, typeBatch, l.seed, l.link, 2, 1, 0, payload(2, length))
						b = b[:recordHeaderSize]
					} else {
						b[0] = 1
					}
					if err := errors.Join(writeAt(f, b, l.off), writeAt(f, []byte{1}, l.off+at)); err != nil {
						t.Fatal(err)
					}
					what := fmt.Sprintf("a record of %d bytes, something at %d", length, at)
					if at >= one {
						refusedByAll(t, what, o, segment1, l.off, 2)
					} else if left, err := Open(testDir, o); err != nil || left.Last() != 1 {
						t.Errorf("%s: the first record was not found whole: %v", what, err)
					}
				}
			}
		})
	}
}

// TestSealedAtEveryDistance: after the last record of a segment that has a next one there is
// nothing, to its last byte.
func TestSealedAtEveryDistance(t *testing.T) {
	t.Parallel()
	for _, segment := range largeSegments() {
		t.Run(fmt.Sprintf("segments of %d bytes", segment), func(t *testing.T) {
			t.Parallel()
			disk := vfstest.NewMem()
			o := largeOptions(disk, segment, false)
			l := sparse(t, o)
			appendSizes(t, l, 100)
			begun(t, o, segmentHeader{format: l.current.format, store: testID, number: 2, first: 2, size: segment,
				previous: l.link})
			if left, err := Open(testDir, o); err != nil || left.Last() != 1 {
				t.Fatalf("without damage: %v", err)
			}
			for _, distance := range append(distancesUpTo(segment-l.off-alignment), 0) {
				o.FS = disk.Clone()
				f, err := o.FS.Open(segment1)
				if err != nil {
					t.Fatal(err)
				}
				if err := writeAt(f, []byte{1}, l.off+distance+alignment-1); err != nil {
					t.Fatal(err)
				}
				refusedByAll(t, fmt.Sprintf("something %d bytes after it", distance), o, segment1, l.off, 2)
			}
		})
	}
}

// TestSurveyAfterEverySize: after a damaged record of any length every other one is found.
func TestSurveyAfterEverySize(t *testing.T) {
	t.Parallel()
	for _, segment := range largeSegments()[:2] {
		t.Run(fmt.Sprintf("segments of %d bytes", segment), func(t *testing.T) {
			t.Parallel()
			disk := vfstest.NewMem()
			o := largeOptions(disk, segment, false)
			l := sparse(t, o)
			var payloads [][]byte
			var places []Record
			for _, size := range sizesUpTo(l.MaxRecord()) {
				payloads = append(payloads, appendSizes(t, l, size, 10)...)
			}
			for rec, err := range l.Records(1) {
				if err != nil {
					t.Fatal(err)
				}
				rec.Payload = nil
				places = append(places, rec)
			}
			for i := 0; i < len(places)-2; i += 2 {
				for what, damage := range map[string]func(f vfs.File) error{
					"header": func(f vfs.File) error { return writeAt(f, []byte{0xff}, places[i].Offset+9) },
					"payload": func(f vfs.File) error {
						return writeAt(f, []byte{0},
							places[i].Offset+recordHeaderSize)
					},
					"zeros": func(f vfs.File) error {
						return writeAt(f, make([]byte, recordSize(len(payloads[i]))), places[i].Offset)
					},
				} {
					o.FS = disk.Clone()
					f, err := o.FS.Open(path.Join(testDir, segmentName(places[i].Segment)))
					if err != nil {
						t.Fatal(err)
					}
					if err := damage(f); err != nil {
						t.Fatal(err)
					}
					var left [][]byte
					_, err = Survey(testDir, ID{}, o, func(r Record, _ bool) error {
						left = append(left, bytes.Clone(r.Payload))
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					want := slices.Concat(payloads[:i], payloads[i+1:])
					if !slices.EqualFunc(left, want, bytes.Equal) {
						t.Errorf("%s of a record of %d bytes: %d others are found, want %d", what,
							len(payloads[i]), len(left), len(want))
					}
				}
			}
		})
	}
}

// TestCrashOverSizes cuts the power at the operations of a run with records of all lengths, of
// which up to 3 MiB are not synced, in segments of all sizes.
func TestCrashOverSizes(t *testing.T) {
	t.Parallel()
	for _, segment := range largeSegments() {
		for _, marked := range []bool{false, true} {
			if marked && segment > 4<<20 {
				continue
			}
			t.Run(fmt.Sprintf("segments of %d bytes, with a mark %t", segment, marked), func(t *testing.T) {
				t.Parallel()
				h := &history{marked: marked, each: marked, segment: segment}
				disk, points, begun := vfstest.NewMem(), 0, false
				fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
					spare := path.Base(op.Name) == spareName && (op.Kind == vfstest.KindWrite ||
						op.Kind == vfstest.KindSync) && op.Off > 0
					if !begun || !changes(op.Kind) || spare || t.Failed() {
						return vfstest.Outcome{}
					}
					if points++; points%thin.Step(5) != 0 {
						return vfstest.Outcome{}
					}
					for _, c := range []vfstest.Crash{{}, {Keep: 1}, {Seed: uint64(op.N), Keep: 0.5, Garbage: true}} {
						if segment > 4<<20 && c.Keep == 1 {
							continue
						}
						if err := recoverTwice(disk.Crash(c), h, false); err != nil {
							t.Errorf("before operation %d (%s %s %d+%d), power loss %+v: %v",
								op.N, op.Kind, op.Name, op.Off, op.Len, c, err)
						}
					}
					return vfstest.Outcome{}
				})
				o := h.options(fault)
				var l *Log
				if segment > 4<<20 {
					l = sparse(t, o)
				} else {
					l = create(t, o)
				}
				begun = true
				longest := l.MaxRecord()
				for i, size := range []int{1, 9000, longest, 64<<10 + 1, longest - 1, longest, 5000, longest, 30} {
					p := payload(l.Last()+1, min(size, longest))
					h.payloads = append(h.payloads, p)
					if _, err := l.Append(typeBatch, p); err != nil {
						t.Fatal(err)
					}
					h.synced = max(h.synced, l.Durable()) // a rotation syncs
					if h.each || i < 3 || i == 7 {
						if err := l.Sync(); err != nil {
							t.Fatal(err)
						}
						h.synced = l.Last()
					}
				}
				if points < 12 {
					t.Errorf("only %d crash points", points)
				}
			})
		}
	}
}
