package audit

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// maxText is how many bytes of a topic, or of another text, are in a line.
const maxText = 256

// Event is what happened.
type Event string

const (
	Start           Event = "start"
	Stop            Event = "stop"
	Reload          Event = "reload"          // of what is read anew while a server runs
	Reset           Event = "reset"           // a topic's sum was set to zero
	Delete          Event = "delete"          // a topic was taken away, which sets its sum to zero, too
	Backup          Event = "backup"          // all of the store was taken
	Unauthenticated Event = "unauthenticated" // a secret is nobody's
	Denied          Event = "denied"          // somebody has not the right to what he asked for
	Lost            Event = "lost"            // lines are missing here
)

// Record is what happened, to whom it is due, and what came of it. Only Event has to be there.
type Record struct {
	Event     Event
	Principal string // its name
	Source    string // its address
	Door      string // by which it came
	Topic     []byte // nil: it is about none; an empty one is a topic
	Epoch     uint64 // of the topic, after it
	Index     uint64 // of the log's record
	Reason    string
	Lines     uint64 // that were left out before it, since they were too many
}

// A line is a record as the file has it.
type line struct {
	Time        time.Time `json:"time"`
	Event       Event     `json:"event"`
	Principal   string    `json:"principal,omitempty"`
	Source      string    `json:"source,omitempty"`
	Door        string    `json:"door,omitempty"`
	Topic       *string   `json:"topic,omitempty"`
	TopicLength int       `json:"topic_length,omitempty"` // of one that is cut
	Epoch       uint64    `json:"epoch,omitempty"`
	Index       uint64    `json:"index,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Lines       uint64    `json:"lines,omitempty"` // that are missing before it, or here
}

// line is the record as a line of JSON.
func (r Record) line(at time.Time) []byte {
	l := line{
		Time: at.UTC(), Event: r.Event, Principal: escaped(r.Principal), Source: escaped(r.Source),
		Door: escaped(r.Door), Epoch: r.Epoch, Index: r.Index, Reason: escaped(r.Reason), Lines: r.Lines,
	}
	if r.Topic != nil {
		topic := escaped(string(r.Topic[:min(len(r.Topic), maxText)]))
		l.Topic = &topic
		if len(r.Topic) > maxText {
			l.TopicLength = len(r.Topic)
		}
	}
	return l.encode()
}

// lostLine is a line in the place of lines that are missing.
func lostLine(lines uint64) []byte {
	return line{
		Time: time.Now().UTC(), Event: Lost, Lines: lines, Reason: "they came too fast, or could not be written",
	}.encode()
}

func (l line) encode() []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(l) // it has nothing that JSON has not
	return b.Bytes()
}

// escaped is the beginning of a text as in a Go string, without the quotes around it: so bytes that
// are no UTF-8 are told apart, and what a terminal would obey is no more than text.
func escaped(text string) string {
	inQuotes := strconv.Quote(text[:min(len(text), maxText)])
	return inQuotes[1 : len(inQuotes)-1]
}
