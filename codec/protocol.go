package codec

// Op is the first byte of a message.
type Op uint8

// The opcodes. A request n is answered by n + 128 or by a refusal. 2 to 31 are reserved for
// extension, but for 22, with which a handshake of TLS begins; every other opcode below 128 is no
// request and never becomes one.
const (
	OpCount      Op = 0
	OpReset      Op = 1
	OpCountReply Op = 128
	OpResetReply Op = 129
	OpRefusal    Op = 255
)

// IsReply tells whether op can only begin an answer. A server drops a datagram that begins with
// such an op and does not refuse it: two servers that were given each other's addresses must fall
// silent.
func (op Op) IsReply() bool { return op >= OpCountReply }

// The sizes of messages, in bytes.
const (
	// MaxMessage is the size of the longest request, opcode included.
	MaxMessage = 65536
	// MaxDatagram is the size of the longest request over UDP, opcode included: what fits into one
	// datagram over IPv4.
	MaxDatagram = 65507
	// MaxTopic is the size of the longest topic.
	MaxTopic = 65535
	// MaxText is the size of the longest text after a refusal's code; what is longer is cut.
	MaxText = 256
	// MaxReply is the size of the longest reply, a refusal with its text.
	MaxReply = 258
)

// What a client uses that was told nothing else.
const (
	DefaultTopic = "default"
	DefaultAddr  = "127.0.0.1:5555"
)
