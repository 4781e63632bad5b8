package access

import (
	"slices"
	"strings"
)

// Principal is somebody who may do something. It does not change, and nil is somebody who may do
// nothing.
type Principal struct {
	name   string
	secret string // how it is known, as the file has it
	line   int    // of the file

	// Both have a bit for each right: 1<<Count and so on.
	some       uint32 // it has the right, over whatever
	everything uint32 // it has it over all topics, or over the whole store

	// By right: sorted, and none begins with another one. So of all of them only the last one that
	// is not above a topic can be what the topic begins with.
	prefixes [Read + 1][]string
}

// Anyone makes a principal who may do everything, for where there are no rules.
func Anyone() *Principal {
	p := &Principal{name: "anyone"}
	all := make([]grant, 0, Admin)
	for r := Count; r <= Admin; r++ {
		all = append(all, grant{right: r})
	}
	p.grant(all)
	return p
}

// Name is what the file calls it; "" for nobody.
func (p *Principal) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// May says whether it has a right over a topic. A right that is over the whole store is over each
// topic.
func (p *Principal) May(r Right, topic []byte) bool {
	return p.Everything(r) || p.within(r, topic)
}

// Has says whether it has a right at all, over whatever.
func (p *Principal) Has(r Right) bool { return p != nil && p.some>>r&1 != 0 }

// HasAny says whether it has any right at all.
func (p *Principal) HasAny() bool { return p != nil && p.some != 0 }

// Everything says whether it has a right over all topics, or over the whole store.
func (p *Principal) Everything(r Right) bool { return p != nil && p.everything>>r&1 != 0 }

func (p *Principal) within(r Right, topic []byte) bool {
	if p == nil || int(r) >= len(p.prefixes) {
		return false
	}
	all := p.prefixes[r]
	low, high := 0, len(all)
	for low < high {
		if middle := int(uint(low+high) / 2); all[middle] <= string(topic) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 {
		return false
	}
	prefix := all[low-1]
	return len(topic) >= len(prefix) && string(topic[:len(prefix)]) == prefix
}

// grant gives the principal its rights.
func (p *Principal) grant(grants []grant) {
	for _, g := range grants {
		p.some |= 1 << g.right
		if g.prefix == "" {
			p.everything |= 1 << g.right
		}
		if g.right.hasPrefix() {
			p.prefixes[g.right] = append(p.prefixes[g.right], g.prefix)
		}
	}
	for r, all := range p.prefixes {
		slices.Sort(all)
		kept := all[:0]
		for _, prefix := range all {
			if len(kept) == 0 || !strings.HasPrefix(prefix, kept[len(kept)-1]) {
				kept = append(kept, prefix)
			}
		}
		p.prefixes[r] = kept
	}
}

// sameRights says whether two may do the same.
func (p *Principal) sameRights(q *Principal) bool {
	for r := range p.prefixes {
		if !slices.Equal(p.prefixes[r], q.prefixes[r]) {
			return false
		}
	}
	return p.some == q.some && p.everything == q.everything
}

// String is the principal as a line of the file, without what the line said twice.
func (p *Principal) String() string {
	words := []string{p.name, p.secret}
	for r := Count; r <= Admin; r++ {
		switch {
		case !p.Has(r):
		case !r.hasPrefix():
			words = append(words, grant{right: r}.String())
		default:
			for _, prefix := range p.prefixes[r] {
				words = append(words, grant{r, prefix}.String())
			}
		}
	}
	return strings.Join(words, " ")
}
