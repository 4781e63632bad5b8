package codec

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestNumbers holds what is transmitted: a change here is a change of the protocol.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"OpCount", int(OpCount), 0},
		{"OpReset", int(OpReset), 1},
		{"OpCountReply", int(OpCountReply), 128},
		{"OpResetReply", int(OpResetReply), 129},
		{"OpRefusal", int(OpRefusal), 255},
		{"MaxMessage", MaxMessage, 65536},
		{"MaxDatagram", MaxDatagram, 65507},
		{"MaxTopic", MaxTopic, 65535},
		{"MaxText", MaxText, 256},
		{"MaxReply", MaxReply, 2 + MaxText},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, want %d", c.name, c.got, c.want)
		}
	}
	if DefaultTopic != "default" || DefaultAddr != "127.0.0.1:5555" {
		t.Errorf("defaults are %q and %q", DefaultTopic, DefaultAddr)
	}
	if len(errTooLong.Text) == 0 || !strings.Contains(errTooLong.Text, strconv.Itoa(MaxMessage)) {
		t.Errorf("%q does not name the limit", errTooLong.Text)
	}
}

func TestIsReply(t *testing.T) {
	t.Parallel()
	for op := range 256 {
		if got := Op(op).IsReply(); got != (op >= 128) {
			t.Errorf("opcode %d: got %v", op, got)
		}
	}
}

// codes is every code in the order of its number, which begins at 1; 17 to 20 are reserved.
var codes = []Code{
	CodeMalformed, CodeUnknownOpcode, CodeMessageTooLong, CodeNotUTF8, CodeTopicTooLong, CodeTooManyTopics,
	CodeSumAtMaximum,
	CodeTooManyRequests, CodeTooManyConns, CodeTooManyConnsAddr, CodeNoRoom, CodeShuttingDown, CodeNothingArrived,
	CodeLoading,
	CodeTooManyRefusals, CodeStoppedAfterError,
	CodeNotAuthenticated, CodeNotPermitted, CodeTooManyFailures,
}

const reservedCodes = 4

func TestCodes(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for i, c := range codes {
		want := i + 1
		if c > CodeStoppedAfterError {
			want += reservedCodes
		}
		if int(c) != want {
			t.Errorf("%v has number %d, want %d", c, uint8(c), want)
		}
		if s := c.String(); seen[s] || s == "" || strings.HasPrefix(s, "refusal code") {
			t.Errorf("code %d is called %q", c, s)
		} else {
			seen[s] = true
		}
	}
	for c := 1; c <= 256; c++ {
		code := c % 256 // 0, too, is no code
		if slices.Contains(codes, Code(code)) {
			continue
		}
		if got, want := Code(code).String(), fmt.Sprintf("refusal code %d", code); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRefusalError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  RefusalError
		want string
	}{
		{RefusalError{Code: CodeLoading}, "still loading (code 14)"},
		{RefusalError{Code: CodeTooManyTopics, Text: "at most 10"}, "too many topics (code 6): at most 10"},
		{RefusalError{Code: 99}, "refusal code 99 (code 99)"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// section returns the lines of docs/protocol.md from a heading to the next one.
func section(t *testing.T, heading string) []string {
	t.Helper()
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(page), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/protocol.md has no heading %q", heading)
	}
	body, _, _ := strings.Cut(after, "\n## ")
	return strings.Split(body, "\n")
}

// TestDocumentedCodes keeps the table of refusals as it is here.
func TestDocumentedCodes(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile(`^\| (\d+) \| ([^|]+) \| [^|]+ \| [^|]+ \|$`)
	var got []string
	for _, line := range section(t, "Refusals") {
		if m := row.FindStringSubmatch(line); m != nil {
			got = append(got, m[1]+" "+m[2])
		}
	}
	var want []string
	for _, c := range codes {
		want = append(want, fmt.Sprintf("%d %s", uint8(c), c))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("docs/protocol.md lists\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDocumentedExamples encodes what the page shows.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	request := func(op Op, topic string) []byte {
		msg, err := AppendRequest(nil, op, topic)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	want := map[string][]byte{
		"COUNT `orders`":                         request(OpCount, "orders"),
		"COUNT reply, 1":                         AppendCountReply(nil, 1),
		"COUNT reply, 255":                       AppendCountReply(nil, 255),
		"COUNT reply, 256":                       AppendCountReply(nil, 256),
		"COUNT reply, 1,000,000":                 AppendCountReply(nil, 1_000_000),
		"COUNT reply, 2^64 − 1":                  AppendCountReply(nil, 1<<64-1),
		"COUNT `café`":                           request(OpCount, "café"),
		"COUNT the empty topic":                  request(OpCount, ""),
		"RESET `orders`":                         request(OpReset, "orders"),
		"RESET reply":                            AppendResetReply(nil),
		"refusal, code 4, over UDP":              AppendRefusal(nil, 4, ""),
		"refusal, code 8, text `busy`, over TCP": AppendRefusal(nil, 8, "busy"),
	}
	row := regexp.MustCompile("^\\| (.+) \\| `([0-9a-f ]+)` \\|$")
	shown := 0
	for _, line := range section(t, "Examples") {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		shown++
		msg, known := want[m[1]]
		if !known {
			t.Errorf("the page has an example %q that this test does not know", m[1])
		} else if got := fmt.Sprintf("% x", msg); got != m[2] {
			t.Errorf("%s is %s, the page says %s", m[1], got, m[2])
		}
	}
	if shown != len(want) {
		t.Errorf("the page has %d examples, want %d", shown, len(want))
	}
}
