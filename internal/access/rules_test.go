package access

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"gcd/internal/certs/certstest"
)

// TestByToken: a token is that of one principal, and nothing but a token is anybody's.
func TestByToken(t *testing.T) {
	t.Parallel()
	token, secret := NewToken()
	next, nextSecret := NewToken()
	other, otherSecret := NewToken()
	unknown, _ := NewToken()
	r := rules(t, "billing "+secret+" count:", "billing "+nextSecret+" count:", "ops "+otherSecret+" admin",
		"anonymous - count:", "local unix count:")
	for _, c := range []struct{ name, token, want string }{
		{"", token, "billing"},
		{"default", token, "billing"},
		{"billing", token, "billing"},
		{"billing", next, "billing"},
		{"ops", other, "ops"},

		{"ops", token, ""},
		{"billing", other, ""},
		{"Billing", token, ""},
		{"anonymous", token, ""},
		{"local", token, ""},
		{"nobody", token, ""},
		{"", unknown, ""},
		{"billing", unknown, ""},
		{"", "", ""},
		{"billing", "", ""},
		{"anonymous", "-", ""},
		{"anonymous", "", ""},
		{"local", "unix", ""},
		{"billing", secret, ""},
		{"", strings.TrimPrefix(secret, "sha256:"), ""},
		{"", token + "\n", ""},
		{"", token[:46], ""},
		{"", token + "a", ""},
		{"", strings.ToUpper(token), ""},
	} {
		if p := r.ByToken(c.name, []byte(c.token)); p.Name() != c.want {
			t.Errorf("%q with %q is %q, want %q", c.name, c.token, p.Name(), c.want)
		}
	}
}

// TestWholeHash: a hash that is another one only at its end is another one.
func TestWholeHash(t *testing.T) {
	t.Parallel()
	token, _ := NewToken()
	for i := range sha256.Size {
		hash := tokenHash(sha256.Sum256([]byte(token)))
		hash[i] ^= 1
		if p := rules(t, "a "+hash.String()).ByToken("", []byte(token)); p != nil {
			t.Errorf("a token is taken for one whose hash differs in byte %d", i)
		}
	}
}

// TestWordsOfPeopleAreNoTokens: a hash of a word that somebody chose is found out at once, so it
// lets nobody in.
func TestWordsOfPeopleAreNoTokens(t *testing.T) {
	t.Parallel()
	for _, word := range []string{
		"", "password", "gcd_", "gcd_password", "gcd_" + strings.Repeat("a", 42), "gcd_" + strings.Repeat("a", 44),
		"gcd-" + strings.Repeat("a", 43), "gcd_" + strings.Repeat("a", 42) + " ",
		"gcd_" + strings.Repeat("a", 42) + "=",
	} {
		r := rules(t, "billing "+tokenHash(sha256.Sum256([]byte(word))).String()+" count:")
		for _, name := range []string{"", "billing"} {
			if p := r.ByToken(name, []byte(word)); p != nil {
				t.Errorf("%q lets %s in", word, p.Name())
			}
		}
	}
}

func TestNewToken(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 100 {
		token, secret := NewToken()
		if !isToken([]byte(token)) || len(token) != 47 || seen[token] || seen[secret] {
			t.Fatalf("%q is no token, or not a new one", token)
		}
		seen[token], seen[secret] = true, true
		if p := rules(t, "a "+secret).ByToken("", []byte(token)); p.Name() != "a" {
			t.Fatalf("%q and %q do not belong together", token, secret)
		}
	}
}

// An attribute is one of a subject, in the order in which a certificate has them.
type attribute struct{ name, value string }

// certificate makes one with a subject, as the bytes of one are read.
func certificate(t *testing.T, attributes ...attribute) *x509.Certificate {
	t.Helper()
	var sequence pkix.RDNSequence
	for _, a := range attributes {
		kind := map[string]int{"CN": 3, "C": 6, "O": 10, "OU": 11}[a.name]
		sequence = append(sequence, pkix.RelativeDistinguishedNameSET{
			{Type: asn1.ObjectIdentifier{2, 5, 4, kind}, Value: a.value},
		})
	}
	raw, err := asn1.Marshal(sequence)
	if err != nil {
		t.Fatal(err)
	}
	return certstest.SelfSigned(certstest.Leaf{RawSubject: raw}).TLS.Leaf
}

// TestByCertificate: a certificate is one principal's only if each attribute that the line names
// has just the values that it names.
func TestByCertificate(t *testing.T) {
	t.Parallel()
	r := rules(t, "web cert:CN=web count:", "acme cert:CN=shop,O=acme count:", "other cert:CN=shop,O=other count:",
		"both cert:CN=both,O=a,O=b,OU=u count:", `quoted cert:CN="a,b" count:`)
	for _, c := range []struct {
		attributes []attribute
		want       string
	}{
		{[]attribute{{"CN", "web"}}, "web"},
		{[]attribute{{"O", "anything"}, {"OU", "at all"}, {"CN", "web"}}, "web"},
		{[]attribute{{"CN", "shop"}, {"O", "acme"}}, "acme"},
		{[]attribute{{"C", "DE"}, {"O", "other"}, {"OU", "x"}, {"CN", "shop"}}, "other"},
		{[]attribute{{"O", "b"}, {"OU", "u"}, {"O", "a"}, {"CN", "both"}}, "both"},
		{[]attribute{{"CN", "a,b"}}, "quoted"},

		{[]attribute{{"CN", "shop"}}, ""},
		{[]attribute{{"CN", "shop"}, {"O", "acme"}, {"O", "other"}}, ""},
		{[]attribute{{"CN", "shop"}, {"OU", "acme"}}, ""},
		{[]attribute{{"CN", "shop"}, {"O", "acme,O=other"}}, ""},
		{[]attribute{{"CN", "shop,O=acme"}}, ""},
		{[]attribute{{"CN", "both"}, {"O", "a"}, {"OU", "u"}}, ""},
		{[]attribute{{"CN", "both"}, {"O", "a"}, {"O", "b"}, {"O", "c"}, {"OU", "u"}}, ""},
		{[]attribute{{"CN", "both"}, {"O", "a"}, {"O", "b"}}, ""},
		{[]attribute{{"CN", "Web"}}, ""},
		{[]attribute{{"CN", "nobody"}}, ""},
		{[]attribute{{"CN", "web"}, {"CN", "web"}}, ""},
		{[]attribute{{"CN", "admin"}, {"CN", "web"}}, ""},
		{[]attribute{{"CN", ""}}, ""},
		{[]attribute{{"O", "acme"}}, ""},
		{nil, ""},
	} {
		if p := r.ByCertificate(certificate(t, c.attributes...)); p.Name() != c.want {
			t.Errorf("the certificate of %q is that of %q, want %q", c.attributes, p.Name(), c.want)
		}
	}
	if p := r.ByCertificate(nil); p != nil {
		t.Errorf("without a certificate it is %s", p.Name())
	}
}

// TestNobody: without a line there is nobody, be it who shows nothing.
func TestNobody(t *testing.T) {
	t.Parallel()
	r := rules(t, "web cert:CN=web count:")
	if r.Anonymous() != nil || r.Local() != nil {
		t.Error("who shows nothing is somebody, and no line says so")
	}
	r = rules(t, "anonymous - count:a", "local unix count:b")
	if r.Anonymous().Name() != "anonymous" || r.Local().Name() != "local" {
		t.Error("anonymous, or local, is not who the lines say")
	}
}

// TestAgain: what an open connection is in newer rules.
func TestAgain(t *testing.T) {
	t.Parallel()
	before := rules(t, "a "+hashA+" count:", "web cert:CN=web,O=acme count:", "anonymous - count:", "local unix count:")
	for _, c := range []struct {
		lines []string
		want  string // for each of before's
	}{
		{[]string{"a " + hashA + " count:", "web cert:O=acme,CN=web count:", "anonymous -", "local unix"},
			"a web anonymous local"},
		{[]string{"b " + hashA + " read:", "x cert:CN=web,O=acme"}, "b x - -"},
		{[]string{"a " + hashB + " count:", "web cert:CN=web count:"}, "- - - -"},
		{[]string{"a cert:CN=a", "web " + hashB, "local unix"}, "- - - local"},
	} {
		after := rules(t, c.lines...)
		var got []string
		for _, p := range before.all {
			name := "-"
			if q := after.Again(p); q != nil {
				name = q.Name()
			}
			got = append(got, name)
		}
		if found := strings.Join(got, " "); found != c.want {
			t.Errorf("in %q they are %q, want %q", c.lines, found, c.want)
		}
		if after.Again(nil) != nil {
			t.Errorf("in %q nobody is somebody", c.lines)
		}
	}
	narrower := rules(t, "a "+hashA+" read:b").Again(before.all[0])
	if narrower.May(Count, []byte("b")) || !narrower.May(Read, []byte("b")) {
		t.Error("an open connection keeps the rights that it had")
	}
}

// TestSince counts the names that are other than before.
func TestSince(t *testing.T) {
	t.Parallel()
	secret := func(digits string) string { return " sha256:" + strings.Repeat(digits, 32) + " " }
	old := "a" + secret("aa") + "count:\nb" + secret("bb") + "count:\nc" + secret("cc") + "read:\n"
	for text, want := range map[string]Difference{
		old:                                               {},
		"# moved\n" + old:                                 {},
		old + "anonymous - read:\n":                       {Added: 1},
		"c" + secret("cc") + "read:\n":                    {Removed: 2},
		old + "a" + secret("dd") + "count:\n":             {Changed: 1},
		"a" + secret("dd") + "count:\n" + old:             {Changed: 1},
		strings.ReplaceAll(old, "count:", "count:x/"):     {Changed: 2},
		strings.ReplaceAll(old, "c sha", "d sha"):         {Added: 1, Removed: 1},
		strings.ReplaceAll(old, "read:", "read: read:x/"): {},
	} {
		if got := rules(t, text).Since(rules(t, old)); got != want {
			t.Errorf("the file has become\n%s%+v is told, want %+v", text, got, want)
		}
	}
	if n := rules(t, old+"a"+secret("dd")+"count:\n").Principals(); n != 3 {
		t.Errorf("there are %d principals, want 3", n)
	}
}
