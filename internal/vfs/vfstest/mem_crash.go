package vfstest

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash says what a power loss leaves of what was not synced. The same Crash of the same disk gives
// the same result.
type Crash struct {
	Seed uint64
	// Keep is the probability that an unsynced thing survived: 0 nothing, 1 everything as it was
	// seen. In between, each on its own, a sector holds its durable version or any version written
	// since, a file has its durable length or any length up to the one seen, and a name was
	// created, renamed or removed or was not; a renamed file may be found under both names, never
	// under neither.
	Keep float64
	// Garbage says that in an unsynced sector the bytes between the first and the last one that its
	// writes changed may be random, or the beginning of one version and the end of another,
	// whatever Keep is. The bytes around them hold: a write that is cut off does not harm what it
	// was not changing (SQLite calls this powersafe overwrite).
	Garbage bool
}

// Crash returns a new, independent disk as it might be found after a power loss at this moment; m
// itself goes on unharmed. Everything on the new disk is durable. Files whose names did not survive
// are gone; what a file holds follows from its own Syncs, whatever its name. Safe to call while m
// is in use.
func (m *Mem) Crash(c Crash) *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	loss := powerLoss{Crash: c, rand: rand.New(rand.NewPCG(c.Seed, 0)), done: map[*node]*node{}}
	return &Mem{root: loss.node(m.root)}
}

// Clone returns an independent copy of the disk as a killed process leaves it: everything seen is
// there, and what was not synced can still be lost.
func (m *Mem) Clone() *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return &Mem{root: m.root.clone(map[*node]*node{})}
}

// FailSync does to a file what a Sync that fails may do: the system drops what it could not write,
// yet goes on showing it. From now on a Sync that succeeds leaves these sectors as they are on the
// disk, unless they are written again. For use in a hook of Fault that makes the Sync fail.
func (m *Mem) FailSync(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, err := m.findFile(name)
	if err != nil {
		return &fs.PathError{Op: "sync", Path: name, Err: err}
	}
	data.failSync()
	return nil
}

// clone copies a node and what is below it, once: done maps the nodes that were copied to their
// copies.
func (n *node) clone(done map[*node]*node) *node {
	if c := done[n]; c != nil {
		return c
	}
	c := &node{}
	done[n] = c
	if n.data != nil {
		c.data = n.data.clone()
		return c
	}
	c.dir = newMemDir()
	for name, child := range n.dir.visible {
		c.dir.visible[name] = child.clone(done)
	}
	for name, child := range n.dir.durable {
		c.dir.durable[name] = child.clone(done)
	}
	for _, p := range n.dir.pending {
		p.node = p.node.clone(done)
		if p.over != nil {
			p.over = p.over.clone(done)
		}
		c.dir.pending = append(c.dir.pending, p)
	}
	return c
}

// powerLoss makes the decisions of one Crash. Everything is visited in a fixed order, so that a
// seed is enough to repeat them.
type powerLoss struct {
	Crash
	rand *rand.Rand
	done map[*node]*node
}

func (l *powerLoss) kept() bool {
	return l.rand.Float64() < l.Keep
}

func (l *powerLoss) node(n *node) *node {
	if c := l.done[n]; c != nil {
		return c
	}
	c := &node{}
	l.done[n] = c
	if n.data != nil {
		c.data = l.data(n.data)
		return c
	}
	names := l.names(n.dir)
	c.dir = newMemDir()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c.dir.visible[name] = l.node(names[name])
	}
	c.dir.sync()
	return c
}

// names decides which of a directory's pending changes reached the disk.
func (l *powerLoss) names(d *memDir) map[string]*node {
	names := maps.Clone(d.durable)
	for _, c := range d.pending {
		if l.Keep >= 1 {
			c.apply(names)
			continue
		}
		if c.exchanges { // both names change, or none
			if l.kept() && names[c.from] == c.node && names[c.to] == c.over {
				c.apply(names)
			}
			continue
		}
		added, removed := c.to != "" && l.kept(), c.from != "" && l.kept()
		if taken := names[c.to]; taken != nil && taken != c.node && taken != c.over {
			// The change that freed the name was lost. Giving the name away now could take another
			// file's last one.
			added = false
		}
		if c.to != "" && c.from != "" {
			removed = removed && added // else the file would be under neither name
		}
		if added && c.node.dir != nil { // a directory never has two names
			maps.DeleteFunc(names, func(_ string, n *node) bool { return n == c.node })
		}
		if removed && names[c.from] == c.node {
			delete(names, c.from)
		}
		if added {
			names[c.to] = c.node
		}
	}
	return names
}

// data decides what a file holds.
func (l *powerLoss) data(d *memData) *memData {
	c := &memData{size: l.size(d), sectors: slices.Clone(d.sectors)}
	c.durableSize = c.size
	for _, i := range slices.Sorted(maps.Keys(d.dirty)) {
		c.sectors[i] = l.sector(d.dirty[i].versions)
	}
	c.sectors = c.sectors[:sectorsFor(c.size)]
	if rest := c.size % sectorSize; rest != 0 {
		last := &c.sectors[len(c.sectors)-1]
		if *last != nil {
			cut := **last
			clear(cut[rest:])
			*last = &cut
		}
	}
	return c
}

// size is one of the lengths that the file had, or one in the middle of a write.
func (l *powerLoss) size(d *memData) int64 {
	switch {
	case l.Keep >= 1:
		return d.size
	case len(d.sizes) == 0 || !l.kept():
		return d.durableSize
	case l.rand.IntN(2) == 0:
		return d.sizes[l.rand.IntN(len(d.sizes))]
	default:
		return d.durableSize + 1 + l.rand.Int64N(d.size-d.durableSize)
	}
}

func (l *powerLoss) sector(versions []*sector) *sector {
	if l.Garbage && l.rand.IntN(4) == 0 {
		return l.garbage(versions)
	}
	switch {
	case l.Keep >= 1:
		return versions[len(versions)-1]
	case l.kept():
		return versions[1+l.rand.IntN(len(versions)-1)]
	default:
		return versions[0]
	}
}

// garbage is a sector whose changed part is random, or in which only the first part was written.
func (l *powerLoss) garbage(versions []*sector) *sector {
	var s sector
	if l.rand.IntN(2) == 0 {
		if versions[0] != nil {
			s = *versions[0]
		}
		first, end := changedRange(versions)
		for i := first; i < end; i++ {
			s[i] = byte(l.rand.Uint32())
		}
		return &s
	}
	older := l.rand.IntN(len(versions) - 1)
	if v := versions[older]; v != nil {
		s = *v
	}
	newer := versions[older+1+l.rand.IntN(len(versions)-1-older)]
	if newer == nil {
		newer = &zeroSector
	}
	n := 1 + l.rand.IntN(sectorSize-1)
	copy(s[:n], newer[:n])
	return &s
}

// changedRange is the smallest range of bytes outside of which all versions of a sector are the
// same.
func changedRange(versions []*sector) (first, end int) {
	first = sectorSize
	old := versions[0]
	if old == nil {
		old = &zeroSector
	}
	for _, v := range versions[1:] {
		if v == nil {
			v = &zeroSector
		}
		for i := range v {
			if v[i] != old[i] {
				first, end = min(first, i), max(end, i+1)
			}
		}
	}
	return min(first, end), end
}
