//go:build linux

package clients

import (
	"context"
	"errors"
	"os"
	"regexp"
	"testing"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/valkey-io/valkey-go"
)

func goLibraries() []library {
	return []library{
		{name: "go-redis", again: 1, open: func(t *testing.T, addr string, once bool) (counter, string) {
			o := &goredis.Options{Addr: addr}
			if once {
				o.MaxRetries = -1
			}
			c := goredis.NewClient(o)
			t.Cleanup(func() { c.Close() })
			return goRedisCounter{t.Context(), c}, moduleVersion(t, "github.com/redis/go-redis/v9")
		}},
		{name: "redigo", open: func(t *testing.T, addr string, _ bool) (counter, string) {
			p := &redis.Pool{Dial: func() (redis.Conn, error) { return redis.Dial("tcp", addr) }}
			t.Cleanup(func() { p.Close() })
			return redigoCounter{p}, moduleVersion(t, "github.com/gomodule/redigo")
		}},
		{name: "rueidis", open: func(t *testing.T, addr string, _ bool) (counter, string) {
			c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			return rueidisCounter{t.Context(), c}, moduleVersion(t, "github.com/redis/rueidis")
		}},
		{name: "valkey-go", open: func(t *testing.T, addr string, _ bool) (counter, string) {
			c, err := valkey.NewClient(valkey.ClientOption{InitAddress: []string{addr}, DisableCache: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			return valkeyCounter{t.Context(), c}, moduleVersion(t, "github.com/valkey-io/valkey-go")
		}},
	}
}

// moduleVersion is the version of a module in go.mod.
func moduleVersion(t *testing.T, module string) string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^\s` + regexp.QuoteMeta(module) + ` v(\S+)$`).FindSubmatch(text)
	if version == nil {
		t.Fatalf("go.mod has no %s", module)
	}
	return string(version[1])
}

// oneByOne counts with one call after the other.
func oneByOne(n int, got func(int64), incr func() (int64, error)) error {
	for range n {
		v, err := incr()
		if err != nil {
			return err
		}
		got(v)
	}
	return nil
}

type goRedisCounter struct {
	ctx context.Context
	c   *goredis.Client
}

func (g goRedisCounter) incr(topic string, n int, got func(int64)) error {
	return oneByOne(n, got, func() (int64, error) { return g.c.Incr(g.ctx, topic).Result() })
}

func (g goRedisCounter) pipeline(topic string, n int) ([]int64, error) {
	return goRedisNumbers(g.c.Pipelined(g.ctx, func(p goredis.Pipeliner) error {
		for range n {
			p.Incr(g.ctx, topic)
		}
		return nil
	}))
}

func (g goRedisCounter) transaction(topic, other string, n int) ([]int64, error) {
	return goRedisNumbers(g.c.TxPipelined(g.ctx, func(p goredis.Pipeliner) error {
		for range n {
			p.Incr(g.ctx, topic)
			p.Incr(g.ctx, other)
		}
		return nil
	}))
}

func goRedisNumbers(answers []goredis.Cmder, err error) ([]int64, error) {
	var numbers []int64
	for _, answer := range answers {
		numbers = append(numbers, answer.(*goredis.IntCmd).Val())
	}
	return numbers, err
}

func (g goRedisCounter) get(topic string) (int64, error) {
	return g.c.Get(g.ctx, topic).Int64()
}

// redigoCounter takes a connection from the pool for each call.
type redigoCounter struct{ pool *redis.Pool }

func (r redigoCounter) incr(topic string, n int, got func(int64)) error {
	return oneByOne(n, got, func() (int64, error) {
		c := r.pool.Get()
		defer c.Close()
		return redis.Int64(c.Do("INCR", topic))
	})
}

func (r redigoCounter) pipeline(topic string, n int) ([]int64, error) {
	c := r.pool.Get()
	defer c.Close()
	for range n {
		if err := c.Send("INCR", topic); err != nil {
			return nil, err
		}
	}
	return redis.Int64s(c.Do(""))
}

func (r redigoCounter) transaction(topic, other string, n int) ([]int64, error) {
	c := r.pool.Get()
	defer c.Close()
	err := c.Send("MULTI")
	for range n {
		err = errors.Join(err, c.Send("INCR", topic), c.Send("INCR", other))
	}
	if err != nil {
		return nil, err
	}
	return redis.Int64s(c.Do("EXEC"))
}

func (r redigoCounter) get(topic string) (int64, error) {
	c := r.pool.Get()
	defer c.Close()
	return redis.Int64(c.Do("GET", topic))
}

type rueidisCounter struct {
	ctx context.Context
	c   rueidis.Client
}

func (r rueidisCounter) incr(topic string, n int, got func(int64)) error {
	return oneByOne(n, got, func() (int64, error) { return r.c.Do(r.ctx, r.c.B().Incr().Key(topic).Build()).AsInt64() })
}

func (r rueidisCounter) pipeline(topic string, n int) ([]int64, error) {
	var commands rueidis.Commands
	for range n {
		commands = append(commands, r.c.B().Incr().Key(topic).Build())
	}
	var numbers []int64
	for _, answer := range r.c.DoMulti(r.ctx, commands...) {
		v, err := answer.AsInt64()
		if err != nil {
			return numbers, err
		}
		numbers = append(numbers, v)
	}
	return numbers, nil
}

func (r rueidisCounter) transaction(topic, other string, n int) ([]int64, error) {
	var numbers []int64
	err := r.c.Dedicated(func(c rueidis.DedicatedClient) error {
		commands := rueidis.Commands{c.B().Multi().Build()}
		for range n {
			commands = append(commands, c.B().Incr().Key(topic).Build(), c.B().Incr().Key(other).Build())
		}
		answers := c.DoMulti(r.ctx, append(commands, c.B().Exec().Build())...)
		var err error
		numbers, err = answers[len(answers)-1].AsIntSlice()
		return err
	})
	return numbers, err
}

func (r rueidisCounter) get(topic string) (int64, error) {
	return r.c.Do(r.ctx, r.c.B().Get().Key(topic).Build()).AsInt64()
}

type valkeyCounter struct {
	ctx context.Context
	c   valkey.Client
}

func (v valkeyCounter) incr(topic string, n int, got func(int64)) error {
	return oneByOne(n, got, func() (int64, error) { return v.c.Do(v.ctx, v.c.B().Incr().Key(topic).Build()).AsInt64() })
}

func (v valkeyCounter) pipeline(topic string, n int) ([]int64, error) {
	var commands valkey.Commands
	for range n {
		commands = append(commands, v.c.B().Incr().Key(topic).Build())
	}
	var numbers []int64
	for _, answer := range v.c.DoMulti(v.ctx, commands...) {
		n, err := answer.AsInt64()
		if err != nil {
			return numbers, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func (v valkeyCounter) transaction(topic, other string, n int) ([]int64, error) {
	var numbers []int64
	err := v.c.Dedicated(func(c valkey.DedicatedClient) error {
		commands := valkey.Commands{c.B().Multi().Build()}
		for range n {
			commands = append(commands, c.B().Incr().Key(topic).Build(), c.B().Incr().Key(other).Build())
		}
		answers := c.DoMulti(v.ctx, append(commands, c.B().Exec().Build())...)
		var err error
		numbers, err = answers[len(answers)-1].AsIntSlice()
		return err
	})
	return numbers, err
}

func (v valkeyCounter) get(topic string) (int64, error) {
	return v.c.Do(v.ctx, v.c.B().Get().Key(topic).Build()).AsInt64()
}

// rueidis and valkey-go ask for notices of changes unless they are told not to, and gcd has none.
func TestClientsThatTrack(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *running) {
		_, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.addr}})
		if !errors.Is(err, rueidis.ErrNoCache) {
			t.Errorf("rueidis with its defaults: %v, want %v", err, rueidis.ErrNoCache)
		}
		_, err = valkey.NewClient(valkey.ClientOption{InitAddress: []string{s.addr}})
		if !errors.Is(err, valkey.ErrNoCache) {
			t.Errorf("valkey-go with its defaults: %v, want %v", err, valkey.ErrNoCache)
		}
	})
}
