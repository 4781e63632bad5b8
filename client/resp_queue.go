package client

// queue is a first-in-first-out queue of commands, a ring that grows.
type queue struct {
	ring  []*command // its length is a power of two, or 0
	first int        // index of the oldest
	count int
}

// largestIdleRing is how many places an empty queue keeps: 512 KiB.
const largestIdleRing = 1 << 16

func (q *queue) len() int { return q.count }

// oldest returns the command that would be popped next, of a queue that is not empty.
func (q *queue) oldest() *command { return q.ring[q.first] }

func (q *queue) push(cmd *command) {
	q.grow()
	q.ring[q.place(q.count)] = cmd
	q.count++
}

// unpop makes cmd the oldest.
func (q *queue) unpop(cmd *command) {
	q.grow()
	q.first = q.place(len(q.ring) - 1)
	q.ring[q.first] = cmd
	q.count++
}

// pop takes the oldest out, of a queue that is not empty.
func (q *queue) pop() *command {
	cmd := q.ring[q.first]
	q.ring[q.first] = nil
	q.first = q.place(1)
	q.count--
	q.shrink()
	return cmd
}

// unpush takes the youngest out, of a queue that is not empty.
func (q *queue) unpush() *command {
	q.count--
	last := q.place(q.count)
	cmd := q.ring[last]
	q.ring[last] = nil
	q.shrink()
	return cmd
}

// keep leaves in the queue, in their order, those that are wanted.
func (q *queue) keep(wanted func(*command) bool) {
	for range q.count {
		if cmd := q.pop(); wanted(cmd) {
			q.push(cmd)
		}
	}
}

// place is the index in the ring of the command that has i older ones.
func (q *queue) place(i int) int { return (q.first + i) & (len(q.ring) - 1) }

func (q *queue) grow() {
	if q.count < len(q.ring) {
		return
	}
	ring := make([]*command, max(64, 2*len(q.ring)))
	for i := range q.count {
		ring[i] = q.ring[q.place(i)]
	}
	q.ring, q.first = ring, 0
}

// shrink lets go of the room that a burst needed.
func (q *queue) shrink() {
	if q.count == 0 && len(q.ring) > largestIdleRing {
		q.ring, q.first = nil, 0
	}
}
