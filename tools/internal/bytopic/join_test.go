package bytopic

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"gcd/store/snapshot"
)

func number(v *uint64) []*uint64 { return []*uint64{v} }

// words are entries with these topics, and then an error, if there is one.
func words(topics string, err error) iter.Seq2[snapshot.Entry, error] {
	return func(yield func(snapshot.Entry, error) bool) {
		for _, topic := range strings.Fields(topics) {
			if !yield(snapshot.Entry{Topic: []byte(topic)}, nil) {
				return
			}
		}
		if err != nil {
			yield(snapshot.Entry{}, err)
		}
	}
}

// collected is a collector with a value of each of these topics, which is its place.
func collected(t *testing.T, memory int, topics string) *Collector[uint64] {
	t.Helper()
	c := New(number, Options{Dir: t.TempDir(), Memory: memory})
	t.Cleanup(func() { _ = c.Close() })
	for i, topic := range strings.Fields(topics) {
		if err := c.Append([]byte(topic), uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestJoin: each topic comes once, in the order of keys, with its entry if it has one, and with its
// values in the order in which they were added.
func TestJoin(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 2000) // long topics come last
	failed := errors.New("failed")
	for _, row := range []struct {
		name, entries, values string
		err                   error
		want                  string
	}{
		{"nothing", "", "", nil, ""},
		{"entries alone", "a b", "", nil, "a+[] b+[]"},
		{"values alone", "", "b a b", nil, "a-[1] b-[0 2]"},
		{"both", "b d", "e d a b c b", nil, "a-[2] b+[3 5] c-[4] d+[1] e-[0]"},
		{"long topics", "z " + long, long + " z " + long, nil, "z+[1] " + long + "+[0 2]"},
		{"entries that end too early", "b", "a b c", failed, "a-[0] b+[1] failed c-[2]"},
	} {
		for _, memory := range []int{1, 300, 1 << 20} {
			c := collected(t, memory, row.values)
			for range 2 { // it may be read again
				var got []string
				for topic, err := range Join(words(row.entries, row.err), c) {
					if err != nil {
						got = append(got, err.Error())
						continue
					}
					sign := "-"
					if topic.Entry != nil {
						if sign = "+"; string(topic.Entry.Topic) != string(topic.Name) {
							t.Errorf("%s: %q has the entry of %q", row.name, topic.Name, topic.Entry.Topic)
						}
					}
					values := []uint64{}
					for topic.Next() {
						values = append(values, topic.Value)
					}
					if topic.Next() {
						t.Errorf("%s: %q has a value after its last one", row.name, topic.Name)
					}
					got = append(got, fmt.Sprint(string(topic.Name), sign, values))
				}
				if got := strings.Join(got, " "); got != row.want {
					t.Errorf("%s, memory %d: got %.200s, want %.200s", row.name, memory, got, row.want)
				}
			}
		}
	}
}

// TestJoinThatIsLeft: a loop may leave values where they are, and end where it likes.
func TestJoinThatIsLeft(t *testing.T) {
	t.Parallel()
	const all = "a b c d"
	for _, memory := range []int{1, 1 << 20} {
		c := collected(t, memory, "a a b b c c d d")
		for n := range len(strings.Fields(all)) + 1 {
			var got []string
			for topic, err := range Join(words("b c", nil), c) {
				if err != nil {
					t.Fatal(err)
				}
				if len(got) == n {
					break
				}
				if got = append(got, string(topic.Name)); n%2 == 0 {
					topic.Next()
				}
			}
			if want := strings.Fields(all)[:n]; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("memory %d, a loop that ends after %d: got %v, want %v", memory, n, got, want)
			}
		}
	}
}

// TestAt: a topic's value is found as long as it is in memory, and may be changed.
func TestAt(t *testing.T) {
	t.Parallel()
	c := New(number, Options{Dir: t.TempDir(), Memory: 2 * (topicSize + 8 + 1)})
	defer c.Close()
	for i, row := range []struct {
		topic string
		known bool
		value uint64
	}{{"a", false, 1}, {"b", false, 2}, {"a", true, 11}, {"b", true, 12}, {"c", false, 3}, {"a", false, 1}} {
		v, known, err := c.At([]byte(row.topic))
		if err != nil {
			t.Fatal(err)
		}
		if !known && *v != 0 || known != row.known {
			t.Errorf("%d: %s is known %t, at %d", i, row.topic, known, *v)
		}
		if *v += row.value % 10; known {
			*v += 10 - row.value%10
		}
		if *v != row.value {
			t.Errorf("%d: %s is at %d, want %d", i, row.topic, *v, row.value)
		}
	}
}

// TestTopicsAreCopied: a reader of the log gives the next record's topics in the same bytes.
func TestTopicsAreCopied(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{1, 1 << 20} {
		c := New(number, Options{Dir: t.TempDir(), Memory: memory})
		defer c.Close()
		topic := make([]byte, 1)
		for n := range byte(4) {
			topic[0] = 'a' + n
			var err error
			if n%2 == 0 {
				err = c.Append(topic, 0)
			} else {
				_, _, err = c.At(topic)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		topic[0] = 'x'
		got := ""
		for topic, err := range c.All() {
			if err != nil {
				t.Fatal(err)
			}
			got += string(topic.Name)
		}
		if got != "abcd" {
			t.Errorf("memory %d: the topics are %q, want abcd", memory, got)
		}
	}
}
