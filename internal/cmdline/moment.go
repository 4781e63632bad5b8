package cmdline

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Day is what a d stands for in a flag's value.
const Day = 24 * time.Hour

// ParseAge reads a number of days, such as 7d, or a duration of Go's, such as 36h or 90m.
func ParseAge(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		return time.Duration(n) * Day, err == nil && n <= uint64(math.MaxInt64/Day)
	}
	age, err := time.ParseDuration(text)
	return age, err == nil
}

// MomentForms says what ParseMoment takes.
const MomentForms = `a time such as 2026-01-02T03:04:05Z or "2026-01-02 03:04", or 1h or 7d for so long ago`

var errMoment = errors.New("it takes " + MomentForms)

// ParseMoment reads a moment of the past: a date with a time or without, of the local time zone
// unless it names one, or how long ago it is.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	if age, ok := ParseAge(text); ok && age >= 0 {
		return now.Add(-age), nil
	}
	text = strings.Replace(text, "T", " ", 1)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04"} {
		for _, zone := range []string{"", "Z07:00", " Z07:00"} {
			if t, err := time.ParseInLocation(layout+zone, text, now.Location()); err == nil && !t.IsZero() {
				return t, nil
			}
		}
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil && !t.IsZero() {
		return t, nil
	}
	return time.Time{}, errMoment
}
