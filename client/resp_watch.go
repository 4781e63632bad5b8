package client

import "context"

// watches end the commands of contexts that end. Calls that share a context, or a part of one that ends as a whole, share a
// watch, so that a call in a burst costs no registration of its own. Guarded by pipeline.mu.
type watches map[<-chan struct{}]*watch

// watch is a context's end, as its Done channel tells it, and the commands that it will end.
type watch struct {
	done     <-chan struct{}
	commands []*command
	forget   func() bool // takes back what was registered with the context
}

// add puts a command of p under the watch of its context. When that ends before the watch does, p.abandonAll is called, on a
// goroutine of its own.
func (ws watches) add(cmd *command, p *pipeline) {
	done := cmd.ctx.Done()
	if done == nil {
		return
	}
	w := ws[done]
	if w == nil {
		w = &watch{done: done}
		w.forget = context.AfterFunc(cmd.ctx, func() { p.abandonAll(w) })
		ws[done] = w
	}
	cmd.watch, cmd.slot = w, len(w.commands)
	w.commands = append(w.commands, cmd)
}

// forget takes a command from under its watch.
func (ws watches) forget(cmd *command) {
	w := cmd.watch
	if w == nil {
		return
	}
	last := len(w.commands) - 1
	w.commands[cmd.slot] = w.commands[last]
	w.commands[cmd.slot].slot = cmd.slot
	w.commands[last] = nil
	w.commands = w.commands[:last]
	cmd.watch = nil
	if last == 0 {
		ws.remove(w)
		w.forget()
	}
}

// remove makes later commands of the context begin a new watch, and leaves the old one's commands alone.
func (ws watches) remove(w *watch) {
	for _, cmd := range w.commands {
		cmd.watch = nil
	}
	if ws[w.done] == w {
		delete(ws, w.done)
	}
}
