package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// dialRedigo connects; redigo speaks RESP2 alone.
func dialRedigo(t *testing.T, s *running, options ...redis.DialOption) redis.Conn {
	t.Helper()
	c, err := redigo(s, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func redigo(s *running, options ...redis.DialOption) (redis.Conn, error) {
	options = append(options, redis.DialContextFunc(s.dial), redis.DialReadTimeout(patience),
		redis.DialWriteTimeout(patience))
	return redis.DialContext(context.Background(), "tcp", "", options...)
}

func wantRedigoError(t *testing.T, err error, words string) {
	t.Helper()
	var refused redis.Error
	if !errors.As(err, &refused) || !strings.HasPrefix(string(refused), words) {
		t.Errorf("the error is %v, want %q", err, words)
	}
}

func TestRedigoCommands(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *running) {
		c := dialRedigo(t, s, redis.DialClientName("tests"))
		for _, step := range []struct {
			command string
			want    string // as %v has it, strings quoted
		}{
			{"INCR a", "1"},
			{"INCRBY a 10", "11"},
			{"GET a", `"11"`},
			{"MGET a b", `["11" <nil>]`},
			{"GCD.COUNT a 18446744073709551604", `"18446744073709551615"`},
			{"GCD.INFO a", `["sum" "18446744073709551615" "epoch" 0]`},
			{"GETDEL a", `"18446744073709551615"`},
			{"GET a", "<nil>"},
			{"GETSET a 0", "<nil>"},
			{"SET a 0", `"OK"`},
			{"GCD.RESET a", `"OK"`},
			{"DEL a b", "0"},
			{"EXISTS a b", "0"},
			{"TYPE a", `"none"`},
			{"DBSIZE", "0"},
			{"CLIENT GETNAME", `"tests"`},
			{"SELECT 0", `"OK"`},
			{"ECHO x", `"x"`},
			{"RESET", `"RESET"`},
			{"CLIENT GETNAME", "<nil>"},
		} {
			words := strings.Fields(step.command)
			args := redis.Args{}.AddFlat(words[1:])
			got, err := c.Do(words[0], args...)
			if text := show(got); err != nil || text != step.want {
				t.Errorf("%s: %s (%v), want %s", step.command, text, err, step.want)
			}
		}
		for command, words := range map[string]string{
			"DECR a":                       "ERR DECR is not supported",
			"SET a 5":                      "ERR only 0 can be set",
			"EXPIRE a 1":                   "ERR EXPIRE is not supported",
			"INCRBY a 9223372036854775808": "ERR value is not an integer or out of range",
			"MONITOR":                      "ERR MONITOR is not supported",
			"NOSUCH":                       "ERR unknown command",
		} {
			args := strings.Fields(command)
			_, err := c.Do(args[0], redis.Args{}.AddFlat(args[1:])...)
			wantRedigoError(t, err, words)
		}
		_, err := redis.NewScript(1, "return 1").Do(c, "a")
		wantRedigoError(t, err, "ERR EVALSHA is not supported")
		if err := c.Err(); err != nil {
			t.Errorf("errors of commands have ended the connection: %v", err)
		}
	})
}

// show is a reply as text, with strings quoted.
func show(reply any) string {
	switch r := reply.(type) {
	case []byte:
		return fmt.Sprintf("%q", r)
	case string:
		return fmt.Sprintf("%q", r)
	case []any:
		var parts []string
		for _, part := range r {
			parts = append(parts, show(part))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(reply)
}

// What is sent before anything is received is answered in its order; a transaction among it is
// answered by EXEC.
func TestRedigoPipeline(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *running) {
		c := dialRedigo(t, s)
		const n = 1000
		for range n {
			c.Send("INCR", "pipeline")
		}
		for _, command := range []string{"MULTI", "INCR", "EXEC"} {
			if command == "INCR" {
				c.Send(command, "pipeline")
			} else {
				c.Send(command)
			}
		}
		c.Send("GET", "pipeline")
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if got, err := redis.Int(c.Receive()); got != i+1 || err != nil {
				t.Fatalf("answer %d is %d (%v)", i, got, err)
			}
		}
		for _, want := range []string{"OK", "QUEUED"} {
			if got, err := redis.String(c.Receive()); got != want || err != nil {
				t.Errorf("%q (%v), want %q", got, err, want)
			}
		}
		if got, err := redis.Ints(c.Receive()); len(got) != 1 || got[0] != n+1 || err != nil {
			t.Errorf("EXEC: %d (%v), want %d", got, err, n+1)
		}
		if got, err := redis.Int(c.Receive()); got != n+1 || err != nil {
			t.Errorf("after the transaction: %d (%v), want %d", got, err, n+1)
		}
	})
}

func TestRedigoPool(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *running) {
		pool := &redis.Pool{MaxActive: 4, MaxIdle: 4, Wait: true, Dial: func() (redis.Conn, error) { return redigo(s) },
			TestOnBorrowContext: func(_ context.Context, c redis.Conn, _ time.Time) error {
				_, err := c.Do("PING")
				return err
			}}
		defer pool.Close()
		countAtOnce(t, 16, 50, func() (int64, error) {
			c := pool.Get()
			defer c.Close()
			return redis.Int64(c.Do("INCR", "pool"))
		})

		// The pool's connections end with the server, and it notices when it looks at them.
		s.stop(t)
		s.start(t)
		c := pool.Get()
		defer c.Close()
		if n, err := redis.Int(c.Do("INCR", "pool")); n != 801 || err != nil {
			t.Errorf("after a restart: %d (%v)", n, err)
		}
	})
}

func TestRedigoScan(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *running) {
		c := dialRedigo(t, s)
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprintf("scan:%02d", i))
			c.Send("INCR", want[i])
		}
		if _, err := c.Do(""); err != nil {
			t.Fatal(err)
		}
		var got []string
		for cursor := "0"; ; {
			var topics []string
			values, err := redis.Values(c.Do("SCAN", cursor, "MATCH", "scan:*", "COUNT", 9))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := redis.Scan(values, &cursor, &topics); err != nil {
				t.Fatal(err)
			}
			if got = append(got, topics...); cursor == "0" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("SCAN has %q", got)
		}
	})
}

func TestRedigoConnection(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *running) {
		_, err := redigo(s, redis.DialPassword("secret"))
		wantRedigoError(t, err, "ERR AUTH <password> called without any password configured")
		_, err = redigo(s, redis.DialDatabase(1))
		wantRedigoError(t, err, "ERR DB index is out of range")

		c := dialRedigo(t, s)
		sub := redis.PubSubConn{Conn: c}
		if err := sub.Subscribe("channel"); err != nil {
			t.Fatal(err)
		}
		err, _ = sub.Receive().(error)
		wantRedigoError(t, err, "ERR SUBSCRIBE is not supported")
		if n, err := redis.Int(c.Do("INCR", "after")); n != 1 || err != nil {
			t.Errorf("then it is %d (%v), want 1", n, err)
		}
	})
}
