package gate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/internal/access"
)

// Who a peer is, by how it came and by what it shows, under rules that change: who comes with a
// certificate or over the unix socket is whom the new rules say, and whose token is gone is nobody.
func TestWhoAPeerIs(t *testing.T) {
	t.Parallel()
	token, secret := access.NewToken()
	var now atomic.Pointer[access.Rules]
	set := func(text string) {
		t.Helper()
		rules, err := access.Parse("rules", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		now.Store(rules)
	}
	g := New(Options{Rules: now.Load, Logger: hclog.NewNullLogger()})
	web := Peer{Addr: peerAt("192.0.2.1").Addr,
		Certificate: &x509.Certificate{Subject: pkix.Name{CommonName: "web", Names: []pkix.AttributeTypeAndValue{
			{Type: []int{2, 5, 4, 3}, Value: "web"}}}}}
	peers := []Peer{peerAt("192.0.2.1"), web, {Unix: true}}
	set("ops " + secret + " read:\n")
	var all []Who
	for _, peer := range append(peers, peers[0]) {
		all = append(all, g.Know(peer))
	}
	peers = append(peers, peers[0])
	if g.Authenticate(&all[3], "ops", []byte(token+"x")) || !g.Authenticate(&all[3], "ops", []byte(token)) {
		t.Fatal("the token is not known, or another one is")
	}
	for _, step := range []struct {
		rules string
		want  [4]string
	}{
		{"ops " + secret + " read:\n", [4]string{"", "", "", "ops"}},
		{"local unix read:\nx cert:CN=web read:\nanonymous - read:\nops " + secret + " read:\n",
			[4]string{"anonymous", "x", "local", "ops"}},
		{"y cert:CN=web read:\nother " + secret + " count:\n", [4]string{"", "y", "", "other"}},
		{"anonymous - read:\n", [4]string{"anonymous", "anonymous", "anonymous", ""}},
		{"ops " + secret + " read:\n", [4]string{"", "", "", ""}},
	} {
		set(step.rules)
		for i := range all {
			g.Renew(&all[i], peers[i])
			if got := all[i].Name(); got != step.want[i] {
				t.Errorf("with %q peer %d is %q, want %q", step.rules, i, got, step.want[i])
			}
			code := codec.CodeNotPermitted
			if all[i].Name() == "" {
				code = codec.CodeNotAuthenticated
			}
			if got := all[i].Refusal(); got != code {
				t.Errorf("with %q peer %d is refused with %d, want %d", step.rules, i, got, code)
			}
		}
	}
	w := &all[3]
	if !g.Authenticate(w, "", []byte(token)) || !w.May(access.Read, []byte("x")) || w.May(access.Count, nil) {
		t.Error("the token that is there again is not taken, or gives what it does not")
	}
}

// Without rules everybody may do everything, and no token is anybody's.
func TestEverybodyWithoutRules(t *testing.T) {
	t.Parallel()
	g := newSharing(t, 1, 1)
	w := g.Know(Peer{})
	for r := access.Count; r <= access.Admin; r++ {
		if !w.Has(r) || !w.May(r, []byte("x")) || !w.Everything(r) {
			t.Errorf("may not %s", r)
		}
	}
	if w.HasRules() || g.Authenticate(&w, "", []byte("x")) || g.Renew(&w, Peer{}) {
		t.Error("there are rules")
	}
}
