package access

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const subjectPrefix = "cert:"

// A subject is whose a certificate is, or which certificates are meant: the values of attributes of
// their subjects. organizations and units are sorted.
type subject struct {
	commonName           string
	organizations, units []string
}

// narrowed says which attributes beside CN narrow the lines with a common name. All of these name
// the same ones, so that a certificate is that of one line at most.
type narrowed struct{ organizations, units bool }

func (s subject) narrowed() narrowed {
	return narrowed{len(s.organizations) > 0, len(s.units) > 0}
}

// only returns the subject without the attributes that are not named.
func (s subject) only(n narrowed) subject {
	if !n.organizations {
		s.organizations = nil
	}
	if !n.units {
		s.units = nil
	}
	return s
}

// String is the subject as the file has it.
func (s subject) String() string {
	text := subjectPrefix + "CN=" + quoted(s.commonName, ",")
	for _, organization := range s.organizations {
		text += ",O=" + quoted(organization, ",")
	}
	for _, unit := range s.units {
		text += ",OU=" + quoted(unit, ",")
	}
	return text
}

// parseSubject reads what the file has after "cert:".
func parseSubject(text string) (subject, error) {
	var s subject
	for more := true; more; {
		var part string
		end, err := wordEnd(text, ",")
		if err != nil {
			return s, err
		}
		part, more = text[:end], end < len(text)
		text = text[min(end+1, len(text)):]
		name, value, _ := strings.Cut(part, "=")
		if value, err = unquoted(value); err != nil {
			return s, err
		}
		if value == "" {
			return s, errors.New("cert: takes attributes and their values: write cert:CN=web or cert:CN=web,O=acme")
		}
		switch name {
		case "CN":
			if s.commonName != "" {
				return s, errors.New("cert: has CN twice, and no certificate with two is taken: write cert:CN=web")
			}
			s.commonName = value
		case "O":
			s.organizations = append(s.organizations, value)
		case "OU":
			s.units = append(s.units, value)
		default:
			return s, fmt.Errorf("cert: takes CN, O and OU, and not %s: write cert:CN=web,O=acme", shown(name))
		}
	}
	if s.commonName == "" {
		return s, errors.New("cert: has no CN, which says who it is: write cert:CN=web,O=acme")
	}
	for _, values := range [][]string{s.organizations, s.units} {
		slices.Sort(values)
		if len(slices.Compact(slices.Clone(values))) < len(values) {
			return s, errors.New("cert: has a value twice: take one away")
		}
	}
	return s, nil
}

// subjectOf is whose a certificate is. A certificate with no common name, or with two, is nobody's:
// of two it would be whoever the reader takes.
func subjectOf(certificate *x509.Certificate) (s subject, ok bool) {
	names := 0
	for _, attribute := range certificate.Subject.Names {
		value, isText := attribute.Value.(string)
		if !isText {
			value = ""
		}
		switch attribute.Type.String() {
		case "2.5.4.3":
			s.commonName = value
			names++
		case "2.5.4.10":
			s.organizations = append(s.organizations, value)
		case "2.5.4.11":
			s.units = append(s.units, value)
		}
	}
	slices.Sort(s.organizations)
	slices.Sort(s.units)
	return s, names == 1 && s.commonName != ""
}
