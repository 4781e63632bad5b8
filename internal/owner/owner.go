// Package owner knows to whom files belong and as which user this process runs. It is for files
// that root makes in another user's directory, and for the hints of errors about permissions.
package owner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Explain says about an error of missing permission to whom the file belongs, as which user this
// process runs, and what to do. It is empty for any other error, and where nothing can be said.
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
	for !ok { // the file cannot be made, or cannot be seen: look at the directory it is in
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

// Foreign says to whom a directory belongs, if this process is root and the directory is another
// user's: that user could not open what root makes in it.
func Foreign(dir string) (theirs string, foreign bool) {
	them, me, ok := ids(dir)
	if !ok || !me.root() || them.root() {
		return "", false
	}
	return them.String(), true
}
