package redis

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/server/internal/session/sessiontest"
)

// model says what a client is answered who is alone with its server. It is written as plainly as it
// goes, and knows so many commands as there are kinds of answers.
type model struct {
	sums    map[string]uint64
	topics  []string   // in the order in which they came
	queue   [][]string // since MULTI; nil: no MULTI has come
	spoiled bool
}

// vocabulary is what a client may say.
var vocabulary = []string{
	"INCR x", "INCR y", "INCRBY x 5", "GET x", "MGET x y z", "DEL x y", "GETDEL y", "EXISTS x y", "SET x 0", "DBSIZE",
	"KEYS *", "SCAN 0 COUNT 99", "GCD.BACKUP", "PING", "ECHO e", "ECHO " + strings.Repeat("e", 3000), "", "NOSUCH",
	"INCR", "MULTI", "EXEC", "DISCARD", "MULTI", "EXEC", // which are more likely than others
}

func (m *model) answer(args []string) string {
	queues := m.queue != nil
	switch {
	case len(args) == 0:
		return ""
	case args[0] == "NOSUCH":
		m.spoiled = true
		return "-ERR unknown command 'NOSUCH', with args beginning with: \r\n"
	case args[0] == "INCR" && len(args) == 1:
		m.spoiled = true
		return "-ERR wrong number of arguments for 'incr' command\r\n"
	case args[0] == "MULTI" && queues:
		m.spoiled = true
		return "-ERR MULTI calls can not be nested\r\n"
	case args[0] == "MULTI":
		m.queue, m.spoiled = [][]string{}, false
		return "+OK\r\n"
	case args[0] == "EXEC" && queues:
		return m.exec()
	case args[0] == "DISCARD" && queues:
		m.queue = nil
		return "+OK\r\n"
	case args[0] == "EXEC" || args[0] == "DISCARD":
		return "-ERR " + args[0] + " without MULTI\r\n"
	case queues && slices.Contains([]string{"KEYS", "SCAN", "GCD.BACKUP"}, args[0]):
		m.spoiled = true
		return notInMulti
	case queues:
		m.queue = append(m.queue, args)
		return "+QUEUED\r\n"
	}
	return m.run(args)
}

func (m *model) exec() string {
	queue := m.queue
	m.queue = nil
	if m.spoiled {
		return execAborted
	}
	all := fmt.Sprintf("*%d\r\n", len(queue))
	for _, args := range queue {
		all += m.run(args)
	}
	return all
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

func (m *model) value(topic string) string {
	if m.sums[topic] == 0 {
		return "$-1\r\n"
	}
	return bulk(fmt.Sprint(m.sums[topic]))
}

func (m *model) live() (n int, all string) {
	for _, topic := range m.topics {
		if m.sums[topic] > 0 {
			n++
			all += bulk(topic)
		}
	}
	return n, fmt.Sprintf("*%d\r\n", n) + all
}

func (m *model) run(args []string) string {
	live := 0
	for _, topic := range args[1:] {
		if m.sums[topic] > 0 {
			live++
		}
	}
	switch args[0] {
	case "INCR", "INCRBY":
		if !slices.Contains(m.topics, args[1]) {
			m.topics = append(m.topics, args[1])
		}
		m.sums[args[1]] += map[string]uint64{"INCR": 1, "INCRBY": 5}[args[0]]
		return fmt.Sprintf(":%d\r\n", m.sums[args[1]])
	case "GET":
		return m.value(args[1])
	case "MGET":
		return "*3\r\n" + m.value(args[1]) + m.value(args[2]) + m.value(args[3])
	case "EXISTS":
		return fmt.Sprintf(":%d\r\n", live)
	case "DEL":
		m.sums[args[1]], m.sums[args[2]] = 0, 0
		return fmt.Sprintf(":%d\r\n", live)
	case "GETDEL", "SET":
		value := m.value(args[1])
		if m.sums[args[1]] = 0; args[0] == "SET" {
			value = "+OK\r\n"
		}
		return value
	case "DBSIZE":
		n, _ := m.live()
		return fmt.Sprintf(":%d\r\n", n)
	case "KEYS":
		_, all := m.live()
		return all
	case "SCAN":
		_, all := m.live()
		return "*2\r\n$1\r\n0\r\n" + all
	case "GCD.BACKUP":
		return "$?\r\n;6\r\nbackup\r\n;0\r\n"
	case "PING":
		return "+PONG\r\n"
	}
	return bulk(args[1]) // ECHO
}

// sayable is the conversation that words of the vocabulary are, by their numbers.
func sayable(words []byte) *conversation {
	m := model{sums: make(map[string]uint64)}
	c := new(conversation)
	for _, word := range words {
		text := vocabulary[int(word)%len(vocabulary)]
		one := said{in: text + "\r\n", want: m.answer(strings.Fields(text))}
		for _, sum := range m.sums {
			one.sum += sum
		}
		c.said = append(c.said, one)
	}
	return c
}

// tryAny has a conversation in a world of which everything is chosen.
func tryAny(t *testing.T, l *lab, talk *conversation, ch *sessiontest.Choices) {
	t.Helper()
	in := talk.in()
	var pieces []string
	for range ch.Of(6) {
		n := ch.Of(len(in) + 1)
		pieces, in = append(pieces, in[:n]), in[n:]
	}
	w := l.worldIn(ch.Of(modes), append(pieces, in))
	w.Stops, w.Clocks, w.Most = ch.Of(4) == 0, ch.Of(2), []int{0, 1, 7, 100}[ch.Of(4)]
	err := w.Run(ch)
	if err == nil {
		err = talk.judge(w, l.backend)
	}
	if err != nil {
		t.Fatalf("%.2000q and %.2000q, choices %v: %v", pieces, in, ch, err)
	}
}

// Whatever a client says, however it is cut and in whatever order all comes, it is answered as by
// the model, to the last command or to the one that was refused first.
func TestAnyConversation(t *testing.T) {
	t.Parallel()
	l := backupLab()
	for seed := range uint64(3000 / thin.Step(10)) {
		ch := sessiontest.Random(seed)
		words := make([]byte, ch.Of(40))
		for i := range words {
			words[i] = byte(ch.Of(len(vocabulary)))
		}
		tryAny(t, l, sayable(words), ch)
	}
}

// addSeeds adds words and choices of all kinds.
func addSeeds(f *testing.F) {
	for seed := range byte(8) {
		words, choices := make([]byte, 0, 32), make([]byte, 0, 64)
		for i := range byte(32) {
			words = append(words, i*(seed+1)+seed)
			choices = append(choices, i^seed<<3, i*seed)
		}
		f.Add(words, choices)
	}
}

// FuzzSession is TestAnyConversation of words and choices that somebody else makes.
func FuzzSession(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, words, choices []byte) {
		if len(words) > 100 { // what takes long finds little
			return
		}
		tryAny(t, backupLab(), sayable(words), sessiontest.Chosen(choices))
	})
}
