// Package client counts at a gcd server over RESP, or at any server of the counter protocol over
// TCP or UDP, and waits for the answer or not, as the caller likes.
//
//	c, err := client.New("127.0.0.1:5555", client.Options{})
//	n, err := c.Count(ctx, "orders")              // 1, 2, 3, …
//	err = c.Reset(ctx, "orders")                  // the next Count returns 1
//	call := c.CountAsync(ctx, "orders")           // returns at once; call.Done(), call.Result()
//	stamped := client.Wrap(c, "orders", doThings) // does things, then counts
//	n, result, err := stamped(ctx)
//
// A Client is safe for many goroutines. Who names no network has RESP: all calls share a connection
// that is kept. The counter protocol has no request id, so over TCP and UDP a call in flight has a
// socket of its own, and a synchronous one runs on the caller's goroutine. Options.MaxInFlight
// bounds the calls in flight, and further ones queue in the order in which they came. Package
// clienttest has a server in memory for tests.
//
// # When a call fails
//
// An error of a call is of exactly one of three classes. The first two say that the call surely had
// no effect and may be made again. Retryable reports whether that may help.
//
//	class     test                        had an effect  when
//	refused   errors.Is(err, ErrRefused)  no             the server refused, with a code; or the
//	                                                     topic is none that the protocol can carry
//	not sent  errors.Is(err, ErrNotSent)  no             cannot connect, nothing written, nobody
//	                                                     listens, given up in the queue, or the
//	                                                     client is closed
//	unknown   errors.Is(err, ErrUnknown)  perhaps        sent, and then: no answer in time, given
//	                                                     up, the connection ended without a whole
//	                                                     answer, or an answer that cannot be read
//
// errors.As(err, **RefusedError) finds a refusal's code. CountMany has a fourth kind, PartialError.
// A refusal because of who asks is ErrNotAuthenticated or ErrNotPermitted as well.
//
// The cause follows the class: when the caller's context ended the call, errors.Is(err,
// context.Canceled) or context.DeadlineExceeded; when the client was closed, errors.Is(err,
// ErrClosed); when the client's own patience ended, errors.Is(err, os.ErrDeadlineExceeded). A
// context that ends, ends the call at once, in the queue or in flight.
//
// # TCP
//
// One connection carries one message. The client sends it in one write, does not close its half,
// and reads until the server has closed: where the answer ends is nowhere else to be seen.
// Options.Timeout bounds the whole, from connecting to the end of the answer. A TCP call is never
// repeated by the client.
//
// # RESP
//
// RESP is the protocol of Redis, which a gcd server speaks on its TCP port. The client has one
// connection, makes it when a call needs it, and writes the commands of all calls that wait in one
// piece. Answers come in the order of the commands. It sends GCD.COUNT, not INCR: RESP's integers
// end at 2^63−1, GCD.COUNT answers with digits up to 2^64−1. CountN, CountMany, Get, Info, Ping and
// ServerInfo need RESP.
//
// A connection begins with a PING, so a server that has no RESP, is full or hangs is found out
// before anything is sent: the calls that wait then fail as not sent, or as refused if the server
// gave a code. The next attempt comes no sooner than 10 ms after one that failed, or after the end
// of a connection that answered nothing, then twice as long each time up to 1 s, less up to half of
// it by chance. A call waits for one attempt and no further.
//
// A client that was given no network goes over to TCP, for good, where the server refuses the first
// PING in the counter protocol: the calls that wait are made over that. A refusal because the
// server is full, loads or stops says nothing of RESP, nor does an end without an answer: the next
// call tries again. A server that has answered a PING over RESP, even by an error, has RESP.
//
// When the connection ends, the calls whose commands it had are unknown, except those of which no
// byte left: they wait for the next connection. A call whose context ends while the connection has
// its command is unknown, too, and its answer, when it comes, is dropped. What is no answer to the
// command whose turn it is ends the connection. So does the oldest call's wait for more than
// Options.Timeout, because answers come in order and those after it would be late as well. No
// command is ever sent twice.
//
// # Who asks, and over what
//
// Options.TLS has each connection go over TLS. With Options.Token a connection begins with AUTH,
// and the PING follows in the same write. If the server does not take the token the calls that wait
// are refused, with ErrNotAuthenticated, and the next call makes another connection, no sooner than
// after the pause. A server that says in the middle of a connection that it does not know who asks
// is given the token again, over the next connection. An address "unix:PATH" is a unix socket.
//
// # UDP
//
// A COUNT that gets no answer within Options.Timeout is sent again, up to Options.Attempts
// datagrams in all. Each datagram that arrives counts: a Count that needed k datagrams may have
// taken up to k values, of which the caller sees one, and when it fails as unknown it may have
// taken as many. A RESET is sent once unless Options.ResetAttempts says otherwise, for one that is
// sent again may wipe out what was counted in between. Set Attempts to 1 where a gap in the values
// is worse than a lost packet, or use TCP.
//
// Any answer to a datagram of a call is the call's answer, also a late answer to its first
// datagram. A refusal answers one datagram: the call is refused when each of its datagrams was,
// otherwise it goes on waiting and, without an answer, is unknown. The same goes for a datagram
// that finds nobody listening, which the operating system reports when it can (ECONNREFUSED): the
// client keeps trying, the server may be about to start, and the call is not sent when each of its
// datagrams was turned away like that.
//
// So that an answer which comes late, comes twice, or belongs to nobody never becomes the value of
// another call, sockets stay open after a call, idle and unread, so that nobody else gets their
// port. The one that was idle longest is used again once 64 are, provided that it received exactly
// one answer for each datagram sent and that nothing has arrived on it since; otherwise it is
// closed. What remains is an answer that the network delivers a second time and so late that 64
// other calls ended in between. A Client has at most MaxInFlight + 64 sockets open.
//
// Sockets are connected, so that the operating system discards what comes from elsewhere. Some
// servers answer from another port than the one that was asked, among them the protocol's first
// implementation, in Python; Options.AnyPort accepts such answers. Then any program on the server's
// host can make up an answer, and a host without a listener looks like a silent one.
package client
