package server

// rounds asks each loop for a value.
func (p *pool) rounds() <-chan struct{} {
	came := make(chan struct{}, len(p.loops))
	for _, l := range p.loops {
		if !l.mail.put(round(came)) {
			came <- struct{}{} // its loop is through
		}
	}
	return came
}

// round is what a loop finishes in the turn in which it finds it.
type round chan<- struct{}

func (r round) finish() { r <- struct{}{} } // has room

func (r round) drop() { r.finish() }
