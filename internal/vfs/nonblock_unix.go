//go:build unix

package vfs

import "syscall"

// nonblock keeps an open from waiting.
const nonblock = syscall.O_NONBLOCK
