package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"slices"
	"strings"
)

const (
	anonymousName   = "anonymous"
	anonymousSecret = "-"
	localName       = "local"
	localSecret     = "unix"
	// clientsName is what Redis clients send as a name where they were given a token alone.
	clientsName = "default"
)

// Rules are who may do what. They do not change.
type Rules struct {
	all      []*Principal // in the order of the lines
	bySecret map[string]*Principal
	tokens   map[hashStart]token
	subjects map[string]narrowed // by common name
	mark     *Mark
}

// A Mark tells rules from others, and keeps nothing of them in memory.
type Mark struct{ _ byte } // not empty: else all could be at one address

// Mark is that of these rules alone.
func (r *Rules) Mark() *Mark { return r.mark }

// A token is one of a principal.
type token struct {
	hash      tokenHash
	principal *Principal
}

// ByToken returns whose a token is; nil if it is nobody's, or not that of the principal with this
// name. An empty name, and "default", which Redis clients send for it, stand for any.
func (r *Rules) ByToken(name string, text []byte) *Principal {
	if !isToken(text) {
		return nil
	}
	hash := tokenHash(sha256.Sum256(text))
	t := r.tokens[hash.start()]
	if subtle.ConstantTimeCompare(t.hash[:], hash[:]) != 1 {
		return nil
	}
	if name != "" && name != clientsName && name != t.principal.name {
		return nil
	}
	return t.principal
}

// ByCertificate returns whose a certificate is, which the caller has verified; nil if it is
// nobody's. Each attribute that a line names must have just the values that it names.
func (r *Rules) ByCertificate(certificate *x509.Certificate) *Principal {
	if certificate == nil {
		return nil
	}
	s, ok := subjectOf(certificate)
	if !ok {
		return nil
	}
	return r.bySecret[s.only(r.subjects[s.commonName]).String()]
}

// Anonymous is who shows nothing; nil if there are no rules for that.
func (r *Rules) Anonymous() *Principal { return r.bySecret[anonymousSecret] }

// Local is who comes over the unix socket; nil if there are no rules for that.
func (r *Rules) Local() *Principal { return r.bySecret[localSecret] }

// Again returns whom these rules take a principal of older rules for: who is known by the same
// secret, which may have another name and other rights by now. It is nil if there is nobody, and
// for nil.
func (r *Rules) Again(p *Principal) *Principal {
	if p == nil {
		return nil
	}
	return r.bySecret[p.secret]
}

// String is the rules as a file, without comments.
func (r *Rules) String() string {
	var b strings.Builder
	for _, p := range r.all {
		b.WriteString(p.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Principals is how many names there are.
func (r *Rules) Principals() int { return len(r.byName()) }

// Difference is how many names rules have that others do not have, and the other way round, and how
// many have other rights or other secrets.
type Difference struct{ Added, Removed, Changed int }

// Since compares the rules with older ones.
func (r *Rules) Since(old *Rules) (d Difference) {
	before, now := old.byName(), r.byName()
	for name, lines := range now {
		if was, ok := before[name]; !ok {
			d.Added++
		} else if !slices.Equal(was, lines) {
			d.Changed++
		}
	}
	for name := range before {
		if _, ok := now[name]; !ok {
			d.Removed++
		}
	}
	return d
}

// byName are the lines of each name, sorted.
func (r *Rules) byName() map[string][]string {
	names := make(map[string][]string)
	for _, p := range r.all {
		names[p.name] = append(names[p.name], p.String())
	}
	for _, lines := range names {
		slices.Sort(lines)
	}
	return names
}
