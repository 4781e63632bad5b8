package server_test

import (
	"errors"
	"testing"

	"gcd/client"
	"gcd/codec"
	"gcd/server"
	"gcd/store/core"
)

// The client reads the code of the protocol out of what the server says over RESP, for every reason
// of the backend's: no text can change on one side alone.
func TestRESPRefusalsAsTheClientSeesThem(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		outcomes := map[string]struct {
			err  error
			code codec.Code
		}{
			"overflow": {core.ErrOverflow, codec.CodeSumAtMaximum},
			"long":     {core.ErrTopicTooLong, codec.CodeTopicTooLong},
			"many":     {core.ErrTooManyTopics, codec.CodeTooManyTopics},
			"full":     {core.ErrLogFull, codec.CodeNoRoom},
			"closed":   {core.ErrClosed, codec.CodeShuttingDown},
			"failed":   {core.ErrFailed, codec.CodeStoppedAfterError},
		}
		s, f := serveFake(t, o)
		f.decide(func(op *core.Op) error { return outcomes[string(op.Topic)].err })
		c, err := client.New(s.addr("tcp"), client.Options{Network: "resp", Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for topic, want := range outcomes {
			_, err := c.Count(t.Context(), topic)
			var refused *client.RefusedError
			if !errors.As(err, &refused) || refused.Code != want.code {
				t.Errorf("%s: %v, want code %d", topic, err, want.code)
			}
		}

		// Those that are no backend's.
		o.MaxInFlightBytes = 1
		busy, _ := serveFake(t, o)
		for addr, want := range map[string]codec.Code{busy.addr("tcp"): codec.CodeTooManyRequests,
			full(t, o): codec.CodeTooManyConns} {
			c, err := client.New(addr, client.Options{Network: "resp", Timeout: patience})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Count(t.Context(), "orders")
			var refused *client.RefusedError
			if !errors.As(err, &refused) || refused.Code != want {
				t.Errorf("%v, want code %d", err, want)
			}
			c.Close()
		}
	})
}

// full is the address of a server that has as many connections as it may.
func full(t *testing.T, o server.Options) string {
	o.MaxConns = 1
	s, _ := serveFake(t, o)
	dial(t, "tcp", s.addr("tcp"))
	eventually(t, "the place is taken", func() bool { return s.Stats().Connections == 1 })
	return s.addr("tcp")
}
