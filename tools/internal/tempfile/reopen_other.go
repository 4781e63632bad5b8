//go:build !unix

package tempfile

import "os"

// reopen opens a file anew by its name.
func reopen(file *os.File) (*os.File, error) { return os.Open(file.Name()) }
