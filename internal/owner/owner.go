// Package owner knows to whom files belong and as whom this process runs: for what root makes in
// somebody else's directory, and for the words of an error that says that somebody may not.
package owner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Explain says of an error of want of permission to whom the file belongs that it is about, who
// this process runs as, and what to do. Empty: it is no such error, or there is nothing to be said.
func Explain(err error) string {
	var at *fs.PathError
	if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &at) {
		return ""
	}
	path, advice := at.Path, "give that user's files to this one (chown -R)"
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) { // what it is in may be anybody's
		advice = "name another place"
	}
	theirs, me, ok := ids(path)
	for !ok { // of a file that is not to be made, or not to be seen: what it is in
		above := filepath.Dir(path)
		if above == path {
			return ""
		}
		path = above
		theirs, me, ok = ids(path)
	}
	switch {
	case me.root():
		return ""
	case theirs == me:
		return fmt.Sprintf("%s belongs to this user, %s: its mode, or a rule of the system, does not let it", path, me)
	}
	return fmt.Sprintf("%s belongs to %s, and this process runs as %s: "+
		"run it as that user, or %s", path, theirs, me, advice)
}

// Foreign says, if this process is root and a directory is another user's, to whom it belongs: what
// root makes in it that user could not open.
func Foreign(dir string) (theirs string, foreign bool) {
	them, me, ok := ids(dir)
	if !ok || !me.root() || them.root() {
		return "", false
	}
	return them.String(), true
}
