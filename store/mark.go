package store

import "time"

// markInterval is how old the mark of the log may be after a power loss.
const markInterval = time.Second

// keepMark makes the log's mark durable once a second, if it moved. The commits write it and do not
// wait for that.
func (s *Store) keepMark() {
	tick := time.NewTicker(s.options.marks)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.failed:
			return
		case <-tick.C:
		}
		if !s.wal.MarkMoved() {
			continue
		}
		turned := false
		if s.do(func() { turned = s.wal.TurnMark() }) != nil {
			return
		}
		if turned {
			s.wal.SyncMark()
		}
	}
}
