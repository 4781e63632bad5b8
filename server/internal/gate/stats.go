package gate

import "gcd/codec"

// Stats is what a server has done since it was made.
type Stats struct {
	Connections int64 // TCP connections open now, those that are being refused included
	InFlight    int64 // requests that wait for the backend now
	Held        int64 // bytes that RESP connections hold now for commands and answers, without the first 16 KiB of each

	Accepted  uint64 // TCP connections
	Datagrams uint64 // received
	Answered  uint64 // requests that were done and whose answer was handed to the system

	Refused map[codec.Code]uint64 // refusals by code, silent ones over UDP included

	EmptyDatagrams    uint64 // dropped: no byte
	ReplyDatagrams    uint64 // dropped: the first byte is 128 or more
	PortZeroDatagrams uint64 // dropped: nobody to answer
	SilencedRefusals  uint64 // over UDP, beyond RefusalRate
	UnknownOutcomes   uint64 // requests left without an answer
	BrokenConns       uint64 // TCP connections that broke before their message was whole
	LostAnswers       uint64 // answers that a client did not take
	BrokenHandshakes  uint64 // of TLS
	AcceptErrors      uint64
	ReceiveErrors     uint64
	Backups           uint64 // sent
	BrokenBackups     uint64 // not sent to their end
	// Probes are questions whether the server is well that got no answer that helps: in HTTP, or
	// while there is none.
	Probes uint64
	Panics uint64
}

// Stats reports what the server has done.
func (g *Gate) Stats() Stats {
	count := func(e Event) uint64 { return g.events[e].total.Load() }
	st := Stats{
		Connections: g.places.open(), InFlight: g.inFlight.Load(), Held: g.held.Load(),
		Accepted: g.Accepted.Load(), Datagrams: g.Datagrams.Load(), Answered: g.Answered.Load(),
		Refused:        make(map[codec.Code]uint64),
		EmptyDatagrams: count(EmptyDatagram), ReplyDatagrams: count(ReplyDatagram),
		PortZeroDatagrams: count(PortZeroDatagram), SilencedRefusals: count(SilencedRefusal),
		UnknownOutcomes: count(UnknownOutcome), BrokenConns: count(BrokenConn), LostAnswers: count(LostAnswer),
		BrokenHandshakes: count(BrokenHandshake), AcceptErrors: count(AcceptError), ReceiveErrors: count(ReceiveError),
		BrokenBackups: count(BrokenBackup), Probes: count(Probe), Panics: count(HandlerPanic),
	}
	for code := range g.byCode {
		if n := g.byCode[code].total.Load(); n > 0 {
			st.Refused[codec.Code(code)] = n
		}
	}
	return st
}
