package store

// order puts batches into one order, makes them durable, and hands each to its sink: the log of the
// store's directory, or memory.
//
// propose takes one batch. If the error is nil, the batch is committed or will be: it is durable,
// and so is every batch before it, when the sink gets it. If the error is core.ErrLogFull it is
// surely refused: it is not there, now or after a restart, and the order can be used again. With
// any other error nobody knows, and the order is not to be used again.
//
// One caller at a time: the commit owner. That may be a loop of the server, which Enqueue has given
// the ownership, and which serves nobody meanwhile. So propose may wait for a disk of this machine
// and for nothing else. The orders that there are apply a batch before propose returns, and the
// owner forms the next one after that. An order that has to ask other machines returns before the
// outcome is known, and calls its sink later, from a goroutine of its own. A store over such an
// order gives the ownership to nobody: its Enqueue returns false, and its committer has every
// round. It needs two methods more, for which a single log has no use: to confirm that this machine
// may answer reads, and to say in advance that it has no room.
type order interface {
	propose(recordType uint8, batch []byte) error
}

// sink is what an order hands batches to, in their order. apply gets a batch that is committed as
// the record at index. After an error the order is not to be used again.
type sink interface {
	apply(index uint64, batch []byte) error
}
