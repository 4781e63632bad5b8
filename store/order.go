package store

// order puts batches into one order and makes them durable: the log of the store's directory, or
// memory.
//
// propose takes one batch, and has three outcomes. If the error is nil it is committed, as the
// record at index: it is durable, and so is every batch before it. If the error is
// core.ErrLogFull it is surely refused: it is not there, now or after a restart, and the order
// can be used again. With any other error nobody knows, and the order is not to be used again.
// The owner applies a committed batch before it forms the next one.
//
// One caller at a time: the commit owner. That may be a loop of the server, which Enqueue has
// given the ownership, and which serves nobody meanwhile. So propose waits for a disk of this
// machine and for nothing else. An order that has to ask other machines cannot have this form:
// it returns before the outcome is known, and says it later, from a goroutine of its own, which
// then applies the batch and calls Done. A store over such an order gives the ownership to
// nobody: its Enqueue returns false, and its committer has every round.
type order interface {
	propose(recordType uint8, batch []byte) (index uint64, err error)
}
