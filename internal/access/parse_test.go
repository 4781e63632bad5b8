package access

import (
	"fmt"
	"strings"
	"testing"
)

const (
	hashA = "sha256:" + "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
	hashB = "sha256:" + "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
)

// TestParse: what is right, and how it is printed.
func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{
			"# name secret rights\n\nbilling\t" + hashA + "   count:invoice/ read:invoice/\n",
			"billing " + hashA + " count:invoice/ read:invoice/",
		},
		{
			"web cert:CN=web,O=acme count:web/ # who has it\r\n",
			"web cert:CN=web,O=acme count:web/",
		},
		{
			"web cert:OU=b,CN=web,O=\"Acme, Inc\",OU=a\n",
			`web cert:CN=web,O="Acme, Inc",OU=a,OU=b`,
		},
		{
			"anonymous - read:public/\nlocal unix admin backup reset:\n",
			"anonymous - read:public/\nlocal unix reset: backup admin",
		},
		{
			"anonymous - count:b count:a/ count:a count:b count:ba\n",
			"anonymous - count:a count:b",
		},
		{
			"anonymous - count:a count:\n",
			"anonymous - count:",
		},
		{
			"anonymous - count:\"two words\" count:\"\\xff\" count:a#b:c\\d read:\"\" count:ä reset:a,b\n",
			"anonymous - count:a#b:c\\d count:\"two words\" count:ä count:\"\\xff\" reset:a,b read:",
		},
		{
			"A-1.b_c@d " + hashA[:7] + strings.ToUpper(hashA[7:]) + "\n",
			"A-1.b_c@d " + hashA,
		},
		{
			"ops " + hashA + " admin\nops " + hashB + " admin # the next\n",
			"ops " + hashA + " admin\nops " + hashB + " admin",
		},
		{
			"ops " + hashA + " count:a\nops cert:CN=ops count:ab count:a\n",
			"ops " + hashA + " count:a\nops cert:CN=ops count:a",
		},
		{
			"a cert:CN=x,O=a\nb cert:CN=x,O=b\nc cert:CN=y\n",
			"a cert:CN=x,O=a\nb cert:CN=x,O=b\nc cert:CN=y",
		},
	} {
		r, err := Parse("auth", []byte(c.text))
		switch {
		case err != nil:
			t.Errorf("%q: it was refused: %v", c.text, err)
		case r.String() != c.want+"\n":
			t.Errorf("%q: it is\n%swant\n%s", c.text, r, c.want)
		}
	}
}

// TestWrongLines: each is refused with its line and with what to write, and without a secret.
func TestWrongLines(t *testing.T) {
	t.Parallel()
	token, secret := NewToken()
	for _, c := range []struct{ text, want string }{
		{"", "auth has no principal, so nobody could do anything: "},
		{"# nothing\n", "auth has no principal"},
		{"\n\nbilling\n", "auth:3: the secret is missing: write NAME SECRET RIGHT:PREFIX"},
		{"billing " + secret + " count:inv", "auth:1: the last line has no end"},
		{"billing " + secret + "\n# x", "auth:2: the last line has no end"},

		{"billing " + secret + " write:a\n", `auth:1: unknown right "write": write count:PREFIX, `},
		{"billing " + secret + " Count:a\n", `auth:1: unknown right "Count"`},
		{"billing " + secret + " :a\n", `auth:1: unknown right ""`},
		{"billing " + secret + " count:a " + token + "\n", "auth:1: unknown right with a token in it"},
		{"billing " + secret + " count\n", "auth:1: count is over a prefix: write count:orders/ "},
		{"billing " + secret + " backup:\n", "auth:1: backup has no prefix, it is over the whole store: write backup"},
		{"billing " + secret + " admin:x\n", "auth:1: admin has no prefix"},
		{"billing " + secret + " \"count:a b\"\n", "auth:1: quotes go around a whole value"},
		{"billing " + secret + " count:a\"b c\"\n", "auth:1: quotes go around a whole value"},
		{"billing " + secret + " count:\"a\\q\"\n", "auth:1: quotes go around a whole value"},
		{"billing " + secret + " count:\"a b\n", "auth:1: a quote is open"},
		{"billing " + secret + " count:\"a\\\"\n", "auth:1: a quote is open"},
		{
			"billing " + secret + " count:a\u00a0b\n",
			`auth:1: the character U+00A0 does not show: take it away, or write it in quotes, as "\u00a0"`,
		},
		{"billing " + secret + " count:\"a\u202eb\"\n", "auth:1: the character U+202E does not show"},
		{"billing " + secret + " count:a\xffb\n", "auth:1: a byte is no text"},
		{"\ufeffbilling " + secret + "\n", "auth:1: the character U+FEFF does not show"},
		{"a\x00 " + secret + "\n", "auth:1: the character U+0000 does not show"},

		{"-x " + secret + "\n", `auth:1: the name "-x" has a character that no name has`},
		{"bill/ing " + secret + "\n", `auth:1: the name "bill/ing" has a character`},
		{"b\u00f6se " + secret + "\n", "auth:1: the name \"b\u00f6se\" has a character"},
		{"\"\" " + secret + "\n", "auth:1: the name \"\\\"\\\"\" has a character"},
		{"default " + secret + "\n", "auth:1: the name default is what Redis clients send"},
		{strings.Repeat("n", 65) + " " + secret + "\n", "auth:1: the name \"nnn"},
		{token + " " + secret + "\n", "auth:1: the name "},

		{"billing " + token + " count:\n", "auth:1: a token is here, and its hash belongs here"},
		{"billing sha256:" + token + " count:\n", "auth:1: a token is here"},
		{"billing hunter2 count:\n", "auth:1: this is no secret: put the line that"},
		{"billing " + secret[7:] + " count:\n", "auth:1: this is no secret"},
		{"billing " + secret[:70] + " count:\n", "auth:1: sha256: takes 64 hexadecimal digits"},
		{"billing " + secret + "0 count:\n", "auth:1: sha256: takes 64 hexadecimal digits"},
		{"billing " + secret[:70] + "g count:\n", "auth:1: sha256: takes 64 hexadecimal digits"},
		{"anonymous " + secret + " count:\n", "auth:1: anonymous is who shows no secret, and nobody else is: write"},
		{"billing - count:\n", "auth:1: anonymous is who shows no secret"},
		{"local " + secret + " count:\n", "auth:1: local is who comes over the unix socket, and nobody else is"},
		{"ops unix count:\n", "auth:1: local is who comes over the unix socket"},
		{"local - count:\n", "auth:1: anonymous is who"},

		{"a " + secret + "\nb " + secret + "\n", "auth:2: b has the secret of a in line 1"},
		{"a " + secret + "\na " + secret + "\n", "auth:2: a has the secret of a in line 1"},
		{"a " + hashA + "\nb sha256:" + strings.ToUpper(hashA[7:]) + "\n", "auth:2: b has the secret of a in line 1"},
		{"a " + hashA + "\nb " + hashA[:69] + "00\n", "auth:2: the hash begins as that in line 1: make another token"},
		{"anonymous - count:\nanonymous - count:\n", "auth:2: anonymous has the secret of anonymous in line 1"},
		{"a " + hashA + " count:\na " + hashB + " count: reset:\n", "auth:2: a has other rights than in line 1"},
		{"a " + hashA + " count:a\na " + hashB + " count:ab\n", "auth:2: a has other rights than in line 1"},
		{"a " + hashA + " admin\n\na cert:CN=a backup\n", "auth:3: a has other rights than in line 1"},

		{"a cert:\n", "auth:1: cert: takes attributes and their values"},
		{"a cert:CN\n", "auth:1: cert: takes attributes and their values"},
		{"a cert:CN=\n", "auth:1: cert: takes attributes and their values"},
		{"a cert:CN=a,\n", "auth:1: cert: takes attributes and their values"},
		{"a cert:O=acme\n", "auth:1: cert: has no CN"},
		{"a cert:CN=a,CN=b\n", "auth:1: cert: has CN twice"},
		{"a cert:CN=a,O=b,O=b\n", "auth:1: cert: has a value twice"},
		{"a cert:CN=a,C=DE\n", `auth:1: cert: takes CN, O and OU, and not "C"`},
		{"a cert:cn=a\n", `auth:1: cert: takes CN, O and OU, and not "cn"`},
		{"a cert:CN=a,DNS=b\n", `auth:1: cert: takes CN, O and OU, and not "DNS"`},
		{"a cert:CN=a, O=b\n", "auth:1: cert: takes attributes and their values"},
		{"a cert:CN=x,O=a\nb cert:O=a,CN=x\n", "auth:2: b has the secret of a in line 1"},
		{"a cert:CN=x,O=a\nb cert:CN=x\n", "auth:2: a certificate could be this one and that of line 1"},
		{"a cert:CN=x,O=a\nb cert:CN=x,OU=b\n", "auth:2: a certificate could be this one and that of line 1"},

		{"a " + hashA + " count:" + strings.Repeat("x", maxLine) + "\n", "auth:1: the line has 16"},
		{"a " + hashA + strings.Repeat(" count:x", maxGrants+1) + "\n", "auth:1: a has 1001 rights, and may have 1000"},
		{strings.Repeat("#\n", maxFile/2) + "\n", "auth has 4194305 bytes, and a file of rules has at most 4194304"},
	} {
		r, err := Parse("auth", []byte(c.text))
		switch {
		case err == nil:
			t.Errorf("%.200q was taken, as %.200s", c.text, r)
		case !strings.HasPrefix(err.Error(), c.want):
			t.Errorf("%.200q: it says %q, want %q", c.text, err, c.want)
		case strings.Contains(err.Error(), token[4:]) || strings.Contains(err.Error(), secret[7:]):
			t.Errorf("%.200q: the error has the secret in it: %q", c.text, err)
		case len(err.Error()) > 300:
			t.Errorf("%.200q: the error has %d bytes", c.text, len(err.Error()))
		}
	}
}

func TestMostPrincipals(t *testing.T) {
	t.Parallel()
	var text []byte
	for i := range maxPrincipals + 1 {
		if i == maxPrincipals {
			if _, err := Parse("auth", text); err != nil {
				t.Errorf("%d principals: they were refused: %v", i, err)
			}
		}
		text = fmt.Appendf(text, "n%d cert:CN=c%d count:\n", i, i)
	}
	if _, err := Parse("auth", text); err == nil || !strings.HasPrefix(err.Error(), "auth:10001: these are more than") {
		t.Errorf("one principal more: it says %v", err)
	}
}

// TestHalfAFile: no file that is cut off gives anybody a right that the whole file does not give
// him. "count:invoice/" without its end could be "count:".
func TestHalfAFile(t *testing.T) {
	t.Parallel()
	whole := strings.Join([]string{
		"billing " + hashA + " count:invoice/ read:invoice/", "ops " + hashB + " count: reset:a/ backup", "# a comment",
		"web cert:CN=web,O=acme,OU=shop count:web/ # and one more", "anonymous - read:\"public \"", "local unix admin",
	}, "\n") + "\n"
	lines := rules(t, strings.TrimSuffix(whole, "\n")).String()
	taken := 0
	for i := range whole {
		r, err := Parse("auth", []byte(whole[:i]))
		if err != nil {
			continue
		}
		if taken++; !strings.HasPrefix(lines, r.String()) {
			t.Errorf("the first %d bytes are taken for\n%s", i, r)
		}
	}
	if taken == 0 || taken > 6 {
		t.Errorf("%d beginnings of the file were taken, want those that end with a line", taken)
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	_, secret := NewToken()
	line, err := Line("billing", secret, "read:two words", "count:", `count:"`, "backup")
	if want := "billing " + secret + ` count: read:"two words" backup`; err != nil || line != want {
		t.Errorf("the line is %q (%v), want %q", line, err, want)
	}
	if again := rules(t, line).String(); again != line+"\n" {
		t.Errorf("the line is read as %q", again)
	}
	for _, c := range []struct {
		name   string
		grants []string
		want   string
	}{
		{"a b", nil, `the name "a b" has a character`},
		{"", nil, "the name is empty"},
		{"anonymous", nil, "anonymous is who shows no secret"},
		{"local", nil, "local is who comes over the unix socket"},
		{"default", nil, "the name default"},
		{"a", []string{"count:", "write:"}, `unknown right "write"`},
		{"a", []string{"count"}, "count is over a prefix"},
		{"a", []string{"count:" + strings.Repeat("x", maxLine)}, "the line has"},
		{"a", []string{"count:" + strings.Repeat("\x00", maxFile)}, "the line has"},
	} {
		if _, err := Line(c.name, secret, c.grants...); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %.60q: it says %v, want %s", c.name, c.grants, err, c.want)
		}
	}
}

// FuzzParse: what is read is printed, read again, and is the same; and what comes in its place
// neither ends the process nor tells a log what it should not have.
func FuzzParse(f *testing.F) {
	f.Add("billing " + hashA + " count:invoice/ read:\"a b\\xff\" backup # c\nbilling cert:CN=\"a,b\",O=c,OU=d\n")
	f.Add("anonymous - read:public/\r\nlocal unix count: count:a admin\n")
	f.Add("a cert:CN=x,O=a,O=b\nb cert:CN=x,O=a\nc cert:CN=y count:\\\n")
	f.Add("a \"b\\")
	f.Add("anonymous - count:\"\\ufffd\"\n")
	f.Add("anonymous - count:\ufffd\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse("auth", []byte(text))
		if err != nil {
			for _, c := range []byte(err.Error()) {
				if c < ' ' || c == 0x7f {
					t.Fatalf("%q: the error has control characters: %q", text, err)
				}
			}
			return
		}
		again, err := Parse("again", []byte(r.String()))
		if err != nil {
			t.Fatalf("%q was taken, and is printed as %q, which is refused: %v", text, r, err)
		}
		if again.String() != r.String() {
			t.Fatalf("%q is %q, and that is %q", text, r, again)
		}
		for i, p := range r.all {
			if q := again.Again(p); q == nil || q.Name() != p.Name() || !q.sameRights(p) || q != again.all[i] {
				t.Fatalf("%q: %s is %v in the rules that are printed", text, p, q)
			}
			for right := Count; right <= Read; right++ {
				for _, prefix := range p.prefixes[right] {
					if !p.May(right, []byte(prefix)) || !p.May(right, []byte(prefix+"x")) {
						t.Fatalf("%q: %s may not %s what begins with %q", text, p, right, prefix)
					}
				}
			}
		}
	})
}
