package core

import (
	"bytes"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
)

// Sizes of the table's parts.
const (
	shardBits     = 8       // 256 shards, so that one growing index stops the owner for a 256th of the topics
	chunkEntries  = 1024    // entries allocated at a time
	arenaMax      = 1 << 20 // bytes of topics allocated at a time
	arenaMin      = 4 << 10
	refOffsetBits = 20 // a topic reference is chunk, offset (20 bits), length (16 bits)
	refLengthBits = 16
)

// table is the map from topic to (epoch, sum). One goroutine at a time, the commit owner, changes
// it; any number read beside it.
//
// Entries are numbered in the order in which topics appeared and never move or go away, so an id
// stays good for ever. A reader holds a shard's lock only to find an id; the values are atomics.
// Nothing in it but the index of chunks has pointers, so the garbage collector does not walk
// millions of topics.
//
// An entry costs 24 bytes, its topic's length, and 8 bytes of index at a load between 3/8 and 3/4.
type table struct {
	seed   maphash.Seed
	shards [1 << shardBits]shard
	// chunks and arenas are grown by the owner and read by all; the slices that they point to are
	// only appended to.
	chunks atomic.Pointer[[]*[chunkEntries]entry]
	arenas atomic.Pointer[[][]byte]
	count  atomic.Int64
	names  atomic.Int64 // bytes of all topics

	// The rest is the owner's alone.

	arenaFree []byte // what is left of the newest arena
	// changed has, for each chunk with changes since they were last captured, the index of each
	// entry's last change; 0 = none.
	changed []*changedChunk
	dirty   []uint32 // ids with a changed index, in the order in which they became dirty
}

type changedChunk struct {
	index [chunkEntries]uint64
	n     int // entries of index that are not 0
}

// entry is one topic. version is epoch<<1, with the lowest bit set while a reset is under way:
// since only a reset lowers a sum, a reader that sees the same even version before and after it
// read the sum has a pair that was true at once.
type entry struct {
	sum     atomic.Uint64
	version atomic.Uint64
	topic   uint64
}

type shard struct {
	mu sync.RWMutex
	// slots is an open-addressed table, its length a power of two (or 0): hash tag in the upper
	// half, id+1 in the lower; 0 is a free slot.
	slots []uint64
	used  int
}

func newTable() *table {
	t := &table{seed: maphash.MakeSeed()}
	t.chunks.Store(new([]*[chunkEntries]entry))
	t.arenas.Store(new([][]byte))
	return t
}

func (t *table) hash(topic []byte) uint64 { return maphash.Bytes(t.seed, topic) }

// Len is the number of topics: all that were ever counted or reset. Any goroutine.
func (t *table) Len() int { return int(t.count.Load()) }

// NameBytes is how many bytes all topics have together; any goroutine.
func (t *table) NameBytes() int64 { return t.names.Load() }

func (t *table) entry(id uint32) *entry {
	return &(*t.chunks.Load())[id/chunkEntries][id%chunkEntries]
}

// Topic returns the bytes of an entry's topic; they never change. Any goroutine.
func (t *table) Topic(id uint32) []byte {
	at := unpackName(t.entry(id).topic)
	return (*t.arenas.Load())[at.arena][at.offset : at.offset+at.length : at.offset+at.length]
}

// nameAt is where a topic's bytes are.
type nameAt struct{ arena, offset, length uint64 }

func unpackName(ref uint64) nameAt {
	return nameAt{
		arena:  ref >> (refLengthBits + refOffsetBits),
		offset: ref >> refLengthBits & (1<<refOffsetBits - 1),
		length: ref & (1<<refLengthBits - 1),
	}
}

// find looks a topic up by its hash. The owner calls it as it is; a reader holds the shard's lock.
func (t *table) find(hash uint64, topic []byte) (id uint32, ok bool) {
	s := &t.shards[hash>>(64-shardBits)]
	if len(s.slots) == 0 {
		return 0, false
	}
	mask := uint32(len(s.slots) - 1)
	tag := uint32(hash)
	for i := tag & mask; ; i = (i + 1) & mask {
		slot := s.slots[i]
		if slot == 0 {
			return 0, false
		}
		if uint32(slot>>32) == tag {
			if id := uint32(slot) - 1; bytes.Equal(t.Topic(id), topic) {
				return id, true
			}
		}
	}
}

// candidate returns id+1 of the first entry that find would compare with a topic, or 0. The
// owner's.
func (t *table) candidate(hash uint64) uint32 {
	s := &t.shards[hash>>(64-shardBits)]
	if len(s.slots) == 0 {
		return 0
	}
	mask := uint32(len(s.slots) - 1)
	tag := uint32(hash)
	for i := tag & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if uint32(s.slots[i]>>32) == tag {
			return uint32(s.slots[i])
		}
	}
	return 0
}

// Get reads a topic's state; any goroutine. A topic that is not there is at (0, 0).
func (t *table) Get(topic []byte) (Value, bool) {
	hash := t.hash(topic)
	s := &t.shards[hash>>(64-shardBits)]
	s.mu.RLock()
	id, ok := t.find(hash, topic)
	s.mu.RUnlock()
	if !ok {
		return Value{}, false
	}
	return t.entry(id).read(), true
}

func (e *entry) read() Value {
	for {
		v := e.version.Load()
		if v&1 == 0 {
			sum := e.sum.Load()
			if e.version.Load() == v {
				return Value{Sum: sum, Epoch: v >> 1}
			}
		}
		runtime.Gosched()
	}
}

// The owner's part.

func (e *entry) reset(epoch uint64) {
	e.version.Store(e.version.Load() | 1)
	e.sum.Store(0)
	e.version.Store(epoch << 1)
}

// insert adds a topic that is not there, at (0, 0), and returns its id. The topic is copied.
func (t *table) insert(hash uint64, topic []byte) uint32 {
	id := t.newEntry(topic)
	s := &t.shards[hash>>(64-shardBits)]
	s.mu.Lock()
	if s.used >= len(s.slots)/4*3 {
		s.grow()
	}
	s.put(slotOf(hash, id))
	s.used++
	s.mu.Unlock()
	t.count.Store(int64(id) + 1)
	return id
}

// newEntry makes the entry of the next id. Nobody sees it yet: it is in no shard and not counted.
func (t *table) newEntry(topic []byte) uint32 {
	id := uint32(t.count.Load())
	if int(id/chunkEntries) == len(*t.chunks.Load()) {
		grown := append(*t.chunks.Load(), new([chunkEntries]entry))
		t.chunks.Store(&grown)
	}
	t.entry(id).topic = t.keep(topic)
	return id
}

// keep copies a topic into the arena and returns its reference.
func (t *table) keep(topic []byte) uint64 {
	if len(topic) > len(t.arenaFree) || len(*t.arenas.Load()) == 0 {
		size := min(arenaMin<<min(len(*t.arenas.Load()), 16), arenaMax) // small stores stay small
		if size < len(topic) {
			size = 1 << refLengthBits
		}
		t.arenaFree = make([]byte, size)
		grown := append(*t.arenas.Load(), t.arenaFree)
		t.arenas.Store(&grown)
	}
	arenas := *t.arenas.Load()
	last := len(arenas) - 1
	off := len(arenas[last]) - len(t.arenaFree)
	n := copy(t.arenaFree, topic)
	t.names.Store(t.names.Load() + int64(n)) // the owner alone changes it
	t.arenaFree = t.arenaFree[n:]
	return uint64(last)<<(refLengthBits+refOffsetBits) | uint64(off)<<refLengthBits | uint64(n)
}

func slotOf(hash uint64, id uint32) uint64 { return uint64(uint32(hash))<<32 | uint64(id+1) }

func (s *shard) put(slot uint64) {
	mask := uint32(len(s.slots) - 1)
	i := uint32(slot>>32) & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = slot
}

func (s *shard) grow() {
	old := s.slots
	s.slots = make([]uint64, max(8, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			s.put(slot)
		}
	}
}

// bulk fills a table that nobody reads yet. It keeps the slots of each shard aside and builds the
// index at the end, one shard at a time: put into the whole index in the order of the snapshot,
// nearly every slot would be a cache miss.
type bulk struct {
	t     *table
	slots [1 << shardBits][]uint64
}

// insert adds a topic, which must be new, with its state.
func (b *bulk) insert(topic []byte, v Value) {
	hash := b.t.hash(topic)
	id := b.t.newEntry(topic)
	e := b.t.entry(id)
	e.sum.Store(v.Sum)
	e.version.Store(v.Epoch << 1)
	list := &b.slots[hash>>(64-shardBits)]
	*list = append(*list, slotOf(hash, id))
	b.t.count.Store(int64(id) + 1)
}

// finish builds the index.
func (b *bulk) finish() {
	for i, list := range b.slots {
		s := &b.t.shards[i]
		size := 8
		for size/4*3 <= len(list) {
			size *= 2
		}
		s.slots = make([]uint64, size)
		for _, slot := range list {
			s.put(slot)
		}
		s.used = len(list)
		b.slots[i] = nil
	}
}

// mark notes that the record at index changed an entry.
func (t *table) mark(id uint32, index uint64) {
	c := int(id / chunkEntries)
	for c >= len(t.changed) {
		t.changed = append(t.changed, nil)
	}
	if t.changed[c] == nil {
		t.changed[c] = new(changedChunk)
	}
	at := &t.changed[c].index[id%chunkEntries]
	if *at == 0 {
		t.dirty = append(t.dirty, id)
		t.changed[c].n++
	}
	*at = index
}

// marked returns the index of an entry's last change, or 0.
func (t *table) marked(id uint32) uint64 {
	if c := int(id / chunkEntries); c < len(t.changed) && t.changed[c] != nil {
		return t.changed[c].index[id%chunkEntries]
	}
	return 0
}

// clear takes an entry's mark away and returns the index of its last change.
func (t *table) clear(id uint32) uint64 {
	c := t.changed[id/chunkEntries]
	index := c.index[id%chunkEntries]
	c.index[id%chunkEntries] = 0
	if c.n--; c.n == 0 {
		t.changed[id/chunkEntries] = nil
	}
	return index
}
