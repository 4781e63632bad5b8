// Package resp is RESP, the protocol of Redis, for both of its ends. A server reads commands
// (Parser) and writes replies of versions 2 and 3 (the Append functions). A client writes commands
// (AppendCommand) and reads replies of version 2 (ParseReply) and streamed strings (StreamReader).
// It knows no socket and no command, and allocates nothing that the bytes at hand do not pay for.
package resp

// The bounds of a command. Redis' own are 512 MB for an argument and 2^31 arguments.
const (
	// MaxCommand is the size of the longest command in bytes, framing included.
	MaxCommand = 1 << 20
	// MaxArgs is the most arguments of a command, its name included.
	MaxArgs = 65535
	// MaxInline is the size of the longest inline command in bytes, without its line end.
	MaxInline = 1<<16 - 1
)

// Error says that bytes are no command, or no streamed string. What follows them cannot be
// understood either, so it ends a connection. The text is Redis' where the situation is the same.
type Error string

func (e Error) Error() string { return "Protocol error: " + string(e) }

const (
	errArrayLength = Error("invalid multibulk length")
	errManyArgs    = Error("invalid multibulk length: a command has at most 65535 arguments")
	errBulkLength  = Error("invalid bulk length")
	errLongCommand = Error("invalid bulk length: a command has at most 1048576 bytes")
	errBulkEnd     = Error("expected the end of a line after an argument")
	errInline      = Error("too big inline request")
	errQuotes      = Error("unbalanced quotes in request")
)
