package server_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"gcd/server"
	"gcd/store"
	"gcd/store/core"
)

// A topic as commands of RESP see it, for porcupine: the output is what was answered, as one line.
var topicModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byTopic := make(map[string][]porcupine.Operation)
		for _, op := range history {
			_, topic, _ := strings.Cut(op.Input.(string), " ")
			byTopic[topic] = append(byTopic[topic], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byTopic {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return core.Value{} },
	Step: func(state, input, output any) (bool, any) {
		v, got := state.(core.Value), output.(string)
		command, _, _ := strings.Cut(input.(string), " ")
		sum, next := "nil", v
		if v.Sum > 0 {
			sum = fmt.Sprint(v.Sum)
		}
		switch command {
		case "INCR":
			next.Sum++
			return got == fmt.Sprint(next.Sum), next
		case "GETDEL":
			if v.Sum > 0 {
				next = core.Value{Epoch: v.Epoch + 1}
			}
			return got == sum, next
		case "GCD.RESET":
			return got == "OK", core.Value{Epoch: v.Epoch + 1}
		case "GCD.INFO":
			return got == fmt.Sprintf("sum %d epoch %d", v.Sum, v.Epoch), v
		default: // GET
			return got == sum, v
		}
	},
}

// TestRESPLinearizable has connections count, reset and read the same few topics, alone and in
// pipelines, and has porcupine look for an order of each topic's commands that explains all
// answers.
func TestRESPLinearizable(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		st, err := store.Open(t.TempDir(), store.Options{SegmentSize: 64 << 10, SnapshotBytes: 4 << 10})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		s := serve(t, st, o, nil)
		history, seed := converseAtOnce(t, s, 8, 60, func(r *rand.Rand) exchanged {
			var in string
			var commands []any
			for range 1 + r.IntN(2)*r.IntN(5) {
				name := []string{"INCR", "INCR", "INCR", "INCR", "GET", "GCD.INFO", "GETDEL", "GCD.RESET"}[r.IntN(8)]
				command := name + " " + string(rune('a'+r.IntN(3)))
				in, commands = in+command+"\r\n", append(commands, command)
			}
			return exchanged{in, commands}
		}, func(answer string) any { return answer })
		if !porcupine.CheckOperations(topicModel, history) {
			t.Errorf("seed %d: no order of %d commands explains their answers", seed, len(history))
		}
	})
}

// exchanged is what a client sends at once, and of each answer to it the operation's input; nil
// where it is of none.
type exchanged struct {
	in     string
	inputs []any
}

// converseAtOnce has clients go on beside each other, each with so many exchanges, and returns what
// porcupine wants to know, and the seed of it. output reads an answer.
func converseAtOnce(t *testing.T, s *running, clients, exchanges int, next func(*rand.Rand) exchanged,
	output func(answer string) any) (history []porcupine.Operation, seed uint64) {
	t.Helper()
	seed = rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for client := range clients {
		wg.Go(func() {
			c, err := net.Dial("tcp", s.addr("tcp"))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			r, replies := rand.New(rand.NewPCG(seed, uint64(client))), bufio.NewReader(c)
			for range exchanges {
				x := next(r)
				call := int64(time.Since(began))
				if _, err := io.WriteString(c, x.in); err != nil {
					t.Error(err)
					return
				}
				for _, input := range x.inputs {
					got, err := oneLine(replies)
					if err != nil {
						t.Error(err)
						return
					}
					if input == nil {
						continue
					}
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: client, Input: input, Call: call,
						Output: output(got), Return: int64(time.Since(began))})
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return history, seed
}

// oneLine reads a reply of version 2, an array's elements with blanks between them.
func oneLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(line[1:], "\r\n")
	switch {
	case line == null2:
		return "nil", nil
	case line[0] == '$': // of a string without line ends
		text, err = r.ReadString('\n')
		return strings.TrimSuffix(text, "\r\n"), err
	case line[0] != '*':
		return text, nil
	}
	n, err := strconv.Atoi(text)
	parts := make([]string, n)
	for i := range parts {
		if parts[i], err = oneLine(r); err != nil {
			return "", err
		}
	}
	return strings.Join(parts, " "), err
}
