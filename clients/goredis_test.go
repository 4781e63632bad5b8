package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// dialGoRedis makes a client that counts once for each call: go-redis sends again what got no
// answer unless it is told not to.
func dialGoRedis(t *testing.T, s *running, version int, change func(*redis.Options)) *redis.Client {
	o := &redis.Options{Dialer: s.dial, Protocol: version, MaxRetries: -1, PoolSize: 4, DialerRetries: 1,
		ReadTimeout: patience, WriteTimeout: patience, ClientName: "tests"}
	if change != nil {
		change(o)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// wantRefused checks that a command failed with an error of the server's own that begins with the
// words.
func wantRefused(t *testing.T, err error, words string) {
	t.Helper()
	var refused redis.Error
	if !errors.As(err, &refused) || err == redis.Nil || !strings.HasPrefix(err.Error(), words) {
		t.Errorf("the error is %v, want %q", err, words)
	}
}

func TestGoRedisCounts(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, s *running, version int) {
		c, ctx := dialGoRedis(t, s, version, nil), t.Context()
		topic := fmt.Sprintf("counts%d", version)
		other := topic + "-other"
		for _, step := range []struct {
			name string
			do   func() (any, error)
			want any
		}{
			{"INCR", func() (any, error) { return c.Incr(ctx, topic).Result() }, int64(1)},
			{"INCRBY", func() (any, error) { return c.IncrBy(ctx, topic, 10).Result() }, int64(11)},
			{"GET", func() (any, error) { return c.Get(ctx, topic).Uint64() }, uint64(11)},
			{"MGET", func() (any, error) {
				v, err := c.MGet(ctx, topic, other).Result()
				return fmt.Sprint(v), err
			}, "[11 <nil>]"},
			{"EXISTS", func() (any, error) { return c.Exists(ctx, topic, other).Result() }, int64(1)},
			{"TOUCH", func() (any, error) { return c.Touch(ctx, topic, other).Result() }, int64(1)},
			{"TYPE", func() (any, error) { return c.Type(ctx, topic).Result() }, "string"},
			{"STRLEN", func() (any, error) { return c.StrLen(ctx, topic).Result() }, int64(2)},
			{"TTL", func() (any, error) { d, err := c.TTL(ctx, topic).Result(); return int64(d), err }, int64(-1)},
			{"PTTL", func() (any, error) { d, err := c.PTTL(ctx, other).Result(); return int64(d), err }, int64(-2)},
			{"GETDEL", func() (any, error) { return c.GetDel(ctx, topic).Result() }, "11"},
			{"INCR after it", func() (any, error) { return c.Incr(ctx, topic).Result() }, int64(1)},
			{"GETSET", func() (any, error) { return c.Do(ctx, "GETSET", topic, 0).Text() }, "1"},
			{"INCR of another", func() (any, error) { return c.Incr(ctx, other).Result() }, int64(1)},
			{"SET 0", func() (any, error) { return c.Set(ctx, other, 0, 0).Result() }, "OK"},
			{"DEL of what is not there", func() (any, error) { return c.Del(ctx, topic, other).Result() }, int64(0)},
			{"UNLINK", func() (any, error) { return c.Unlink(ctx, topic).Result() }, int64(0)},
			{"GCD.COUNT", func() (any, error) { return c.Do(ctx, "GCD.COUNT", topic, uint64(1<<64-1)).Text() },
				"18446744073709551615"},
			{"GCD.RESET", func() (any, error) { return c.Do(ctx, "GCD.RESET", topic).Text() }, "OK"},
		} {
			if got, err := step.do(); err != nil || got != step.want {
				t.Errorf("%s: %v (%v), want %v", step.name, got, err, step.want)
			}
		}
		if _, err := c.Get(ctx, topic).Result(); err != redis.Nil {
			t.Errorf("GET after a reset: %v, want nil", err)
		}
		info, err := c.Do(ctx, "GCD.INFO", topic).Result()
		if want := map[int]string{2: "[sum 0 epoch 3]", 3: "map[epoch:3 sum:0]"}[version]; err != nil ||
			fmt.Sprint(info) != want {
			t.Errorf("GCD.INFO: %v (%v), want %s", info, err, want)
		}
	})
}

// What would break a promise fails with a reason, and what comes after it on the same connection is
// served.
func TestGoRedisRefusals(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, s *running, version int) {
		c, ctx := dialGoRedis(t, s, version, func(o *redis.Options) { o.PoolSize = 1 }), t.Context()
		topic := fmt.Sprintf("refusals%d", version)
		if err := c.IncrBy(ctx, topic, 7).Err(); err != nil {
			t.Fatal(err)
		}
		for words, err := range map[string]error{
			"ERR DECRBY is not supported":              c.DecrBy(ctx, topic, 2).Err(),
			"ERR DECR is not supported":                c.Decr(ctx, topic).Err(),
			"ERR INCRBYFLOAT is not supported":         c.IncrByFloat(ctx, topic, 1.5).Err(),
			"ERR increment must be above 0":            c.IncrBy(ctx, topic, 0).Err(),
			"ERR increment or decrement would over":    c.IncrBy(ctx, topic, 1<<63-1).Err(),
			"ERR only 0 can be set":                    c.Set(ctx, topic, 5, 0).Err(),
			"ERR SET takes no options":                 c.Set(ctx, topic, 0, patience).Err(),
			"ERR EXPIRE is not supported":              c.Expire(ctx, topic, patience).Err(),
			"ERR FLUSHALL is not supported":            c.FlushAll(ctx).Err(),
			"ERR RENAME is not supported":              c.Rename(ctx, topic, "x").Err(),
			"ERR EVALSHA is not supported":             redis.NewScript("return 1").Run(ctx, c, nil).Err(),
			"ERR PUBLISH is not supported":             c.Publish(ctx, "channel", "x").Err(),
			"ERR unknown command":                      c.LPush(ctx, topic, 1).Err(),
			"ERR topic is not UTF-8":                   c.Incr(ctx, "\xff").Err(),
			"ERR This instance has cluster support":    c.ClusterInfo(ctx).Err(),
			"ERR CONFIG SET is not supported":          c.ConfigSet(ctx, "save", "").Err(),
			"ERR wrong number of arguments for 'incr'": c.Do(ctx, "INCR").Err(),
		} {
			wantRefused(t, err, words)
		}
		if n, err := c.Incr(ctx, topic).Result(); n != 8 || err != nil {
			t.Errorf("then it is %d (%v), want 8", n, err)
		}
	})
}

// A pipeline is answered in its order, reads and errors among it.
func TestGoRedisPipeline(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, s *running, version int) {
		c, ctx := dialGoRedis(t, s, version, nil), t.Context()
		topic := fmt.Sprintf("pipeline%d", version)
		const n = 1000
		got, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for range n {
				p.Incr(ctx, topic)
				p.Get(ctx, topic)
			}
			p.Decr(ctx, topic)
			p.Incr(ctx, topic)
			return nil
		})
		wantRefused(t, err, "ERR DECR is not supported")
		if len(got) != 2*n+2 {
			t.Fatalf("%d answers", len(got))
		}
		for i := range n {
			sum, read := got[2*i].(*redis.IntCmd), got[2*i+1].(*redis.StringCmd)
			if sum.Val() != int64(i+1) || read.Val() != strconv.Itoa(i+1) {
				t.Fatalf("answer %d is %v, %v", i, sum, read)
			}
		}
		if last := got[2*n+1].(*redis.IntCmd); last.Val() != n+1 || last.Err() != nil {
			t.Errorf("after the error: %v", last)
		}
	})
}

// A transaction is answered as a whole; one that cannot be run is not run in part, and the
// connection goes on.
func TestGoRedisTransaction(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, s *running, version int) {
		c, ctx := dialGoRedis(t, s, version, func(o *redis.Options) { o.PoolSize = 1 }), t.Context()
		topic := fmt.Sprintf("transaction%d", version)
		var last *redis.IntCmd
		other := topic + "other"
		if _, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Incr(ctx, topic)
			last = p.IncrBy(ctx, topic, 9)
			p.Incr(ctx, other)
			return nil
		}); err != nil || last.Val() != 10 {
			t.Errorf("the last count is %d (%v), want 10", last.Val(), err)
		}
		_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Incr(ctx, topic)
			p.Expire(ctx, topic, time.Minute)
			return nil
		})
		wantRefused(t, err, "E") // of EXPIRE, or of EXEC
		wantRefused(t, c.Watch(ctx, func(*redis.Tx) error { return nil }, topic), "ERR WATCH is not supported")
		if n, err := c.Incr(ctx, topic).Result(); n != 11 || err != nil {
			t.Errorf("then it is %d (%v), want 11", n, err)
		}
	})
}

// Many goroutines over a small pool: each number once.
func TestGoRedisPool(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, s *running, version int) {
		c, ctx := dialGoRedis(t, s, version, nil), t.Context()
		countAtOnce(t, 16, 50, func() (int64, error) {
			return c.Incr(ctx, fmt.Sprintf("pool%d", version)).Result()
		})
	})
}

func TestGoRedisScan(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, s *running, version int) {
		c, ctx := dialGoRedis(t, s, version, nil), t.Context()
		prefix := fmt.Sprintf("scan%d:", version)
		var want []string
		if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := range 300 {
				topic := fmt.Sprintf("%s%03d", prefix, i)
				want = append(want, topic)
				p.Incr(ctx, topic)
			}
			p.Incr(ctx, "not it")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var got []string
		all := c.ScanType(ctx, 0, prefix+"*", 7, "string").Iterator()
		for all.Next(ctx) {
			got = append(got, all.Val())
		}
		if err := all.Err(); err != nil || !slices.Equal(got, want) {
			t.Errorf("SCAN has %d topics (%v), want %d", len(got), err, len(want))
		}
		keys, err := c.Keys(ctx, prefix+"*").Result()
		if slices.Sort(keys); err != nil || !slices.Equal(keys, want) {
			t.Errorf("KEYS has %d topics (%v), want %d", len(keys), err, len(want))
		}
		if n, err := c.DBSize(ctx).Result(); n < 301 || err != nil {
			t.Errorf("DBSIZE is %d (%v)", n, err)
		}
	})
}

// What the library asks and tells when it connects, and what it can parse of what the server says
// of itself.
func TestGoRedisConnection(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, s *running, version int) {
		c, ctx := dialGoRedis(t, s, version, nil), t.Context()
		if name, err := c.ClientGetName(ctx).Result(); name != "tests" || err != nil {
			t.Errorf("the name is %q (%v)", name, err)
		}
		info, err := c.ClientInfo(ctx).Result()
		if err != nil || info.Name != "tests" || !strings.HasPrefix(info.LibName, "go-redis") || info.LibVer == "" {
			t.Errorf("CLIENT INFO: %+v (%v)", info, err)
		}
		if list, err := c.ClientList(ctx).Result(); err != nil || !strings.Contains(list, "name=tests ") {
			t.Errorf("CLIENT LIST: %q (%v)", list, err)
		}
		if text, err := c.Info(ctx, "server").Result(); err != nil || !strings.Contains(text, "redis_version:") {
			t.Errorf("INFO: %q (%v)", text, err)
		}
		if sections, err := c.InfoMap(ctx).Result(); err != nil || sections["GCD"]["unknown"] != "0" {
			t.Errorf("INFO as a map: %v (%v)", sections["GCD"], err)
		}
		if settings, err := c.ConfigGet(ctx, "append*").Result(); err != nil || settings["appendonly"] != "yes" {
			t.Errorf("CONFIG GET: %v (%v)", settings, err)
		}
		commands, err := c.Command(ctx).Result()
		if err != nil || commands["incr"] == nil || commands["incr"].Arity != 2 || commands["get"] == nil ||
			!commands["get"].ReadOnly {
			t.Errorf("COMMAND: %d commands (%v)", len(commands), err)
		}
		hello, err := c.Do(ctx, "HELLO", version).Result()
		if err != nil || !strings.Contains(fmt.Sprint(hello), "7.2.0") {
			t.Errorf("HELLO: %v (%v)", hello, err)
		}
		if now, err := c.Time(ctx).Result(); err != nil || now.Year() < 2024 {
			t.Errorf("TIME: %v (%v)", now, err)
		}
		if pong, err := c.Ping(ctx).Result(); err != nil || pong != "PONG" {
			t.Errorf("PING: %q (%v)", pong, err)
		}
		wantRefused(t, dialGoRedis(t, s, version, func(o *redis.Options) { o.DB = 1 }).Ping(ctx).Err(),
			"ERR DB index is out of range")
		if err := dialGoRedis(t, s, version,
			func(o *redis.Options) { o.Password = "secret" }).Ping(ctx).Err(); err == nil ||
			!strings.Contains(err.Error(), "without any password configured") {
			t.Errorf("with a password: %v", err)
		}
	})
}

func TestGoRedisSubscribe(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, s *running, version int) {
		c, ctx := dialGoRedis(t, s, version, nil), t.Context()
		sub := c.Subscribe(ctx, "channel")
		defer sub.Close()
		_, err := sub.Receive(ctx)
		wantRefused(t, err, "ERR SUBSCRIBE is not supported")
	})
}

// A pool whose server was started again connects anew, and the numbers go on.
func TestGoRedisReconnects(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *running) {
		c := dialGoRedis(t, s, 3, func(o *redis.Options) { o.PoolSize = 1 })
		var last int64
		count := func() error {
			n, err := c.Incr(context.Background(), "reconnects").Result()
			if err == nil && n <= last {
				t.Errorf("%d after %d", n, last)
			}
			last = max(last, n)
			return err
		}
		for i := range 2 {
			if err := count(); err != nil {
				t.Fatal(err)
			}
			s.stop(t)
			err := count()
			s.start(t)
			if err == nil {
				t.Fatal("counted without a server")
			}
			// Once for a connection to the old server, and until the pool forgets that it could not
			// connect.
			for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); {
				err = count()
			}
			if err != nil || last != int64(2*i+2) {
				t.Fatalf("it is at %d after restart %d (%v)", last, i, err)
			}
		}
	})
}
