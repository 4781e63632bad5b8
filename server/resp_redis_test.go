package server_test

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"gcd/server"
)

// redisLine is a line that was sent to Redis, and its answers in the versions of RESP.
type redisLine struct{ in, second, third string }

// redisLines reads the answers of Redis.
func redisLines(t *testing.T) (lines []redisLine) {
	t.Helper()
	f, err := os.Open("testdata/redis-7.2.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		var words []string
		for rest := s.Text(); rest != ""; rest = strings.TrimPrefix(rest, " ") {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				t.Fatalf("%v in %q", err, s.Text())
			}
			word, err := strconv.Unquote(quoted)
			if err != nil {
				t.Fatalf("%v in %q", err, s.Text())
			}
			words, rest = append(words, word), rest[len(quoted):]
		}
		if len(words) == 2 {
			words = append(words, words[1])
		}
		if len(words) != 3 {
			t.Fatalf("%d words in %q", len(words), s.Text())
		}
		lines = append(lines, redisLine{words[0], words[1], words[2]})
	}
	if len(lines) < 300 {
		t.Fatalf("%d lines", len(lines))
	}
	return lines
}

// TestRESPAnswersAsRedis sends what was sent to a Redis 7.2 and expects its bytes. What differs,
// and why, is in docs/resp.md.
func TestRESPAnswersAsRedis(t *testing.T) {
	t.Parallel()
	lines := redisLines(t)
	eachRESP(t, func(t *testing.T, o server.Options, version int) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, version)
		for _, line := range lines {
			want := line.second
			if version == 3 {
				want = line.third
			}
			say(t, c, line.in+"\r\n", want)
		}
	})
}
