package tools

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestSnapshotThatShrinks: a page that cannot be read any more ends a loop over the entries with an
// error of the system, even if the body of the loop is what looks at it first.
func TestSnapshotThatShrinks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), snapshot.FileName)
	b, err := snapshot.NewBuilder(vfs.OS{}, path, wal.ID{1})
	if err != nil {
		t.Fatal(err)
	}
	const topics = 2000 // more than a page has
	for n := range topics {
		e := snapshot.Entry{Topic: fmt.Appendf(nil, "topic %06d", n), Value: core.Value{Sum: 1}, Last: 1}
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(1); err != nil {
		t.Fatal(err)
	}

	defer func() {
		if r := recover(); r != nil {
			t.Errorf("the loop ended with a panic: %v", r)
		}
	}()
	var last error
	seen := 0
	for e, err := range allOf(func(each func(snapshot.Entry) error) error {
		_, err := snapshot.At(path).Read(func(_ snapshot.Meta, e snapshot.Entry) error { return each(e) })
		return err
	}) {
		if last = err; err != nil {
			break
		}
		if seen == 0 {
			if err := os.Truncate(path, int64(os.Getpagesize())); err != nil {
				t.Fatal(err)
			}
		}
		if want := fmt.Sprintf("topic %06d", seen); string(e.Topic) != want {
			t.Fatalf("topic %d is %q, want %q", seen, e.Topic, want)
		}
		seen++
	}
	if last == nil || errors.As(last, new(*wal.CorruptionError)) || seen == topics {
		t.Errorf("the loop ended with %v after %d topics, want an error of the system before the last", last, seen)
	}
}
