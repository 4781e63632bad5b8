package client

import "context"

// cancellations end the commands of contexts that end. Calls that share a context, or a part of one
// that ends as a whole, share a cancellation, so that a call in a burst costs no registration of
// its own. Guarded by pipeline.mu.
type cancellations map[<-chan struct{}]*cancellation

// cancellation is a context's end, known by its Done channel, and the commands that it will end.
type cancellation struct {
	done     <-chan struct{}
	commands []*command
	forget   func() bool // takes back what was registered with the context
}

// add makes the end of its context end a command of p: then p.abandonAll is called, on a goroutine
// of its own.
func (cs cancellations) add(cmd *command, p *pipeline) {
	done := cmd.ctx.Done()
	if done == nil {
		return
	}
	c := cs[done]
	if c == nil {
		c = &cancellation{done: done}
		c.forget = context.AfterFunc(cmd.ctx, func() { p.abandonAll(c) })
		cs[done] = c
	}
	cmd.cancellation, cmd.slot = c, len(c.commands)
	c.commands = append(c.commands, cmd)
}

// forget takes a command out, whose context then no longer matters.
func (cs cancellations) forget(cmd *command) {
	c := cmd.cancellation
	if c == nil {
		return
	}
	last := len(c.commands) - 1
	c.commands[cmd.slot] = c.commands[last]
	c.commands[cmd.slot].slot = cmd.slot
	c.commands[last] = nil
	c.commands = c.commands[:last]
	cmd.cancellation = nil
	if last == 0 {
		cs.remove(c)
		c.forget()
	}
}

// remove makes later commands of the context begin a new cancellation, and leaves the old one's
// commands alone.
func (cs cancellations) remove(c *cancellation) {
	for _, cmd := range c.commands {
		cmd.cancellation = nil
	}
	if cs[c.done] == c {
		delete(cs, c.done)
	}
}
