package gate

import (
	"errors"

	"gcd/internal/audit"
	"gcd/store/core"
)

// Changed writes down operations that cannot be undone: those that have set a sum to zero, and
// those of which it is not known whether they have. index is that of the record in the log. There
// is somebody to write it down (Options.Audit).
func (g *Gate) Changed(w *Who, peer Peer, door string, ops []core.Op, index uint64) {
	for i := range ops {
		op, event := &ops[i], audit.Reset
		epoch, reason := op.Epoch+1, ""
		unknown := op.Err != nil && errors.Is(op.Err, core.ErrUnknown)
		if unknown {
			epoch, reason = 0, "whether it was done is not known"
		}
		switch {
		case op.Err != nil && !unknown:
			continue
		case op.Kind == core.Delete && (op.Sum > 0 || unknown):
			event = audit.Delete
		case op.Kind != core.Reset:
			continue
		}
		g.Options.Audit.Write(audit.Record{Event: event, Principal: w.Name(), Source: peer.String(), Door: door,
			Topic: topicOf(op), Epoch: epoch, Index: index, Reason: reason})
	}
}

// topicOf is the topic of an operation, which is not nil though it may be empty.
func topicOf(op *core.Op) []byte {
	if op.Topic == nil {
		return []byte{}
	}
	return op.Topic
}

// BackedUp writes down that somebody has got a backup, or why he has not.
func (g *Gate) BackedUp(who *Who, peer Peer, err error) {
	if g.Options.Audit == nil {
		return
	}
	r := audit.Record{Event: audit.Backup, Principal: who.Name(), Source: peer.String(), Door: DoorRESP}
	if err != nil {
		r.Reason = err.Error()
	}
	g.Options.Audit.Write(r)
}
