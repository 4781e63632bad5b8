//go:build linux

package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// counter is a client library as the tests use it. Calls come one after the other.
type counter interface {
	// incr counts n times, each call when the one before was answered, and hands on the numbers as
	// they come.
	incr(topic string, n int, got func(int64)) error
	// pipeline counts n times without waiting for answers in between.
	pipeline(topic string, n int) ([]int64, error)
	// transaction counts both topics n times in one transaction, in turn.
	transaction(topic, other string, n int) ([]int64, error)
	get(topic string) (int64, error)
}

// library is a client library that is tested with its defaults.
type library struct {
	name string // as docs/resp.md has it
	// again is the major version since which the library, with its defaults, sends a call again
	// that got no answer, so that it counts twice. 0: none does.
	again int

	// open makes a client for the server at an address; once is set up so that nothing is sent a
	// second time. It returns the library's version, too.
	open func(t *testing.T, addr string, once bool) (counter, string)

	// Of programs in other languages. probe ends with 0 where the library is there, from is how to
	// get it.
	probe, command []string
	from           string
}

// libraries are those of the table "With common clients".
func libraries(t *testing.T) []library {
	hiredis := filepath.Join(t.TempDir(), "hiredis")
	return append(goLibraries(),
		library{name: "redis-py", again: 6, from: "apt-get install python3-redis",
			probe:   []string{"/usr/bin/python3", "-c", "import redis"},
			command: []string{"/usr/bin/python3", "python/redis_py.py"}},
		library{name: "ioredis", again: 1, from: "npm ci, in clients/node",
			probe: nodeProbe("ioredis"), command: []string{"node", "node/ioredis.js"}},
		library{name: "node-redis", from: "npm ci, in clients/node",
			probe: nodeProbe("redis"), command: []string{"node", "node/node_redis.js"}},
		library{name: "phpredis", from: "apt-get install php-cli php-redis",
			probe: []string{"php", "-r", "exit(class_exists('Redis') ? 0 : 1);"}, command: []string{"php",
				"php/phpredis.php"}},
		library{name: "predis", from: "apt-get install php-cli php-predis",
			probe: []string{"php", "-r", "require 'Predis/autoload.php';"}, command: []string{"php", "php/predis.php"}},
		library{name: "redis-rb", again: 1, from: "apt-get install ruby ruby-redis",
			probe: []string{"ruby", "-e", "require 'redis'"}, command: []string{"ruby", "ruby/redis_rb.rb"}},
		library{name: "Redis.pm", from: "apt-get install libredis-perl",
			probe: []string{"perl", "-MRedis", "-e", "1"}, command: []string{"perl", "perl/redis_pm.pl"}},
		library{name: "redis-lua", from: "apt-get install lua5.1 lua-redis",
			probe: []string{"lua5.1", "-e", "require 'redis'"}, command: []string{"lua5.1", "lua/redis_lua.lua"}},
		library{name: "hiredis", from: "apt-get install gcc libhiredis-dev",
			probe:   []string{"cc", "-Wall", "-Werror", "-o", hiredis, "c/hiredis.c", "-lhiredis"},
			command: []string{hiredis}},
	)
}

func nodeProbe(module string) []string {
	return []string{"node", "-e", "require.resolve(process.argv[1], {paths: ['./node']})", module}
}

// client makes a client, and a program's first.
func (l *library) client(t *testing.T, addr string, once bool) (counter, string) {
	if l.open != nil {
		return l.open(t, addr, once)
	}
	p := startProgram(t, l.command, addr, once, nil)
	return p, p.version
}

// missing leaves a test out where a library cannot be had, and says where it comes from.
// GCD_LIBRARIES=all takes none for missing.
func (l *library) missing(t *testing.T) {
	t.Helper()
	if l.probe == nil {
		return
	}
	out, err := exec.CommandContext(t.Context(), l.probe[0], l.probe[1:]...).CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("GCD_LIBRARIES") == "all":
		t.Fatalf("%s is not here (%s): %v\n%s", l.name, l.from, err, out)
	default:
		t.Skipf("%s is not here: %s", l.name, l.from)
	}
}

// Each library counts with its defaults: one call after the other, in a pipeline and in a
// transaction, and goes on after a server that was killed. What it does with a call whose answer
// is lost is what docs/resp.md says.
func TestLibraries(t *testing.T) {
	t.Parallel()
	binary := buildServer(t)
	for _, l := range libraries(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			l.missing(t)
			s := startProcess(t, binary)
			c, version := l.client(t, s.addr, false)
			t.Logf("%s %s", l.name, version)

			counts(t, c)
			transactions(t, c)
			killed(t, s, c)
			killedUnderLoad(t, s, c)
			killedInTransactions(t, s, c)
			answerLost(t, s, c, &l, version)
			transactionLost(t, s, c, &l)
		})
	}
}

// counts holds each number against what it must be.
func counts(t *testing.T, c counter) {
	t.Helper()
	var got []int64
	if err := c.incr("calls", 50, func(n int64) { got = append(got, n) }); err != nil || !slices.Equal(got, upTo(50)) {
		t.Errorf("calls: %v (%v), want 1 to 50", got, err)
	}
	if n, err := c.get("calls"); err != nil || n != 50 {
		t.Errorf("GET: %d (%v), want 50", n, err)
	}
	if got, err := c.pipeline("pipeline", 500); err != nil || !slices.Equal(got, upTo(500)) {
		t.Errorf("a pipeline: %v (%v), want 1 to 500", got, err)
	}
}

func upTo(n int64) []int64 {
	numbers := make([]int64, n)
	for i := range numbers {
		numbers[i] = int64(i) + 1
	}
	return numbers
}

// killed kills the server while nothing is under way: what counts next may fail, and is then the
// next number.
func killed(t *testing.T, s *process, c counter) {
	t.Helper()
	if err := s.again(); err != nil {
		t.Fatal(err)
	}
	var got []int64
	var failures []error
	for len(got) == 0 && len(failures) < 5 {
		if err := c.incr("calls", 1, func(n int64) { got = append(got, n) }); err != nil {
			failures = append(failures, err)
		}
	}
	if !slices.Equal(got, []int64{51}) {
		t.Errorf("after a kill: %v, want 51; failures: %v", got, failures)
	}
	t.Logf("after a kill %d calls fail: %v", len(failures), failures)
}

// killedUnderLoad kills the server while a client counts: no number comes twice, and of the call
// that was under way alone nobody knows.
func killedUnderLoad(t *testing.T, s *process, c counter) {
	t.Helper()
	const calls, at = 600, 100
	var got []int64
	again := make(chan error, 1)
	note := func(n int64) {
		if got = append(got, n); len(got) == at {
			go func() { again <- s.again() }()
		}
	}
	err := c.incr("loaded", calls, note)
	if len(got) < at {
		t.Fatalf("%d calls were answered: %v", len(got), err)
	}
	if err := <-again; err != nil {
		t.Fatal(err)
	}
	t.Logf("killed after %d answers: %v", len(got), err)
	for tries := 0; len(got) < calls && tries < 5; tries++ {
		err = c.incr("loaded", calls-len(got), note)
	}
	if err != nil || len(got) != calls {
		t.Fatalf("%d of %d calls were answered: %v", len(got), calls, err)
	}
	for i := 1; i < len(got); i++ {
		if got[i] <= got[i-1] {
			t.Fatalf("%d comes after %d", got[i], got[i-1])
		}
	}
	if last := got[calls-1]; last < calls || last > calls+1 {
		t.Errorf("the last number is %d: %d calls were answered, and one was under way", last, calls)
	}
	if n, err := c.get("loaded"); err != nil || n != got[calls-1] {
		t.Errorf("GET: %d (%v), want %d", n, err, got[calls-1])
	}
}

// answerLost has the answer to a call lost on its way, and looks how often it was counted.
func answerLost(t *testing.T, s *process, c counter, l *library, version string) {
	t.Helper()
	lose := func(topic string, once bool) (answer []int64, sum int64, err error) {
		through, _ := l.client(t, startRelay(t, s.addr, topic), once)
		err = through.incr(topic, 1, func(n int64) { answer = append(answer, n) })
		sum, failed := c.get(topic)
		if failed != nil {
			t.Fatal(failed)
		}
		return answer, sum, err
	}

	digits := version[strings.LastIndexByte(version, ' ')+1:]
	major, err := strconv.Atoi(digits[:max(0, strings.IndexByte(digits, '.'))])
	if err != nil {
		t.Fatalf("version %q: %v", version, err)
	}
	answer, sum, err := lose("lost-with-defaults", false)
	twice := sum == 2 && err == nil && slices.Equal(answer, []int64{2})
	once := sum == 1 && err != nil
	if again := l.again != 0 && major >= l.again; again && !twice || !again && !once {
		t.Errorf("a call whose answer is lost: it is at %d, and the client has %v (%v), though sends again is %v",
			sum, answer, err, again)
	}
	if answer, sum, err := lose("lost-and-told", true); sum != 1 || err == nil {
		t.Errorf("with the setting not to send again: it is at %d, and the client has %v (%v)", sum, answer, err)
	}
}

// TestDocs holds the tables of docs/resp.md against the libraries that are tested.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/resp.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## With common clients\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, l := range libraries(t) {
		if !strings.Contains(table, fmt.Sprintf("\n| %s | ", l.name)) {
			t.Errorf("docs/resp.md has no row of %s", l.name)
		}
	}
	_, table, _ = strings.Cut(table, "\n### With a token\n")
	for _, l := range guardedLibraries(t) {
		if name, _, _ := strings.Cut(l.name, " with "); !strings.Contains(table, fmt.Sprintf("\n| %s", name)) {
			t.Errorf("docs/resp.md does not say how %s is given a token", name)
		}
	}
}
