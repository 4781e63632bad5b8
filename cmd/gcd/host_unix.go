//go:build unix

package main

import (
	"os"
	"syscall"
)

// noReason are signals that are no reason to stop counting: nobody reads the log any more, or the
// terminal does not take output of a background job.
func noReason() []os.Signal { return []os.Signal{syscall.SIGPIPE, syscall.SIGTTOU} }

// keepFilesPrivate takes the rights of group and others from every file that the process makes.
func keepFilesPrivate() { syscall.Umask(0o077) }
