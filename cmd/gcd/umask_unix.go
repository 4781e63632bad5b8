//go:build unix

package main

import "syscall"

// keepFilesPrivate takes the rights of group and others from every file that the process makes.
func keepFilesPrivate() { syscall.Umask(0o077) }
