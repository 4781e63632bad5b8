//go:build linux

package clients

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/valkey-io/valkey-go"
)

// guardedLibrary is a client library that says who it is.
type guardedLibrary struct {
	library
	// connect makes a client. A library that connects at once may have an error of the server.
	connect func(t *testing.T, s *guarded, l login) (counter, error)
	says    says
	// shown is how often a wrong token is shown before there is an error; 0: the library connects
	// again and again, later each time, until it is told to end.
	shown int
}

// says is what the library's errors have in them: its own type for them, where it has one, and the
// server's words.
type says struct {
	nobody    []string // who does not say who it is
	wrong     []string // a token that is nobody's
	denied    []string // what the client has no right to
	discarded []string // a transaction with that in it
}

// replies is what most libraries say: one type for every error, and the server's words.
func replies(kind string) says {
	return says{
		nobody: []string{kind, "NOAUTH Authentication required."}, wrong: []string{kind, "WRONGPASS"},
		denied: []string{kind, "NOPERM"}, discarded: []string{kind, "EXECABORT"},
	}
}

// client is connect where that must not fail.
func (l *guardedLibrary) client(t *testing.T, s *guarded, as login) counter {
	t.Helper()
	c, err := l.connect(t, s, as)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func guardedLibraries(t *testing.T) []guardedLibrary {
	all := guardedGoLibraries()
	for _, l := range libraries(t) {
		program := func(options func(s *guarded, l login) map[string]any, shown int, s says) {
			all = append(all, guardedLibrary{library: l, shown: shown, says: s,
				connect: func(t *testing.T, s *guarded, as login) (counter, error) {
					return startProgram(t, l.command, s.addr, false, options(s, as)), nil
				}})
		}
		switch l.name {
		case "redis-py":
			program(redisPyOptions, 1, says{
				nobody: []string{"AuthenticationError", "Authentication required."},
				wrong:  []string{"ResponseError", "WRONGPASS"}, // from 6.0 on AuthenticationError
				denied: []string{"NoPermissionError"}, discarded: []string{"NoPermissionError"},
			})
		case "ioredis":
			program(ioredisOptions, 0, replies("ReplyError"))
		case "node-redis":
			s := replies("Error")
			s.discarded = s.denied // it has the first error of those before EXEC
			program(nodeRedisOptions, 1, s)
		}
	}
	return all
}

// redisPyOptions has the library look at each connection before it uses it.
func redisPyOptions(s *guarded, l login) map[string]any {
	o := l.options("health_check_interval", 0.001)
	if l.local {
		o["unix_socket_path"] = s.socket
		return o
	}
	o["ssl"], o["ssl_ca_certs"] = true, s.file("ca.pem")
	if l.certificate != nil {
		name := "web"
		if l.certificate == s.past {
			name = "past"
		}
		o["ssl_certfile"], o["ssl_keyfile"] = s.file(name+".pem"), s.file(name+".key")
	}
	return o
}

func ioredisOptions(s *guarded, l login) map[string]any {
	if l.local {
		return l.options("path", s.socket)
	}
	return l.options("tls", nodeTLS(s, l))
}

// nodeTLS are the options of Node itself.
func nodeTLS(s *guarded, l login) map[string]any {
	o := map[string]any{"ca": string(s.guards.authority.PEM)}
	if l.certificate != nil {
		o["cert"], o["key"] = string(l.certificate.certificate), string(l.certificate.key)
	}
	return o
}

// nodeRedisOptions has the library give up where it cannot connect: by default connect never ends
// then, and every attempt is an event "error".
func nodeRedisOptions(s *guarded, l login) map[string]any {
	socket := map[string]any{}
	if l.local {
		socket["path"] = s.socket
	} else {
		host, port, _ := net.SplitHostPort(s.addr)
		socket = nodeTLS(s, l)
		socket["host"], socket["port"], socket["tls"] = host, port, true
	}
	socket["reconnectStrategy"] = false
	return l.options("socket", socket)
}

// options are those that all three have by one name, and another one.
func (l login) options(name string, value any) map[string]any {
	o := map[string]any{name: value}
	if l.user != "" {
		o["username"] = l.user
	}
	if l.token != "" {
		o["password"] = l.token
	}
	return o
}

func guardedGoLibraries() []guardedLibrary {
	goRedis := func(protocol int) func(t *testing.T, s *guarded, l login) (counter, error) {
		return func(t *testing.T, s *guarded, l login) (counter, error) {
			return goRedisCounter{t.Context(), guardedGoRedis(t, s, l, protocol)}, nil
		}
	}
	goRedisSays := says{
		nobody: []string{"*proto.AuthError", "NOAUTH"}, wrong: []string{"*proto.AuthError", "WRONGPASS"},
		denied: []string{"*proto.PermissionError", "NOPERM"}, discarded: []string{"*proto.ExecAbortError", "EXECABORT"},
	}
	redigoSays := replies("redis.Error")
	redigoSays.discarded = redigoSays.denied // it has the first error of those before EXEC
	return []guardedLibrary{
		{library: library{name: "go-redis"}, says: goRedisSays, shown: 2, connect: goRedis(3)},
		{library: library{name: "go-redis with RESP 2"}, says: goRedisSays, shown: 2, connect: goRedis(2)},
		{library: library{name: "redigo"}, says: redigoSays, shown: 1,
			connect: func(t *testing.T, s *guarded, l login) (counter, error) {
				pool := &redis.Pool{Dial: func() (redis.Conn, error) { return guardedRedigo(t, s, l) }}
				t.Cleanup(func() { pool.Close() })
				return redigoCounter{pool}, nil
			}},
		{library: library{name: "rueidis"}, says: replies("*rueidis.RedisError"), shown: 1,
			connect: func(t *testing.T, s *guarded, l login) (counter, error) {
				c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.addr}, DisableCache: true,
					Username: l.user, Password: l.token, DialCtxFn: l.dial(t, s)})
				if err != nil {
					return nil, err
				}
				t.Cleanup(c.Close)
				return rueidisCounter{t.Context(), c}, nil
			}},
		{library: library{name: "valkey-go"}, says: replies("*valkey.ValkeyError"), shown: 1,
			connect: func(t *testing.T, s *guarded, l login) (counter, error) {
				c, err := valkey.NewClient(valkey.ClientOption{InitAddress: []string{s.addr}, DisableCache: true,
					Username: l.user, Password: l.token, DialCtxFn: l.dial(t, s)})
				if err != nil {
					return nil, err
				}
				t.Cleanup(c.Close)
				return valkeyCounter{t.Context(), c}, nil
			}},
	}
}

func guardedGoRedis(t *testing.T, s *guarded, l login, protocol int) *goredis.Client {
	o := &goredis.Options{Addr: s.addr, Username: l.user, Password: l.token, Protocol: protocol}
	if l.local {
		o.Network, o.Addr = "unix", s.socket
	} else {
		o.TLSConfig = s.authority.config(t, l.certificate)
	}
	c := goredis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func guardedRedigo(t *testing.T, s *guarded, l login) (redis.Conn, error) {
	o := []redis.DialOption{redis.DialUsername(l.user), redis.DialPassword(l.token), redis.DialReadTimeout(patience)}
	if l.local {
		return redis.Dial("unix", s.socket, o...)
	}
	o = append(o, redis.DialUseTLS(true), redis.DialTLSConfig(s.authority.config(t, l.certificate)))
	return redis.Dial("tcp", s.addr, o...)
}

// dial connects for libraries that take that from others.
func (l login) dial(t *testing.T, s *guarded) func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn,
	error) {
	return func(ctx context.Context, address string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
		if l.local {
			var d net.Dialer
			return d.DialContext(ctx, "unix", s.socket)
		}
		d := tls.Dialer{Config: s.authority.config(t, l.certificate)}
		return d.DialContext(ctx, "tcp", address)
	}
}
