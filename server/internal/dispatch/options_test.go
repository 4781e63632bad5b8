package dispatch

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"gcd/server/internal/gate"
	"gcd/server/internal/redis"
)

// What a connection speaks, by its first byte, and who has to come within TLS.
func TestLanguage(t *testing.T) {
	t.Parallel()
	far := gate.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:4711")}
	near := gate.Peer{Addr: netip.MustParseAddrPort("[::ffff:127.0.0.1]:4711")}
	file := gate.Peer{Unix: true}
	plain, secured := Options{Redis: new(redis.Door)}, Options{Redis: new(redis.Door), TLS: new(tls.Config)}
	strict := secured
	strict.RequireTLS = true
	silent := strict
	silent.Redis = nil
	for _, row := range []struct {
		name  string
		o     Options
		first byte
		peer  gate.Peer
		want  Language
	}{
		{"a message", plain, 0, far, Message},
		{"RESP", plain, '*', far, RESP},
		{"TLS where there is none", plain, 0x16, far, Message},
		{"TLS", secured, 0x16, far, TLS},
		{"TLS over the unix socket", strict, 0x16, file, TLS},
		{"a message, and TLS is not required", secured, 0, far, Message},
		{"RESP, and TLS is not required", secured, 'P', far, RESP},
		{"a message where TLS is required", strict, 0, far, Clear},
		{"RESP where TLS is required", strict, '*', far, Clear},
		{"TLS where it is required", strict, 0x16, far, TLS},
		{"from the loopback", strict, '*', near, RESP},
		{"over the unix socket", strict, 0, file, Message},
		{"RESP that is off", silent, '*', near, Message},
	} {
		if got := row.o.Language(row.first, row.peer, false); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
	within := func(o Options, first byte) Language { return o.Language(first, far, true) }
	if within(strict, '*') != RESP || within(strict, 0x16) != Message || within(silent, '*') != Message {
		t.Error("within TLS another language is heard")
	}
}
