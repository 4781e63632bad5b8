package server_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gcd/resp"
)

// The limits of the store that respModel stands for.
const (
	modelTopics   = 10
	modelTopicLen = 100
)

// modelBackup is what a backup holds, whatever was counted.
const modelBackup = "a backup\r\n"

// respModel says what a connection is answered that is alone with its server. It is written as
// plainly as it goes: one command after the other, one topic after the other.
type respModel struct {
	id      string // of the connection, as CLIENT ID has it
	version int
	name    string
	ended   bool // after QUIT

	multi        [][]string // what was queued since MULTI; nil: no MULTI
	topicsQueued int        // topics of it
	bytesQueued  int        // bytes of it
	spoiled      bool       // EXEC will be refused
	most         int        // topics in flight
	mostBytes    int        // bytes in flight

	order  []string // topics, as they appeared
	sums   map[string]uint64
	epochs map[string]uint64
}

func newRespModel(id string) *respModel {
	return &respModel{id: id, version: 2, most: 65_536, mostBytes: resp.MaxCommand,
		sums: make(map[string]uint64), epochs: make(map[string]uint64)}
}

const (
	wrongCommand = "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' \r\n"
	notAnInteger = "-ERR value is not an integer or out of range\r\n"
	onlyZero     = "-ERR only 0 can be set, which resets the topic: a sum is what was counted, and setting it would " +
		"hand values out twice or never\r\n"
	onlyGrows = "-ERR increment must be above 0: the values of a topic are handed out one after the other and " +
		"never again, so a sum only grows\r\n"
	overflows = "-ERR increment or decrement would overflow\r\n"
	execWrong = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
	barred    = "-ERR Command not allowed inside a transaction\r\n"
	flushes   = "-ERR FLUSHALL is not supported: a topic keeps its name and its history; DEL resets the ones " +
		"that you name\r\n"
	watches = "-ERR WATCH is not supported: nothing that a transaction does can depend on what was read " +
		"before it; what it reads and counts is done at one moment\r\n"
)

// modelArity is how many arguments a command has, its name included; at least as many if negative.
var modelArity = map[string]int{
	"incr": 2, "incrby": 3, "gcd.count": -2, "gcd.reset": 2, "gcd.info": 2, "get": 2, "mget": -2, "strlen": 2,
	"set": -3, "getset": 3, "getdel": 2,
	"del": -2, "unlink": -2, "exists": -2, "touch": -2, "type": 2, "ttl": 2, "pttl": 2, "scan": -2, "keys": 2,
	"gcd.backup": -1, "dbsize": 1,
	"ping": -1, "echo": 2, "hello": -1, "client": -2, "select": 2, "multi": 1, "exec": 1, "discard": 1, "reset": 1,
	"quit": -1, "flushall": -1,
	"watch": -1, "unwatch": 1,
}

func (m *respModel) answer(args []string) string {
	if len(args) == 0 {
		return ""
	}
	name := strings.ToLower(args[0])
	arity, known := modelArity[name]
	ends := slices.Contains([]string{"exec", "discard", "reset", "quit"}, name)
	switch {
	case !known:
		m.spoiled = true
		return wrongCommand
	case arity > 0 && len(args) != arity, len(args) < -arity:
		m.spoiled = true
		if name == "exec" {
			m.forget()
			return execWrong
		}
		return wrongArity(name)
	case m.multi != nil && !ends:
		return m.queue(name, args)
	}
	return m.run(name, args)
}

func wrongArity(name string) string {
	return "-ERR wrong number of arguments for '" + name + "' command\r\n"
}

// modelKeyed are the commands on topics, and how many they may have.
var modelKeyed = map[string]int{
	"incr": 1, "incrby": 1, "gcd.count": 1, "gcd.reset": 1, "gcd.info": 1, "get": 1, "strlen": 1, "set": 1,
	"getset": 1, "getdel": 1, "type": 1, "ttl": 1,
	"pttl": 1, "mget": math.MaxInt, "del": math.MaxInt, "unlink": math.MaxInt, "exists": math.MaxInt,
	"touch": math.MaxInt,
}

// queue keeps a command between MULTI and EXEC.
func (m *respModel) queue(name string, args []string) string {
	wrong := ""
	m.topicsQueued += min(len(args)-1, modelKeyed[name]) + map[string]int{"dbsize": 1}[name]
	m.bytesQueued += len(array(args...))
	switch {
	case name == "flushall":
		wrong = flushes
	case name == "watch":
		wrong = watches
	case name == "multi":
		wrong = "-ERR MULTI calls can not be nested\r\n"
	case slices.Contains([]string{"scan", "keys", "hello", "gcd.backup"}, name):
		wrong = barred
	case m.spoiled:
	case m.topicsQueued > m.most:
		wrong = fmt.Sprintf("-ERR more topics than --max-in-flight allows: a transaction has at most %d\r\n", m.most)
	case m.bytesQueued > m.mostBytes:
		wrong = fmt.Sprintf("-ERR transaction is too long: its commands have at most %d bytes\r\n", m.mostBytes)
	}
	if wrong != "" {
		m.spoiled = true
		return wrong
	}
	m.multi = append(m.multi, args)
	return "+QUEUED\r\n"
}

// exec runs what was queued.
func (m *respModel) exec() string {
	queue, spoiled := m.multi, m.spoiled
	m.forget()
	if queue == nil {
		return "-ERR EXEC without MULTI\r\n"
	}
	if spoiled {
		return "-EXECABORT Transaction discarded because of previous errors.\r\n"
	}
	all := fmt.Sprintf("*%d\r\n", len(queue))
	for _, args := range queue {
		all += m.run(strings.ToLower(args[0]), args)
	}
	return all
}

func (m *respModel) forget() { m.multi, m.spoiled, m.topicsQueued, m.bytesQueued = nil, false, 0, 0 }

// leave is the end of a connection.
func (m *respModel) leave() {
	m.version, m.name, m.ended = 2, "", false
	m.forget()
}

func (m *respModel) run(name string, args []string) string {
	if name == "gcd.count" && len(args) > 3 || name == "ping" && len(args) > 2 {
		return wrongArity(name)
	}
	switch name {
	case "incr", "incrby", "gcd.count", "gcd.reset", "set", "getset", "getdel", "del", "unlink":
		return m.write(name, args)
	case "get", "mget", "strlen", "exists", "touch", "type", "ttl", "pttl", "gcd.info":
		return m.read(name, args[1:])
	}
	return m.other(name, args)
}

func (m *respModel) write(name string, args []string) string {
	n, most := uint64(1), uint64(math.MaxInt64)
	switch name {
	case "incrby":
		signed, err := strconv.ParseInt(args[2], 10, 64)
		if err != nil {
			return notAnInteger
		}
		if signed <= 0 {
			return onlyGrows
		}
		n = uint64(signed)
	case "gcd.count":
		most = math.MaxUint64
		if len(args) == 3 {
			var err error
			if n, err = strconv.ParseUint(args[2], 10, 64); err != nil || n == 0 {
				return "-ERR value is not an integer from 1 to 18446744073709551615\r\n"
			}
		}
	case "set":
		if len(args) > 3 {
			return "-ERR SET takes no options here: SET topic 0 resets the topic, GETSET topic 0 returns its old " +
				"sum, and topics do not expire\r\n"
		}
		fallthrough
	case "getset":
		if args[2] != "0" {
			return onlyZero
		}
	}
	topics := args[1:]
	if name != "del" && name != "unlink" {
		topics = args[1:2]
	}
	if bad := badTopic(topics); bad != "" {
		return bad
	}
	failure, live, sum := "", 0, uint64(0)
	for _, topic := range topics {
		var err string
		switch name {
		case "incr", "incrby", "gcd.count":
			sum, err = m.count(topic, n, most)
		case "gcd.reset":
			_, err = m.reset(topic, true)
		default:
			sum, err = m.reset(topic, false)
		}
		if sum > 0 && err == "" {
			live++
		}
		if failure == "" {
			failure = err
		}
	}
	switch {
	case failure != "":
		return failure
	case name == "incr" || name == "incrby":
		return fmt.Sprintf(":%d\r\n", sum)
	case name == "gcd.count":
		return bulk(fmt.Sprint(sum))
	case name == "gcd.reset" || name == "set":
		return "+OK\r\n"
	case name == "getset" || name == "getdel":
		return m.value(sum)
	}
	return fmt.Sprintf(":%d\r\n", live)
}

func badTopic(topics []string) string {
	for _, topic := range topics {
		if len(topic) > 65535 {
			return "-ERR topic is too long: it has at most 65535 bytes\r\n"
		}
		if !utf8.ValidString(topic) {
			return "-ERR topic is not UTF-8\r\n"
		}
	}
	return ""
}

// admit makes a topic known, or says why it cannot be.
func (m *respModel) admit(topic string) string {
	if slices.Contains(m.order, topic) {
		return ""
	}
	if len(m.order) == modelTopics {
		return "-OOM too many topics: the server holds as many as it may\r\n"
	}
	m.order = append(m.order, topic)
	return ""
}

const tooLong = "-ERR topic is too long for this server\r\n"

func (m *respModel) count(topic string, n, most uint64) (uint64, string) {
	if len(topic) > modelTopicLen {
		return 0, tooLong
	}
	if sum := m.sums[topic]; sum > most || n > most-sum {
		return 0, overflows
	}
	if err := m.admit(topic); err != "" {
		return 0, err
	}
	m.sums[topic] += n
	return m.sums[topic], ""
}

// reset ends an epoch and returns its sum; one in which nothing was counted only if always.
func (m *respModel) reset(topic string, always bool) (uint64, string) {
	sum := m.sums[topic]
	if sum == 0 && !always {
		return 0, ""
	}
	if len(topic) > modelTopicLen {
		return 0, tooLong
	}
	if err := m.admit(topic); err != "" {
		return 0, err
	}
	m.sums[topic] = 0
	m.epochs[topic]++
	return sum, ""
}

func (m *respModel) null() string {
	if m.version == 3 {
		return null3
	}
	return null2
}

func (m *respModel) value(sum uint64) string {
	if sum == 0 {
		return m.null()
	}
	return bulk(fmt.Sprint(sum))
}

func (m *respModel) read(name string, topics []string) string {
	if bad := badTopic(topics); bad != "" {
		return bad
	}
	live := 0
	for _, topic := range topics {
		if m.sums[topic] > 0 {
			live++
		}
	}
	sum := m.sums[topics[0]]
	switch name {
	case "get":
		return m.value(sum)
	case "mget":
		values := fmt.Sprintf("*%d\r\n", len(topics))
		for _, topic := range topics {
			values += m.value(m.sums[topic])
		}
		return values
	case "strlen":
		return fmt.Sprintf(":%d\r\n", len(strings.TrimPrefix(fmt.Sprint(sum), "0")))
	case "type":
		return []string{"+none\r\n", "+string\r\n"}[live]
	case "ttl", "pttl":
		return fmt.Sprintf(":%d\r\n", live-2)
	case "gcd.info":
		return m.pairs(2) + bulk("sum") + bulk(fmt.Sprint(sum)) + bulk("epoch") +
			fmt.Sprintf(":%d\r\n", m.epochs[topics[0]])
	}
	return fmt.Sprintf(":%d\r\n", live)
}

func (m *respModel) pairs(n int) string {
	if m.version == 3 {
		return fmt.Sprintf("%%%d\r\n", n)
	}
	return fmt.Sprintf("*%d\r\n", 2*n)
}

// live lists the topics that match and have a sum, as an array.
func (m *respModel) live(pattern string) string {
	n, list := 0, ""
	for _, topic := range m.order {
		if ok, _ := path.Match(pattern, topic); ok && m.sums[topic] > 0 {
			n++
			list += bulk(topic)
		}
	}
	return fmt.Sprintf("*%d\r\n", n) + list
}

func (m *respModel) other(name string, args []string) string {
	switch name {
	case "scan": // all at once
		return "*2\r\n" + bulk("0") + m.live("*")
	case "keys":
		return m.live(args[1])
	case "gcd.backup":
		return resp.StreamHead + string(resp.AppendChunk(nil, []byte(modelBackup))) + resp.StreamEnd
	case "dbsize":
		_, live, _ := strings.Cut(m.live("*"), "*")
		n, _, _ := strings.Cut(live, "\r")
		return ":" + n + "\r\n"
	case "ping":
		if len(args) == 1 {
			return "+PONG\r\n"
		}
		return bulk(args[1])
	case "echo":
		return bulk(args[1])
	case "hello":
		if len(args) > 1 {
			m.version, _ = strconv.Atoi(args[1])
		}
		return m.pairs(7) + bulk("server") + bulk("redis") + bulk("version") + bulk("7.2.0") + bulk("proto") +
			fmt.Sprintf(":%d\r\n", m.version) +
			bulk("id") + m.id + bulk("mode") + bulk("standalone") + bulk("role") + bulk("master") + bulk("modules") +
			"*0\r\n"
	case "client":
		switch strings.ToLower(args[1]) {
		case "id":
			return m.id
		case "setname":
			m.name = args[2]
			return "+OK\r\n"
		default: // getname
			if m.name == "" {
				return m.null()
			}
			return bulk(m.name)
		}
	case "select":
		if args[1] != "0" {
			return "-ERR DB index is out of range\r\n"
		}
		return "+OK\r\n"
	case "multi":
		m.forget()
		m.multi = [][]string{}
		return "+OK\r\n"
	case "exec":
		return m.exec()
	case "discard":
		if m.multi == nil {
			return "-ERR DISCARD without MULTI\r\n"
		}
		m.forget()
		return "+OK\r\n"
	case "unwatch":
		return "+OK\r\n"
	case "watch":
		return watches
	case "reset":
		m.leave()
		return "+RESET\r\n"
	case "quit":
		m.ended = true
		return "+OK\r\n"
	}
	return flushes
}

// modelTopicNames are more topics than the store takes, and some that are none.
var modelTopicNames = []string{"a", "b", "c", "dd", "é", "", "with blank", "line\r\nend", "f\x00g", "日本語", "🧮", "l",
	"m", "n", "\xff", "x\xc3", long("t", modelTopicLen), long("t", modelTopicLen+1), long("u", 65536)}

// randomCommand makes a command that mostly makes sense.
func randomCommand(r *rand.Rand) []string {
	topic := func() string {
		return modelTopicNames[min(r.IntN(len(modelTopicNames)), r.IntN(2*len(modelTopicNames)))]
	}
	topics := func(args ...string) []string {
		for range 1 + r.IntN(6) {
			args = append(args, topic())
		}
		return args
	}
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	switch n := r.IntN(100); {
	case n < 30:
		return []string{pick("INCR", "incr", "iNcR"), topic()}
	case n < 36:
		return []string{"INCRBY", topic(),
			pick("1", "7", "1000", "4611686018427387904", "9223372036854775807", "9223372036854775808", "0", "-1", "v",
				"", "1.5")}
	case n < 40:
		return []string{"GCD.COUNT", topic(),
			pick("1", "9", "9223372036854775807", "18446744073709551615", "18446744073709551616", "0", "-1", "x")}
	case n < 44:
		return []string{pick("GCD.COUNT", "GCD.RESET", "GETDEL", "GETDEL"), topic()}
	case n < 50:
		return topics(pick("DEL", "UNLINK", "Del"))
	case n < 54:
		return []string{pick("SET", "GETSET"), topic(), pick("0", "0", "0", "1", "00", "")}
	case n < 66:
		return []string{pick("GET", "get", "STRLEN", "TYPE", "TTL", "PTTL", "GCD.INFO"), topic()}
	case n < 72:
		return topics(pick("MGET", "EXISTS", "TOUCH"))
	case n < 75:
		return []string{"SCAN", "0", "COUNT", "1000"}
	case n < 77:
		return []string{"KEYS", pick("*", "a", "nosuch", "l*", "*n*")}
	case n < 79:
		return []string{"DBSIZE"}
	case n < 83:
		return []string{"PING", "hi", "too", "many"}[:1+r.IntN(3)]
	case n < 85:
		return []string{"ECHO", long("e", r.IntN(20_000))}
	case n < 87:
		return []string{"HELLO", pick("2", "3")}
	case n < 89:
		return [][]string{{"CLIENT", "GETNAME"}, {"client", "id"},
			{"CLIENT", "SETNAME", pick("", "me", "you")}}[r.IntN(3)]
	case n < 90:
		return []string{pick("MULTI", "multi", "UNWATCH", "RESET")}
	case n < 93:
		return []string{pick("EXEC", "MULTI", "exec", "DISCARD", "Exec", "MULTI")}
	case n < 94:
		return []string{"SELECT", pick("0", "1")}
	case n < 95:
		return []string{"NOSUCH", "a", "b"}
	case n < 96:
		return []string{pick("FLUSHALL", "WATCH"), "a"}
	case n < 97:
		return [][]string{{"INCR"}, {"INCR", "a", "b"}, {"INCRBY", "a"}, {"GET"}, {"MGET"}, {"DEL"}, {"SET", "a"},
			{"SET", "a", "0", "NX"}, {"ECHO"}, {"KEYS"}, {"DBSIZE", "x"},
			{"GCD.COUNT", "a", "1", "2"}, {"EXEC", "x"}}[r.IntN(13)]
	case n < 98:
		return []string{"GCD.BACKUP"}
	}
	return nil
}

// written is a command's bytes, in one of the forms that there are.
func written(r *rand.Rand, args []string) string {
	if r.IntN(4) > 0 || len(strings.Join(args, "")) > 10_000 {
		if len(args) == 0 {
			return []string{"*0\r\n", "*-1\r\n", "\r\n", "\n", "  \t \r\n"}[r.IntN(5)]
		}
		return array(args...)
	}
	words := make([]string, len(args))
	for i, arg := range args {
		plain := arg != "" &&
			strings.Trim(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.*?-") == ""
		switch {
		case plain && r.IntN(2) == 0:
			words[i] = arg
		case r.IntN(2) == 0 && !strings.ContainsAny(arg, "\r\n'\\"):
			words[i] = "'" + arg + "'"
		default:
			var b strings.Builder
			for _, c := range []byte(arg) {
				if c < ' ' || c > '~' || c == '"' || c == '\\' {
					fmt.Fprintf(&b, `\x%02x`, c)
				} else {
					b.WriteByte(c)
				}
			}
			words[i] = `"` + b.String() + `"`
		}
	}
	return strings.Join(words, []string{" ", "  ", "\t"}[r.IntN(3)]) + []string{"\r\n", "\n", " \r\n"}[r.IntN(3)]
}
