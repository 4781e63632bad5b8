package server_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gcd/server"
)

// incrTests are the cases of Redis' own tests/unit/type/incr.tcl, by their names there, each as a
// conversation: what it comes to here. A want that ends in * is the beginning of an error. SET to
// anything but 0 is INCRBY on a new topic.
var incrTests = map[string][][2]string{
	"INCR against non existing key":           {{"INCR novar", ":1"}, {"GET novar", "$1\r\n1"}},
	"INCR against key created by incr itself": {{"INCR novar", ":1"}, {"INCR novar", ":2"}},
	"DECR against key created by incr": {{"INCR novar", ":1"},
		{"DECR novar", "-ERR DECR is not supported*"}, {"GET novar", "$1\r\n1"}},
	"DECR against key is not exist and incr": {{"DEL novar", ":0"},
		{"DECR novar", "-ERR DECR is not supported*"}, {"INCR novar", ":1"}},
	"INCR against key originally set with SET": {{"SET novar 100", "-ERR only 0 can be set*"},
		{"INCRBY novar 100", ":100"}, {"INCR novar", ":101"}},
	"INCR over 32bit value": {{"INCRBY novar 17179869184", ":17179869184"},
		{"INCR novar", ":17179869185"}},
	"INCRBY over 32bit value with over 32bit increment": {{"INCRBY novar 17179869184", ":17179869184"},
		{"INCRBY novar 17179869184", ":34359738368"}},
	"INCR fails against key with spaces (left)": {{`SET novar "    11"`,
		"-ERR only 0 can be set*"}},
	"INCR fails against key with spaces (right)": {{`SET novar "11    "`,
		"-ERR only 0 can be set*"}},
	"INCR fails against key with spaces (both)": {{`SET novar "    11    "`,
		"-ERR only 0 can be set*"}},
	"DECRBY negation overflow": {{"SET x 0", "+OK"},
		{"DECRBY x -9223372036854775808", "-ERR DECRBY is not supported*"}},
	"INCR fails against a key holding a list": {{"RPUSH mylist 1", "-ERR unknown command*"}},
	"DECRBY over 32bit value with over 32bit increment, negative res": {{"INCRBY novar 17179869184", ":17179869184"},
		{"DECRBY novar 17179869185", "-ERR DECRBY is not supported*"}},
	"DECRBY against key is not exist": {{"DEL novar", ":0"},
		{"DECRBY novar 1", "-ERR DECRBY is not supported*"}},
	"INCR uses shared objects in the 0-9999 range": {{"OBJECT REFCOUNT foo",
		"-ERR OBJECT is not supported*"}},
	"INCR can modify objects in-place": {{"DEBUG OBJECT foo",
		"-ERR DEBUG is not supported*"}},
	"INCRBYFLOAT against non existing key": {{"INCRBYFLOAT novar 1",
		"-ERR INCRBYFLOAT is not supported*"}},
	"INCRBYFLOAT against key originally set with SET": {{"SET novar 1.5", "-ERR only 0 can be set*"}},
	"INCRBYFLOAT over 32bit value": {{"INCRBY novar 17179869184", ":17179869184"},
		{"INCRBYFLOAT novar 1.5", "-ERR INCRBYFLOAT is not supported*"}},
	"INCRBYFLOAT over 32bit value with over 32bit increment": {{"INCRBY novar 17179869184", ":17179869184"},
		{"INCRBYFLOAT novar 17179869184", "-ERR INCRBYFLOAT is not supported*"}},
	"INCRBYFLOAT fails against key with spaces (left)": {{`INCRBYFLOAT novar 1.0`,
		"-ERR INCRBYFLOAT is not supported*"}},
	"INCRBYFLOAT fails against key with spaces (right)": {{`INCRBYFLOAT novar 1.0`,
		"-ERR INCRBYFLOAT is not supported*"}},
	"INCRBYFLOAT fails against key with spaces (both)": {{`INCRBYFLOAT novar 1.0`,
		"-ERR INCRBYFLOAT is not supported*"}},
	"INCRBYFLOAT fails against a key holding a list": {{"RPUSH mylist 1", "-ERR unknown command*"}},
	"INCRBYFLOAT does not allow NaN or Infinity": {{"INCRBYFLOAT foo +inf",
		"-ERR INCRBYFLOAT is not supported*"}, {"INCRBY foo +inf", "-ERR value is not an integer or out of range"}},
	"INCRBYFLOAT decrement": {{"INCRBYFLOAT foo -1.1",
		"-ERR INCRBYFLOAT is not supported*"}},
	"string to double with null terminator": {{"SETRANGE foo 2 2",
		"-ERR SETRANGE is not supported*"}},
	"No negative zero": {{"INCRBYFLOAT foo -0.02",
		"-ERR INCRBYFLOAT is not supported*"}, {"GET foo", "$-1"}},
	"INCRBY INCRBYFLOAT DECRBY against unhappy path": {
		{"INCR mykeyincr v", "-ERR wrong number of arguments for 'incr' command"},
		{"DECR mykeyincr v", "-ERR DECR is not supported*"},
		{"INCRBY mykeyincr v", "-ERR value is not an integer or out of range"},
		{"INCRBY mykeyincr 1.5", "-ERR value is not an integer or out of range"},
		{"DECRBY mykeyincr v", "-ERR DECRBY is not supported*"},
		{"INCRBYFLOAT mykeyincr v", "-ERR INCRBYFLOAT is not supported*"},
		{"EXISTS mykeyincr", ":0"},
	},
	"incr operation should update encoding from raw to int": {{"INCR foo", ":1"},
		{"APPEND foo 2", "-ERR APPEND is not supported*"}, {"INCR foo", ":2"}},
	"decr operation should update encoding from raw to int": {{"DECR foo", "-ERR DECR is not supported*"}},
	"incrby operation should update encoding from raw to int": {{"INCRBY foo 12", ":12"},
		{"APPEND foo 2", "-ERR APPEND is not supported*"}, {"INCRBY foo 1", ":13"}},
	"decrby operation should update encoding from raw to int": {{"DECRBY foo 1", "-ERR DECRBY is not supported*"}},
}

func TestRedisTestsOfINCR(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		for name, conversation := range incrTests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s, _ := serveFake(t, o)
				c := dialRESP(t, s, 2)
				for _, line := range conversation {
					send(t, c, []byte(line[0]+"\r\nECHO end\r\n"))
					got := strings.TrimSuffix(readUntil(t, c, "$3\r\nend\r\n"), "\r\n")
					if want, prefix := strings.CutSuffix(line[1], "*"); got != want &&
						!(prefix && strings.HasPrefix(got, want)) {
						t.Errorf("%s was answered %q, want %q", line[0], got, line[1])
					}
				}
			})
		}
	})
}

// Each of them is in docs/resp.md, with what is different here.
func TestRedisTestsOfINCRAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/resp.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## Redis' own tests of INCR")
	var documented []string
	for _, row := range regexp.MustCompile(`(?m)^\| (.*) \| .* \|$`).FindAllStringSubmatch(section, -1) {
		for _, name := range regexp.MustCompile(`“([^”]+)”`).FindAllStringSubmatch(row[1], -1) {
			documented = append(documented, name[1])
		}
	}
	for name := range incrTests {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/resp.md does not have %q", name)
		}
	}
	for _, name := range documented {
		if incrTests[name] == nil {
			t.Errorf("docs/resp.md has %q, which is not tested", name)
		}
	}
}
