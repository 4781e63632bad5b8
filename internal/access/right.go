// Package access says who may do what: principals, how each of them is known, and the rights that
// they have over topics. The rules are lines of a file, which is read anew while a server runs;
// docs/security.md describes it.
package access

import (
	"fmt"
	"strings"
)

// Right is one thing that a principal may do. The zero value is no right, and nobody has it.
type Right uint8

const (
	Count  Right = 1 // to have numbers handed out
	Reset  Right = 2 // to set sums to zero
	Read   Right = 3 // to see topics and sums
	Backup Right = 4 // to take all of the store away
	Admin  Right = 5 // to see how the server is
)

// String is the word of a right in the file of rules.
func (r Right) String() string {
	switch r {
	case Count:
		return "count"
	case Reset:
		return "reset"
	case Read:
		return "read"
	case Backup:
		return "backup"
	case Admin:
		return "admin"
	}
	return "no right"
}

// hasPrefix says whether a right is over the topics that begin in some way. The others are over the
// whole store.
func (r Right) hasPrefix() bool { return r >= Count && r <= Read }

// A grant is a right over a prefix, as a line of the file or of a shell has it.
type grant struct {
	right  Right
	prefix string // of bytes; empty: all topics
}

// newGrant makes a grant of the word of a right and, if a colon followed, a prefix.
func newGrant(word, prefix string, colon bool) (grant, error) {
	for r := Count; r <= Admin; r++ {
		switch {
		case word != r.String():
		case r.hasPrefix() && !colon:
			return grant{}, fmt.Errorf("%s is over a prefix: write %s:orders/ for the topics that begin with orders/, "+
				"or %s: for all", r, r, r)
		case !r.hasPrefix() && colon:
			return grant{}, fmt.Errorf("%s has no prefix, it is over the whole store: write %s", r, r)
		default:
			return grant{r, prefix}, nil
		}
	}
	return grant{}, fmt.Errorf("unknown right %s: write count:PREFIX, reset:PREFIX, read:PREFIX, backup or admin",
		shown(word))
}

// String is the grant as the file has it.
func (g grant) String() string {
	if !g.right.hasPrefix() {
		return g.right.String()
	}
	return g.right.String() + ":" + quoted(g.prefix, "")
}

// shown is a word of a file in an error, which may go to a log: it is short, and no secret.
func shown(word string) string {
	const most = 40
	switch {
	case strings.Contains(word, tokenPrefix):
		return "with a token in it"
	case len(word) > most:
		return fmt.Sprintf("%q…", word[:most])
	}
	return fmt.Sprintf("%q", word)
}
