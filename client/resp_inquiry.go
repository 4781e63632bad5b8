package client

import (
	"bytes"
	"context"
	"errors"

	"gcd/codec"
	"gcd/resp"
)

// inquiry is what a call asks over RESP that is neither a COUNT nor a RESET: one command or
// several, which go out in one piece, and what their replies mean.
type inquiry struct {
	what  string // for messages, such as `GET "orders"`
	kind  string // of it, in the plural, for what a network cannot carry
	wire  []byte // the commands
	left  int    // replies that are still to come, as far as is known; guarded by pipeline.mu
	reads bool   // it changes nothing

	// take gets the replies in their order. Its refusal counts with the last of them; a surprise,
	// at any of them, is a reply that is none to this. What it keeps is there for the caller once
	// the call has succeeded, and is not to be looked at before.
	take func(resp.Reply) (refused, surprise error)
}

// last reports whether a reply that came is the last.
func (q *inquiry) last(r resp.Reply) bool {
	if q.left--; r.Kind == '*' {
		q.left += int(min(r.Number, maxElements))
	}
	return q.left == 0
}

// maxElements is the most elements of an array that a call is answered with.
const maxElements = 1 << 16

// ask makes a call about topics and waits for its end.
func (p *pipeline) ask(ctx context.Context, q *inquiry, topics ...string) error {
	cmd := &command{Call: Call{ctx: ctx}, ask: q}
	err := p.check(ctx, "")
	for i := 0; i < len(topics) && err == nil; i++ {
		err = p.check(ctx, topics[i])
	}
	p.start(cmd, err, false)
	p.await(ctx, cmd)
	_, err = cmd.Result()
	return err
}

// single is an inquiry of one command with one reply, which is an error or what answer takes.
func single(kind, what string, answer func(resp.Reply) (surprise error), words ...string) *inquiry {
	return &inquiry{what: what, kind: kind, wire: resp.AppendCommand(nil, words...), left: 1, reads: true,
		take: func(r resp.Reply) (refused, surprise error) {
			if r.Kind == '-' {
				return refusal(r.Text), nil
			}
			return nil, answer(r)
		}}
}

// ask makes an inquiry, if there is a network that carries it.
func (c *Client) ask(ctx context.Context, q *inquiry, topics ...string) error {
	if c.pipeline == nil {
		return requestError(c.addr, c.opts.Network, q.what, unsupported(c.opts.Network, q.kind))
	}
	return c.pipeline.ask(ctx, q, topics...)
}

// CountN adds n to the topic's sum at once and returns the first and the last number of the range
// that is the caller's: n numbers that nobody else gets. It needs RESP. Topics and errors are those
// of Count; n is at least 1.
func (c *Client) CountN(ctx context.Context, topic string, n uint64) (first, last uint64, err error) {
	switch {
	case c.pipeline == nil:
		err = unsupported(c.opts.Network, "ranges")
	case n == 0:
		err = notSent(misuse("a range of 0 numbers, want at least 1"))
	default:
		if last, err = c.pipeline.do(ctx, codec.OpCount, topic, n); err != nil {
			return 0, 0, err
		}
		return last - (n - 1), last, nil
	}
	return 0, 0, c.requestError(codec.OpCount, topic, err)
}

// Get returns the topic's sum, 0 if it was never counted, and counts nothing. It needs RESP. A Get
// that got no answer is unknown like a Count, and may be made again all the same: Retryable says
// so.
func (c *Client) Get(ctx context.Context, topic string) (uint64, error) {
	var sum uint64
	q := single("reads", "GET "+brief(topic), func(r resp.Reply) (err error) {
		if r.Kind != '_' { // of a topic that has no sum
			sum, err = sumOf(r, 0)
		}
		return err
	}, "GET", topic)
	if err := c.ask(ctx, q, topic); err != nil {
		return 0, err
	}
	return sum, nil
}

// TopicInfo is what a server knows of a topic. No two counts have the same epoch and sum.
type TopicInfo struct {
	Sum   uint64
	Epoch uint64 // how often the topic was reset
}

// Info returns the topic's sum and epoch, and counts nothing. It needs RESP, and fails as Get does.
func (c *Client) Info(ctx context.Context, topic string) (TopicInfo, error) {
	var info TopicInfo
	var field []byte // whose value comes next
	n := 0
	q := single("reads", "GCD.INFO "+brief(topic), func(r resp.Reply) (err error) {
		switch n++; {
		case n == 1:
			if r.Kind != '*' || r.Number%2 != 0 || r.Number > maxElements {
				err = errors.New("the answer to a GCD.INFO is no list of fields")
			}
		case n%2 == 0 && r.Kind == '$':
			field = bytes.Clone(r.Text)
		case n%2 == 0:
			err = errors.New("a field of the answer to a GCD.INFO has no name")
		case string(field) == "sum":
			info.Sum, err = sumOf(r, 0)
		case string(field) == "epoch":
			info.Epoch, err = sumOf(r, 0)
		}
		return err
	}, "GCD.INFO", topic)
	if err := c.ask(ctx, q, topic); err != nil {
		return TopicInfo{}, err
	}
	return info, nil
}

// Ping returns nil when the server can count just now. While it cannot, because it loads or stops,
// or because its disk is full or has failed, the error is a refusal that says so. It needs RESP.
func (c *Client) Ping(ctx context.Context) error {
	return c.ask(ctx, single("PING", "PING", func(r resp.Reply) error {
		if r.Kind != '+' || string(r.Text) != "PONG" {
			return errors.New("the answer to a PING is not PONG")
		}
		return nil
	}, "PING"))
}

// ServerInfo returns figures of the server: those of the named sections of INFO, or of all, by
// their names, such as "counting" and "uptime_in_seconds". It needs RESP.
func (c *Client) ServerInfo(ctx context.Context, section ...string) (map[string]string, error) {
	figures := make(map[string]string)
	q := single("figures of the server", "INFO", func(r resp.Reply) error {
		if r.Kind != '$' {
			return errors.New("the answer to an INFO is no text")
		}
		for line := range bytes.Lines(r.Text) {
			name, value, ok := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(":"))
			if ok && !bytes.HasPrefix(line, []byte("#")) {
				figures[string(name)] = string(value)
			}
		}
		return nil
	}, append([]string{"INFO"}, section...)...)
	if err := c.ask(ctx, q); err != nil {
		return nil, err
	}
	return figures, nil
}
