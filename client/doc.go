// Package client counts at a server of the counter protocol, over TCP or UDP, and waits for the answer or not, as the
// caller likes.
//
//	c, err := client.New("127.0.0.1:5555", client.Options{})
//	n, err := c.Count(ctx, "orders")              // 1, 2, 3, …
//	err = c.Reset(ctx, "orders")                  // the next Count returns 1
//	call := c.CountAsync(ctx, "orders")           // returns at once; call.Done(), call.Result()
//	stamped := client.Wrap(c, "orders", doThings) // does things, then counts
//	n, result, err := stamped(ctx)
//
// A Client is safe for many goroutines. The protocol has no request id, so a call in flight has a socket of its own;
// Options.MaxInFlight bounds them, and further calls queue in the order in which they came. A synchronous call
// runs on the caller's goroutine.
//
// # When a call fails
//
// An error of a call is of exactly one of three classes. The first two say that the call surely had no effect and may be made
// again.
//
//	class      test                              when                                           had an effect
//	refused    errors.As(err, **RefusedError)    the server refused, with a code; or the topic  no
//	                                             is none that the protocol can carry
//	not sent   errors.Is(err, ErrNotSent)        cannot connect, nothing written, nobody        no
//	                                             listens, given up in the queue, client closed
//	unknown    errors.Is(err, ErrUnknown)        sent and then: no answer in time, given up,    perhaps
//	                                             connection ended without a whole answer, or
//	                                             an answer that cannot be read
//
// Behind the class stands the cause: when the caller's context ended the call, errors.Is(err, context.Canceled) or
// context.DeadlineExceeded; when the client was closed, errors.Is(err, ErrClosed); when the client's own patience ended,
// errors.Is(err, os.ErrDeadlineExceeded). A context that ends, ends the call at once, in the queue or in flight.
//
// # TCP
//
// One connection carries one message. The client sends it in one write, does not close its half, and reads until the server
// has closed: where the answer ends is nowhere else to be seen. Options.Timeout bounds the whole, from connecting to the
// end of the answer. A TCP call is never repeated by the client.
//
// # UDP
//
// A COUNT that gets no answer within Options.Timeout is sent again, up to Options.Attempts datagrams in all. Each datagram
// that arrives counts: a Count that needed k datagrams may have taken up to k values, of which the caller sees one, and
// when it fails as unknown it may have taken as many. A RESET is sent once unless Options.ResetAttempts says otherwise, for
// one that is sent again may wipe out what was counted in between. Set Attempts to 1 where a gap in the values is worse than a lost
// packet, or use TCP.
//
// Any answer to a datagram of a call is the call's answer, also a late answer to its first datagram. A refusal answers one datagram: the
// call is refused when each of its datagrams was, otherwise it goes on waiting and, without an answer, is unknown. The same
// goes for a datagram that finds nobody listening, which the operating system reports when it can (ECONNREFUSED): the client
// keeps trying, the server may be about to start, and the call is not sent when each of its datagrams was turned away like
// that.
//
// So that an answer which comes late, comes twice, or belongs to nobody never becomes the value of another call, sockets
// rest after a call, open and unread, so that nobody else gets their port. The longest rested one is used again once 64 rest,
// provided that it received exactly one answer for each datagram sent and that nothing has arrived on it since; otherwise it is closed. What
// remains is an answer that the network delivers a second time and so late that 64 other calls ended in between. A Client has at
// most MaxInFlight + 64 sockets open.
//
// Sockets are connected, so that the operating system discards what comes from elsewhere. Some servers answer from another port
// than the one that was asked, among them the protocol's first implementation, in Python; Options.AnyPort accepts
// such answers. Then any program on the server's host can make up an answer, and a host without a listener
// looks like a silent one.
package client
