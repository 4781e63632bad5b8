package access

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenLine is what to put in place of a line that is wrong.
const tokenLine = `the line that "gcd token NAME RIGHT:PREFIX" prints`

// Bounds of a file of rules.
const (
	maxFile       = 4 << 20 // bytes
	maxLine       = 16 << 10
	maxName       = 64
	maxPrincipals = 10000
	maxGrants     = 1000 // of a principal
)

// Parse reads rules. What is wrong is said with the name of the file and the line; such an error
// has no secret in it.
func Parse(name string, text []byte) (*Rules, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, and a file of rules has at most %d", name, len(text), maxFile)
	}
	p := newParser()
	for p.line = 1; len(text) > 0; p.line++ {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		text = rest
		if err := p.take(line, whole); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
		}
	}
	if len(p.rules.all) == 0 {
		return nil, fmt.Errorf("%s has no principal, so nobody could do anything: put %s into it", name, tokenLine)
	}
	return p.rules, nil
}

// parser is a file that is being read.
type parser struct {
	rules        *Rules
	line         int
	byName       map[string]*Principal // the first of each name
	byCommonName map[string]*Principal // the first with a certificate of each common name
}

func newParser() *parser {
	return &parser{
		rules: &Rules{
			bySecret: make(map[string]*Principal), tokens: make(map[hashStart]token),
			subjects: make(map[string]narrowed), mark: new(Mark),
		},
		byName: make(map[string]*Principal), byCommonName: make(map[string]*Principal),
	}
}

// take reads a line. whole says that it had its end.
func (p *parser) take(line []byte, whole bool) error {
	if !whole {
		// Cut off within a prefix, a right would be over more topics than it was written for.
		return errors.New("the last line has no end, so it may be the half of one: end it with a newline")
	}
	if len(line) > maxLine {
		return tooLong(len(line))
	}
	words, err := split(strings.TrimSuffix(string(line), "\r"))
	switch {
	case err != nil:
		return err
	case len(words) == 0:
		return nil
	case len(words) == 1:
		return errors.New("the secret is missing: write NAME SECRET RIGHT:PREFIX, such as " + tokenLine)
	case len(p.rules.all) == maxPrincipals:
		return fmt.Errorf("these are more than %d principals", maxPrincipals)
	}
	known, err := parseSecret(words[0], words[1])
	if err != nil {
		return err
	}
	grants := make([]grant, 0, len(words)-2)
	for _, word := range words[2:] {
		right, prefix, colon := strings.Cut(word, ":")
		if prefix, err = unquoted(prefix); err != nil {
			return err
		}
		g, err := newGrant(right, prefix, colon)
		if err != nil {
			return err
		}
		grants = append(grants, g)
	}
	principal, err := newPrincipal(words[0], known, grants)
	if err != nil {
		return err
	}
	principal.line = p.line
	return p.add(principal, known)
}

// newPrincipal makes one.
func newPrincipal(name string, known secret, grants []grant) (*Principal, error) {
	if len(grants) > maxGrants {
		return nil, fmt.Errorf("%s has %d rights, and may have %d", name, len(grants), maxGrants)
	}
	p := &Principal{name: name, secret: known.text}
	p.grant(grants)
	return p, nil
}

// checkName refuses what is no name for a log or a terminal.
func checkName(name string) error {
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && (i == 0 || !strings.ContainsRune("._-@", rune(c))) {
			return fmt.Errorf("the name %s has a character that no name has: write letters and digits of ASCII, "+
				"and after the first one also . _ - @", shown(name))
		}
	}
	switch {
	case name == "":
		return errors.New("the name is empty: write a name such as billing")
	case strings.Contains(name, tokenPrefix):
		return fmt.Errorf("the name is one %s, and names are in logs: write a name such as billing", shown(name))
	case len(name) > maxName:
		return fmt.Errorf("the name %s has %d bytes, and may have %d", shown(name), len(name), maxName)
	case name == clientsName:
		return fmt.Errorf("the name %s is what Redis clients send where they have none: write another one", name)
	}
	return nil
}

// A secret is what a principal is known by, as the file has it. Of the last two at most one is
// there.
type secret struct {
	text    string // as String of a principal has it
	hash    *tokenHash
	subject *subject
}

// parseSecret reads the secret of a principal with this name. No error has the secret in it.
func parseSecret(name, text string) (secret, error) {
	if err := checkName(name); err != nil {
		return secret{}, err
	}
	named, isSubject := strings.CutPrefix(text, subjectPrefix)
	switch {
	case (name == anonymousName) != (text == anonymousSecret):
		return secret{}, fmt.Errorf("%s is who shows no secret, and nobody else is: write \"%s %s\", or another name "+
			"and a secret", anonymousName, anonymousName, anonymousSecret)
	case (name == localName) != (text == localSecret):
		return secret{}, fmt.Errorf("%s is who comes over the unix socket, and nobody else is: write \"%s %s\", or "+
			"another name and a secret", localName, localName, localSecret)
	case text == anonymousSecret || text == localSecret:
		return secret{text: text}, nil
	case isSubject:
		s, err := parseSubject(named)
		return secret{text: s.String(), subject: &s}, err
	case strings.Contains(text, tokenPrefix):
		return secret{}, errors.New("a token is here, and its hash belongs here: put " + tokenLine + " here, with a " +
			"new token, since this one has been seen")
	case !strings.HasPrefix(text, hashPrefix):
		return secret{}, fmt.Errorf("this is no secret: put %s here, or write %sCN=NAME", tokenLine, subjectPrefix)
	}
	hash, ok := parseHash(text)
	if !ok {
		return secret{}, fmt.Errorf("%s takes %d hexadecimal digits: put %s here", hashPrefix, hashDigits, tokenLine)
	}
	return secret{text: hash.String(), hash: &hash}, nil
}

// add takes a principal into the rules.
func (p *parser) add(one *Principal, known secret) error {
	if other := p.rules.bySecret[known.text]; other != nil {
		return fmt.Errorf("%s has the secret of %s in line %d: give each a secret of its own", one.name, other.name,
			other.line)
	}
	if other := p.byName[one.name]; other == nil {
		p.byName[one.name] = one
	} else if !one.sameRights(other) {
		return fmt.Errorf("%s has other rights than in line %d: write the same ones, whatever the secret is, or "+
			"another name", one.name, other.line)
	}
	if hash := known.hash; hash != nil {
		if other, taken := p.rules.tokens[hash.start()]; taken {
			return fmt.Errorf("the hash begins as that in line %d: make another token", other.principal.line)
		}
		p.rules.tokens[hash.start()] = token{*hash, one}
	}
	if s := known.subject; s != nil {
		if other := p.byCommonName[s.commonName]; other == nil {
			p.byCommonName[s.commonName] = one
			p.rules.subjects[s.commonName] = s.narrowed()
		} else if p.rules.subjects[s.commonName] != s.narrowed() {
			return fmt.Errorf("a certificate could be this one and that of line %d: name O, or OU, in all lines with "+
				"a CN, or in none", other.line)
		}
	}
	p.rules.bySecret[known.text] = one
	p.rules.all = append(p.rules.all, one)
	return nil
}

// Line makes a line of the file, of a name and a secret. Each of grants is a right, and after a
// colon the prefix as it is, without quotes.
func Line(name, text string, grants ...string) (string, error) {
	all := make([]grant, len(grants))
	for i, word := range grants {
		right, prefix, colon := strings.Cut(word, ":")
		var err error
		if all[i], err = newGrant(right, prefix, colon); err != nil {
			return "", err
		}
	}
	known, err := parseSecret(name, text)
	if err != nil {
		return "", err
	}
	p, err := newPrincipal(name, known, all)
	if err != nil {
		return "", err
	}
	line := p.String()
	if len(line) > maxLine {
		return "", tooLong(len(line))
	}
	return line, nil
}

func tooLong(bytes int) error {
	return fmt.Errorf("the line has %d bytes, and may have %d", bytes, maxLine)
}

// split takes a line apart at blanks and tabs, and leaves a comment out. Quotes stay.
func split(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			return words, nil
		}
		end, err := wordEnd(line, " \t")
		if err != nil {
			return nil, err
		}
		if !utf8.ValidString(line[:end]) {
			return nil, errors.New(`a byte is no text in UTF-8: take it away, or write it in quotes, as "\xa0"`)
		}
		for _, c := range line[:end] {
			if !unicode.IsPrint(c) {
				return nil, fmt.Errorf("the character %U does not show: take it away, or write it in quotes, as %+q", c,
					string(c))
			}
		}
		words, line = append(words, line[:end]), line[end:]
	}
}

// wordEnd returns where a word ends: before one of these characters, but not within quotes.
func wordEnd(text, ends string) (int, error) {
	inQuotes := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inQuotes && c == '\\':
			i++
		case c == '"':
			inQuotes = !inQuotes
		case !inQuotes && strings.IndexByte(ends, c) >= 0:
			return i, nil
		}
	}
	if inQuotes {
		return 0, errors.New(`a quote is open: write another " where it ends, and \" for one that is meant`)
	}
	return len(text), nil
}

// unquoted is a value without the quotes around it, if it has some.
func unquoted(value string) (string, error) {
	if !strings.Contains(value, `"`) {
		return value, nil
	}
	text, err := strconv.Unquote(value)
	if err != nil || value[0] != '"' {
		return "", errors.New(`quotes go around a whole value, as in Go: write count:"two words/" or CN="Acme, Inc"`)
	}
	return text, nil
}

// quoted is a value as the file has it: in quotes if it has blanks, one of these characters, or
// what does not show.
func quoted(value, special string) string {
	needsQuotes := func(c rune) bool { return !unicode.IsPrint(c) || strings.ContainsRune(` "`+special, c) }
	if !utf8.ValidString(value) || strings.ContainsFunc(value, needsQuotes) {
		return strconv.Quote(value)
	}
	return value
}
