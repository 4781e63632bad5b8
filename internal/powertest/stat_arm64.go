//go:build linux

package powertest

import "golang.org/x/sys/unix"

const statByName = unix.SYS_FSTATAT
