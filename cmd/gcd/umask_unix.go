//go:build unix

package main

import "syscall"

// keepFilesPrivate takes from every file that the process makes the rights of group and others.
func keepFilesPrivate() { syscall.Umask(0o077) }
