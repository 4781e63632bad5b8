// Package codec translates between bytes on the wire and the messages of the counter protocol,
// which docs/protocol.md describes for other languages. A message is one opcode byte and data up to
// the message's end:
//
//	COUNT          00 topic (UTF-8)
//	RESET          01 topic (UTF-8)
//	COUNT reply    80 sum (1 to 8 bytes, big-endian)
//	RESET reply    81
//	refusal        ff code (1 byte), and on TCP an optional text (UTF-8)
//
// The package opens no sockets and keeps no state. Parse functions take one whole message and keep
// to its bounds; Append functions append one whole message to a slice, as the built-in append does,
// and allocate only when that slice is too short.
package codec
