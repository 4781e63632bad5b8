package gate

import "sync/atomic"

// leastHeld is how many bytes may be held for all clients together in any case: one can always have
// a command of resp.MaxCommand.
const leastHeld = 2 << 20

// Held is what is held for one client: what it is charged for. Others may read it.
type Held struct{ bytes atomic.Int64 }

// Bytes is how many it is charged for.
func (h *Held) Bytes() int { return int(h.bytes.Load()) }

// Crowded tells whether there is no room to hold so many bytes more.
func (g *Gate) Crowded(bytes int) bool { return g.held.Load()+int64(bytes) > int64(g.MostHeld) }

// Hold charges h for so many bytes instead of those that it was charged for. It returns false, and
// changes nothing, if that is too much for all together; less is never too much. One goroutine at a
// time calls it for h.
func (g *Gate) Hold(h *Held, bytes int) bool {
	more := int64(bytes) - h.bytes.Load()
	if more == 0 {
		return true
	}
	if g.held.Add(more) > int64(g.MostHeld) && more > 0 {
		g.held.Add(-more)
		return false
	}
	h.bytes.Add(more)
	return true
}
