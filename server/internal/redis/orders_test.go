package redis

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/server/internal/session/sessiontest"
)

// said is a command, what it is answered, and the sum of all topics behind it.
type said struct {
	in, want string
	sum      uint64
}

// conversation is what a client says, and hears. ends says that its last command ends it.
type conversation struct {
	said []said
	ends bool
}

func (c *conversation) in() string {
	var in strings.Builder
	for _, one := range c.said {
		in.WriteString(one.in)
	}
	return in.String()
}

const (
	refusedStopping = "-LOADING the server is shutting down: try again when it is back\r\n"
	refusedLate     = "-ERR Protocol error: the command was not complete in time\r\n"
	notInMulti      = "-ERR Command not allowed inside a transaction\r\n"
	execAborted     = "-EXECABORT Transaction discarded because of previous errors.\r\n"
)

// conversations have each kind of answer: at once, of the backend, over several turns, of a
// transaction, by somebody who has the connection to himself, and the last that there is.
var conversations = map[string]conversation{
	"counts": {said: []said{
		{"INCR x\r\n", ":1\r\n", 1}, {"GET x\r\n", "$1\r\n1\r\n", 1}, {"\r\n", "", 1}, {"PING\r\n", "+PONG\r\n", 1},
		{"DEL x y\r\n", ":1\r\n", 0}, {"DBSIZE\r\n", ":0\r\n", 0}, {"incr x\n", ":1\r\n", 1},
	}},
	"arrays": {said: []said{
		{"*2\r\n$4\r\nINCR\r\n$2\r\n\r\n\r\n", ":1\r\n", 1}, {"*2\r\n$4\r\nINCR\r\n$2\r\n\xc3\xa9\r\n", ":1\r\n", 2},
		{"*0\r\n", "", 2}, {"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n", "$1\r\n1\r\n", 2},
	}},
	"a transaction": {said: []said{
		{"MULTI\r\n", "+OK\r\n", 0}, {"INCR x\r\n", "+QUEUED\r\n", 0}, {"GET x\r\n", "+QUEUED\r\n", 0},
		{"ECHO e\r\n", "+QUEUED\r\n", 0}, {"EXEC\r\n", "*3\r\n:1\r\n$1\r\n1\r\n$1\r\ne\r\n", 1},
		{"INCR x\r\n", ":2\r\n", 2},
	}},
	"transactions that are none": {said: []said{
		{"MULTI\r\n", "+OK\r\n", 0}, {"INCR x\r\n", "+QUEUED\r\n", 0}, {"HELLO 3\r\n", notInMulti, 0},
		{"EXEC\r\n", execAborted, 0}, {"MULTI\r\n", "+OK\r\n", 0}, {"DISCARD\r\n", "+OK\r\n", 0},
		{"INCR x\r\n", ":1\r\n", 1},
	}},
	"looks at topics": {said: []said{
		{"INCR x\r\n", ":1\r\n", 1}, {"KEYS *\r\n", "*1\r\n$1\r\nx\r\n", 1},
		{"SCAN 0 COUNT 99\r\n", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nx\r\n", 1}, {"INCR y\r\n", ":1\r\n", 2},
	}},
	"a backup": {said: []said{
		{"INCR x\r\n", ":1\r\n", 1}, {"GCD.BACKUP\r\n", "$?\r\n;6\r\nbackup\r\n;0\r\n", 1}, {"INCR x\r\n", ":2\r\n", 2},
	}},
	"an end": {ends: true, said: []said{
		{"INCR x\r\n", ":1\r\n", 1}, {"QUIT\r\n", "+OK\r\n", 1}, {"INCR x\r\n", "", 1},
	}},
	"what is no command": {ends: true, said: []said{
		{"INCR x\r\n", ":1\r\n", 1}, {"*1\r\n$x", "-ERR Protocol error: invalid bulk length\r\n", 1},
		{"\r\nINCR x\r\n", "", 1},
	}},
}

// backupLab is a lab with backups.
func backupLab() *lab {
	return newLab(func(o *Options, _ *gate.Options) {
		o.Backup = func(_ context.Context, w io.Writer, _ string) error {
			_, err := io.WriteString(w, "backup")
			return err
		}
	})
}

// whole is how many commands are in so many bytes, and whether one more has begun.
func (c *conversation) whole(bytes int) (commands int, begun bool) {
	for commands < len(c.said) && bytes >= len(c.said[commands].in) {
		bytes -= len(c.said[commands].in)
		commands++
	}
	return commands, bytes > 0
}

// answers is what the first commands are answered, the rest of them being refused since the server
// stops, and the sum of all topics behind them.
func (c *conversation) answers(commands, done int) (want string, sum uint64) {
	for i, one := range c.said[:commands] {
		switch {
		case i < done:
			want, sum = want+one.want, one.sum
		case one.want != "": // there is no answer to what is empty
			want += refusedStopping
		}
	}
	return want, sum
}

// judge says what is wrong with what a client was answered, in a world that may have stopped.
func (c *conversation) judge(w *sessiontest.World, b *sessiontest.Backend) error {
	client := w.Clients[0]
	commands, begun := c.whole(client.Read)
	late := ""
	if client.RanOut == session.Command {
		late = refusedLate
	}
	fewest := commands
	if w.Stopping() {
		fewest = 0
	}
	for done := commands; done >= fewest; done-- {
		if want, sum := c.answers(commands, done); want+late == string(client.Got) && sum == b.Sum() {
			switch {
			case late != "" && !(begun && client.Last == session.Linger):
				return fmt.Errorf("it was late, though nothing had begun, or it does not linger: %d", client.Last)
			case !client.Over && (client.Clock == session.Command) != begun:
				return fmt.Errorf("the clock is %d, and that a command has begun is %v", client.Clock, begun)
			case c.ends && commands > 1 && !(client.Over && client.Last == session.Linger):
				return fmt.Errorf("it does not linger behind its end: %d", client.Last)
			case w.Parting() && late == "" && !c.ends && !client.Ends &&
				(client.Last == session.Linger) != (begun || done < commands):
				return fmt.Errorf("it says %d at the server's end, of which it was told: %v", client.Last,
					done < commands)
			}
			return nil
		}
	}
	want, sum := c.answers(commands, commands)
	return fmt.Errorf("answered %q with sums of %d, want %q and %d", client.Got, b.Sum(), want+late, sum)
}

// fast is how many modes there are without a client that is slow, and modes how many in all.
const fast, modes = 8, 16

// worldIn is a world with one client, whose switches have numbers.
func (l *lab) worldIn(mode int, pieces []string) *sessiontest.World {
	w := l.world(mode&1 > 0, pieces)
	w.Loops, w.Clients[0].Ends, w.Slow = mode&2 > 0, mode&4 > 0, mode&8 > 0
	return w
}

// However a conversation is cut into two or three pieces, and whatever comes first of them, the
// turns, the outcomes and the client that takes its answers, it is answered alike.
func TestEverySplitAndOrder(t *testing.T) {
	t.Parallel()
	for name, talk := range conversations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := backupLab()
			in, runs := talk.in(), 0
			for pieces := range 3 {
				n := 0
				sessiontest.Splits(in, pieces+1, 1, func(cut []string) {
					n++
					for mode := range modes {
						// Of three pieces there are very many, and of their orders with a client
						// that is slow.
						if pieces == 1 && (mode+n)%(2*thin.Step(5)) != 0 ||
							pieces == 2 && (mode >= fast || (mode+n)%(fast*thin.Step(20)) != 0) {
							continue
						}
						runs += sessiontest.Each(func(ch *sessiontest.Choices) bool {
							w := l.worldIn(mode, cut)
							err := w.Run(ch)
							if err == nil {
								err = talk.judge(w, l.backend)
							}
							if err != nil {
								t.Fatalf("%q in mode %d, choices %v: %v", cut, mode, ch, err)
							}
							return true
						})
					}
				})
			}
			t.Logf("%d runs", runs)
		})
	}
}

// explore runs a conversation, whole and cut at every place, with all choices that there are, in a
// world that is made ready for each run.
func explore(t *testing.T, l *lab, talk *conversation, ready func(w *sessiontest.World),
	judge func(w *sessiontest.World) error) {
	t.Helper()
	runs := 0
	for pieces := range 2 {
		n := 0
		sessiontest.Splits(talk.in(), pieces+1, 1, func(cut []string) {
			n++
			for mode := range fast { // that answers are taken late has its own test
				if pieces == 1 && (mode+n)%(4*thin.Step(5)) != 0 {
					continue
				}
				runs += sessiontest.Each(func(ch *sessiontest.Choices) bool {
					w := l.worldIn(mode, cut)
					ready(w)
					err := w.Run(ch)
					if err == nil {
						err = judge(w)
					}
					if err != nil {
						t.Fatalf("%q in mode %d, choices %v: %v", cut, mode, ch, err)
					}
					return true
				})
			}
		})
	}
	t.Logf("%d runs", runs)
}

// A command that is not whole in time is the last, wherever the client fell silent; one that has
// not begun has all time.
func TestLateCommands(t *testing.T) {
	t.Parallel()
	for name, talk := range conversations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := backupLab()
			explore(t, l, &talk, func(w *sessiontest.World) { w.Clocks = 1 },
				func(w *sessiontest.World) error { return talk.judge(w, l.backend) })
		})
	}
}

// A server that stops at any moment answers what it has begun, and refuses what it has not: every
// command, to the last that came, and all that follow the first that was refused.
func TestStoppingAtAnyMoment(t *testing.T) {
	t.Parallel()
	for name, talk := range conversations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := backupLab()
			explore(t, l, &talk, func(w *sessiontest.World) { w.Stops = true },
				func(w *sessiontest.World) error {
					if talk.ends { // or what would end it was refused
						return nil
					}
					if c := w.Clients[0]; w.Parting() && !c.Over {
						return fmt.Errorf("it does not end: %d", c.Last)
					}
					return talk.judge(w, l.backend)
				})
		})
	}
}

// Clients that come and go on one worker do not hear what others are told, however their turns are
// mixed and whoever breaks his connection; and what the backend has stays as it is.
func TestClientsThatShareAWorker(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(conversations))
	for seed := range uint64(4000 / thin.Step(10)) {
		ch := sessiontest.Random(seed)
		l := backupLab()
		var talks []*conversation
		var pieces [][]string
		for client := range 2 + ch.Of(2) {
			talk := conversations[names[ch.Of(len(names))]].about(client)
			in := talk.in()
			i := ch.Of(len(in))
			j := i + ch.Of(len(in)-i)
			talks, pieces = append(talks, talk), append(pieces, []string{in[:i], in[i:j], in[j:]})
		}
		w := l.world(false, pieces...)
		w.Loops, w.Slow, w.Breaks = ch.Of(2) > 0, true, ch.Of(2) > 0
		if err := w.Run(ch); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i, c := range w.Clients {
			commands, _ := talks[i].whole(c.Read)
			want, _ := talks[i].answers(commands, commands)
			if got := string(c.Got); got != want && !(c.Broken && strings.HasPrefix(want, got)) {
				t.Fatalf("seed %d: client %d of %q is answered %q, want %q", seed, i, pieces, got, want)
			}
		}
	}
}

// about is the conversation about topics of its own, without what shows those of others.
func (c conversation) about(client int) *conversation {
	own := conversation{ends: c.ends}
	n := fmt.Sprint(client)
	rename := strings.NewReplacer(" x", " x"+n, " y", " y"+n, "$2\r\n", "$3\r\n"+n)
	for _, one := range c.said {
		if name, _, _ := strings.Cut(one.in, " "); name == "KEYS" || name == "SCAN" || name == "DBSIZE\r\n" {
			continue
		}
		one.in = rename.Replace(one.in)
		own.said = append(own.said, one)
	}
	return &own
}
