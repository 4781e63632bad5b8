package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"gcd/codec"
	"gcd/resp"
)

// maxTransaction is how many bytes the topics of a CountMany have together; a server takes fewer.
const maxTransaction = 1 << 20

// PartialError is the failure of a CountMany of which a part was counted: the server took all
// topics as one transaction, and refused some of them. It is of none of the classes. Counting all
// of them again counts the others twice.
type PartialError struct {
	// Refused has a refusal for each topic that was not counted, which is ErrRefused and has a
	// RefusedError, and nil for each that was, in the order of the topics.
	Refused []error
}

func (e *PartialError) Error() string {
	refused, first := 0, error(nil)
	for _, err := range e.Refused {
		if err != nil {
			refused++
			first = cmp.Or(first, err)
		}
	}
	return fmt.Sprintf("%d of %d topics were not counted and the others were: %v", refused, len(e.Refused), first)
}

// CountMany adds one to the sum of each topic and returns the new sums in the order of the topics;
// a topic that is named twice is counted twice. The counts are one transaction: they are durable
// together, nobody else's count is between them, and a call that is refused, not sent, or
// interrupted has counted all of them or none. Errors are those of Count, and one more: a server
// that has to refuse single topics, since the sum of one is at its maximum or it takes no more new
// ones, counts the others all the same, and the error is a *PartialError beside the sums, with 0
// for those refused. It needs RESP, and a server that has transactions: others refuse the whole.
func (c *Client) CountMany(ctx context.Context, topics ...string) ([]uint64, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	m := many{topics: len(topics)}
	q := &inquiry{
		what: "COUNT of " + briefMany(topics),
		kind: "counts of several topics",
		left: len(topics) + 2,
		take: m.take,
	}
	size := 0
	for _, topic := range topics {
		size += len(topic)
	}
	if len(topics) > maxElements || size > maxTransaction {
		return nil, requestError(c.addr, "resp", q.what, &RefusedError{
			Code: codec.CodeMessageTooLong,
			Text: fmt.Sprintf("at most %d topics of %d bytes together at once", maxElements, maxTransaction),
		})
	}
	q.wire = resp.AppendCommand(nil, "MULTI")
	for _, topic := range topics {
		q.wire = resp.AppendCommand(q.wire, "GCD.COUNT", topic)
	}
	q.wire = resp.AppendCommand(q.wire, "EXEC")
	if err := c.ask(ctx, q, topics...); err != nil {
		return nil, err
	}
	if m.counted < len(topics) {
		for i, refusal := range m.refused {
			if refusal != nil {
				m.refused[i] = fmt.Errorf("%w: %w", ErrRefused, refusal)
			}
		}
		return m.sums, fmt.Errorf("client: %s at %s (resp): %w", q.what, c.addr, &PartialError{Refused: m.refused})
	}
	return m.sums, nil
}

// many understands the replies to MULTI, a COUNT for each topic, and EXEC.
type many struct {
	topics  int
	replies int   // that came
	queued  error // why the server refused to begin, or to queue a command: then EXEC runs nothing

	sums    []uint64
	refused []error
	counted int
}

func (m *many) take(r resp.Reply) (refused, surprise error) {
	n := m.replies
	m.replies++
	switch {
	case n <= m.topics: // MULTI and what it queues
		switch {
		case r.Kind == '-':
			m.queued = cmp.Or(m.queued, refusal(r.Text))
		case r.Kind != '+' || n == 0 && string(r.Text) != "OK" || n > 0 && string(r.Text) != "QUEUED":
			return nil, errors.New("the answer is none of a transaction")
		}
	case n == m.topics+1 && r.Kind == '-': // EXEC
		return cmp.Or(m.queued, refusal(r.Text)), nil
	case n == m.topics+1:
		if r.Kind != '*' || r.Number != uint64(m.topics) || m.queued != nil {
			return nil, fmt.Errorf("the answer to an EXEC is not that of %d counts", m.topics)
		}
		m.sums, m.refused = make([]uint64, m.topics), make([]error, m.topics)
	default: // a count's
		i := n - m.topics - 2
		if r.Kind == '-' {
			m.refused[i] = refusal(r.Text)
		} else if m.sums[i], surprise = sumOf(r, 1); surprise != nil {
			return nil, surprise
		} else {
			m.counted++
		}
		if i == m.topics-1 && m.counted == 0 {
			return m.refused[0], nil
		}
	}
	return nil, nil
}

// briefMany names topics for a message, the first ones only.
func briefMany(topics []string) string {
	const most = 3
	text := fmt.Sprintf("%d topics", len(topics))
	for i, topic := range topics[:min(len(topics), most)] {
		text += []string{" ", ", ", ", "}[i] + brief(topic)
	}
	if len(topics) > most {
		text += ", …"
	}
	return text
}
