package clienttest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gcd/client"
	"gcd/client/clienttest"
	"gcd/codec"
	"gcd/server"
	"gcd/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for waits that must succeed: how long they take is not tested.
const patience = time.Minute

func start(t *testing.T, opts client.Options) (*clienttest.Server, *client.Client) {
	s := clienttest.NewServer()
	t.Cleanup(s.Close)
	if opts.Timeout == 0 {
		opts.Timeout = patience
	}
	c, err := s.NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c
}

// realServer is a client of a gcd server that keeps its counters in memory, over a socket.
func realServer(t *testing.T, opts client.Options) *client.Client {
	st, err := store.Open("", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(st, server.Options{TCP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve() })
	t.Cleanup(func() {
		s.Shutdown(context.Background())
		serving.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	opts.Timeout = patience
	c, err := client.New(s.TCPAddr().String(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The server in memory and the real one answer the same calls with the same values and the same
// classes of errors.
func TestAsTheRealServer(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"", "tcp"} {
		t.Run("network "+network, func(t *testing.T) {
			t.Parallel()
			opts := client.Options{Network: network}
			_, fake := start(t, opts)
			sameAnswers(t, realServer(t, opts), fake)
		})
	}
}

func sameAnswers(t *testing.T, clients ...*client.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// Each is one change of 49 bytes in the log, so 10,698 of them leave 22 of 524,224.
	sixteen := make([]string, 10_699)
	for i := range sixteen {
		sixteen[i] = fmt.Sprintf("%016d", i)
	}
	counted := func(topics ...string) func(c *client.Client) (any, error) {
		return func(c *client.Client) (any, error) {
			sums, err := c.CountMany(ctx, topics...)
			if len(sums) > 10 {
				return []any{len(sums), sums[0], sums[len(sums)-1]}, err
			}
			return sums, err
		}
	}
	steps := []struct {
		name string
		call func(c *client.Client) (any, error)
	}{
		{"count", func(c *client.Client) (any, error) { return c.Count(ctx, "orders") }},
		{"count again", func(c *client.Client) (any, error) { return c.Count(ctx, "orders") }},
		{"count the empty topic", func(c *client.Client) (any, error) { return c.Count(ctx, "") }},
		{"get", func(c *client.Client) (any, error) { return c.Get(ctx, "orders") }},
		{"get nothing", func(c *client.Client) (any, error) { return c.Get(ctx, "nothing") }},
		{"info", func(c *client.Client) (any, error) { return c.Info(ctx, "orders") }},
		{"info of nothing", func(c *client.Client) (any, error) { return c.Info(ctx, "nothing") }},
		{"range", func(c *client.Client) (any, error) {
			first, last, err := c.CountN(ctx, "orders", 10)
			return [2]uint64{first, last}, err
		}},
		{"many", func(c *client.Client) (any, error) { return c.CountMany(ctx, "orders", "others", "orders") }},
		{"reset", func(c *client.Client) (any, error) { return nil, c.Reset(ctx, "orders") }},
		{"info after it", func(c *client.Client) (any, error) { return c.Info(ctx, "orders") }},
		{"count after it", func(c *client.Client) (any, error) { return c.Count(ctx, "orders") }},
		{"up to the highest", func(c *client.Client) (any, error) {
			first, last, err := c.CountN(ctx, "full", math.MaxUint64)
			return [2]uint64{first, last}, err
		}},
		{"above it", func(c *client.Client) (any, error) { return c.Count(ctx, "full") }},
		{"some of many", func(c *client.Client) (any, error) { return c.CountMany(ctx, "orders", "full") }},
		{"none of many", func(c *client.Client) (any, error) { return c.CountMany(ctx, "full", "full") }},
		{"get the highest", func(c *client.Client) (any, error) { return c.Get(ctx, "full") }},
		{"no topic", func(c *client.Client) (any, error) { return c.Count(ctx, "\xff") }},
		{"too long a topic", func(c *client.Client) (any, error) { return c.Count(ctx, strings.Repeat("x", 65_536)) }},
		{"what is no text", counted("\r\n", "\x00", "a b", "$3\r\nfoo", strings.Repeat("x", 65_535), "")},
		{"reset nothing", func(c *client.Client) (any, error) { return nil, c.Reset(ctx, "nothing") }},
		{"reset nothing again", func(c *client.Client) (any, error) { return nil, c.Reset(ctx, "nothing") }},
		{"info after that", func(c *client.Client) (any, error) { return c.Info(ctx, "nothing") }},
		{"a range above the highest", func(c *client.Client) (any, error) {
			first, last, err := c.CountN(ctx, "others", math.MaxUint64)
			return [2]uint64{first, last}, err
		}},
		{"a range of none", func(c *client.Client) (any, error) {
			first, last, err := c.CountN(ctx, "others", 0)
			return [2]uint64{first, last}, err
		}},
		{"one of many", counted("orders")},
		{"no topics", counted()},
		{"the most", counted(sixteen[:10_698]...)},
		{"one more", counted(sixteen...)},
		{"the most and one again", counted(append([]string{sixteen[0]}, sixteen[:10_698]...)...)},
		{"22 bytes more", counted(append([]string{sixteen[0] + strings.Repeat("x", 22)}, sixteen[1:10_698]...)...)},
		{"23 bytes more", counted(append([]string{sixteen[0] + strings.Repeat("x", 23)}, sixteen[1:10_698]...)...)},
		{"after what was too much", func(c *client.Client) (any, error) { return c.Get(ctx, sixteen[0]) }},
		{"too many times one", counted(slices.Repeat([]string{"orders"}, 40_000)...)},
		{"after too many times", func(c *client.Client) (any, error) { return c.Count(ctx, "orders") }},
		{"ping", func(c *client.Client) (any, error) { return nil, c.Ping(ctx) }},
		{"counting", func(c *client.Client) (any, error) {
			figures, err := c.ServerInfo(ctx, "GCD")
			return figures["counting"] + figures["topics"], err
		}},
		{"all figures", func(c *client.Client) (any, error) {
			figures, err := c.ServerInfo(ctx)
			return figures["counting"], err
		}},
		{"figures of two sections", func(c *client.Client) (any, error) {
			figures, err := c.ServerInfo(ctx, "nosuch", "gcd")
			return figures["counting"], err
		}},
		{"no figures", func(c *client.Client) (any, error) { return c.ServerInfo(ctx, "nosuch") }},
	}
	for _, step := range steps {
		var got [2]string
		for i, c := range clients {
			value, err := step.call(c)
			got[i] = fmt.Sprint(value, " ", kindOf(err))
		}
		if got[0] != got[1] {
			t.Errorf("%s: the real server says %s, the one in memory %s", step.name, got[0], got[1])
		}
	}
}

// kindOf is the class of an error, and its code.
func kindOf(err error) string {
	var refused *client.RefusedError
	var partial *client.PartialError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &partial):
		return fmt.Sprint("partly refused: ", kindOf(errors.Join(partial.Refused...)))
	case errors.As(err, &refused):
		return fmt.Sprint("refused ", refused.Code)
	case errors.Is(err, client.ErrNotSent):
		return "not sent"
	case errors.Is(err, client.ErrUnknown):
		return "unknown"
	}
	return err.Error()
}

func wantKind(t *testing.T, err error, want string) {
	t.Helper()
	if got := kindOf(err); !strings.HasPrefix(got, want) || want == "" && got != "" {
		t.Errorf("%v, want %q", err, want)
	}
}

// Each code is seen by the client as it was given, over both protocols.
func TestRefuse(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"", "tcp"} {
		s, c := start(t, client.Options{Network: network})
		for code := codec.Code(1); code <= codec.CodeTooManyFailures; code++ {
			s.Refuse(code)
			_, err := c.Count(t.Context(), "orders")
			var refused *client.RefusedError
			if !errors.As(err, &refused) || refused.Code != code && !alike(refused.Code, code) {
				t.Errorf("network %q, code %d: %v", network, code, err)
			}
			wantKind(t, c.Reset(t.Context(), "orders"), "refused")
		}
		s.Refuse(0)
		if n, err := c.Count(t.Context(), "orders"); n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
}

// alike are codes that RESP does not tell apart.
func alike(got, want codec.Code) bool {
	return got == codec.CodeTooManyConns && want == codec.CodeTooManyConnsAddr ||
		got == codec.CodeMalformed && (want == codec.CodeTooManyRefusals || reserved(want))
}

// reserved are the codes that have no meaning yet.
func reserved(code codec.Code) bool {
	return code > codec.CodeStoppedAfterError && code < codec.CodeNotAuthenticated
}

func TestLoseAnswers(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"", "tcp"} {
		s, c := start(t, client.Options{Network: network})
		if _, err := c.Count(t.Context(), "orders"); err != nil {
			t.Error(err)
		}
		s.LoseAnswers(1)
		_, err := c.Count(t.Context(), "orders")
		wantKind(t, err, "unknown")
		if n, err := c.Count(t.Context(), "orders"); n != 3 || err != nil {
			t.Errorf("got %d, %v, want 3: the unknown count was made", n, err)
		}
		s.LoseAnswers(1)
		wantKind(t, c.Reset(t.Context(), "orders"), "unknown")
		if got := s.Topic("orders"); got != (client.TopicInfo{Epoch: 1}) {
			t.Errorf("after the unknown RESET the topic is %+v, want a new epoch and no count", got)
		}
	}
	s, c := start(t, client.Options{})
	s.LoseAnswers(1)
	_, err := c.CountMany(t.Context(), "a", "b")
	wantKind(t, err, "unknown")
	if s.Topic("a").Sum != 1 || s.Topic("b").Sum != 1 {
		t.Error("half of a transaction was done")
	}
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	s, c := start(t, client.Options{})
	s.SetTopic("orders", client.TopicInfo{Sum: 41, Epoch: 2})
	if n, err := c.Count(t.Context(), "orders"); n != 42 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	s.Stop()
	for i := 0; ; i++ {
		_, err := c.Count(t.Context(), "orders")
		if errors.Is(err, client.ErrUnknown) && i == 0 {
			continue // it was sent before the client saw the end
		}
		wantKind(t, err, "not sent")
		if !client.Retryable(err) {
			t.Error(err)
		}
		break
	}
	s.Start()
	if n, err := c.Count(t.Context(), "orders"); n != 43 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	s.Close()
	s.Start()
	if _, err := s.Dial(t.Context(), "", ""); err == nil {
		t.Error("a server that is closed was dialed")
	}
	if _, err := s.NewClient(client.Options{Network: "udp"}); err == nil {
		t.Error("a client over UDP was made")
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	_, c := start(t, client.Options{Network: "tcp"})
	for want := uint64(1); want < 4; want++ {
		if n, err := c.Count(t.Context(), strings.Repeat("x", 65_535)); n != want || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
	if err := c.Reset(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

// In a bubble of testing/synctest the client's time-outs are waited for at once, on the bubble's
// clock.
func TestHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer()
		defer s.Close()
		c, err := s.NewClient(client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Count(t.Context(), "orders"); err != nil {
			t.Error(err)
		}
		s.Hang()
		begun := time.Now()
		_, err = c.Count(t.Context(), "orders")
		wantKind(t, err, "unknown")
		if waited := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || waited != 5*time.Second {
			t.Errorf("after %v: %v", waited, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Count(ctx, "orders") // its connection is made while the server hangs
		wantKind(t, err, "not sent")
		s.Resume()
		if n, err := c.Count(t.Context(), "others"); n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

func TestCloseWhileHanging(t *testing.T) {
	t.Parallel()
	s, c := start(t, client.Options{})
	s.Hang()
	call := c.CountAsync(t.Context(), "orders")
	s.Close()
	select {
	case <-call.Done():
	case <-time.After(patience):
		t.Fatal("the call goes on after Close")
	}
	_, err := call.Result()
	wantKind(t, err, "not sent")
}

// A server that asks for a token is counted at by those who have it.
func TestRequireToken(t *testing.T) {
	t.Parallel()
	s, known := start(t, client.Options{Token: "secret"})
	wantDenied := func(c *client.Client) {
		t.Helper()
		if _, err := c.Count(t.Context(), "orders"); !errors.Is(err, client.ErrNotAuthenticated) {
			t.Errorf("the error says %v, want one of who asks", err)
		}
	}
	wantDenied(known) // nobody asks
	s.RequireToken("secret")
	if n, err := known.Count(t.Context(), "orders"); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if sums, err := known.CountMany(t.Context(), "orders", "others"); len(sums) != 2 || err != nil {
		t.Errorf("got %d, %v", sums, err)
	}
	for _, opts := range []client.Options{{}, {Network: "tcp"}, {Token: "another"}} {
		c, err := s.NewClient(opts)
		if err != nil {
			t.Fatal(err)
		}
		wantDenied(c)
		if opts.Network == "" && opts.Token == "" {
			_, err = c.CountMany(t.Context(), "orders", "others")
			wantKind(t, err, "refused not authenticated")
			wantKind(t, c.Ping(t.Context()), "")
		}
		c.Close()
	}
	s.RequireToken("rotated")
	wantDenied(known)
	s.RequireToken("secret")
	if n, err := known.Count(t.Context(), "orders"); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}
