package main

import (
	"fmt"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/cmdline"
	"gcd/loadgen"
	"gcd/server"
)

// reservedFiles are kept from connections: the log's next segment and a snapshot must be opened
// however many clients there are. A server's own files are about 20.
const reservedFiles = 48

// benchFiles is how many files gcd bench may have open beside those of its clients and its threads.
const benchFiles = 16

// leaveFiles returns how many connections there may be so that the reserved files are left. It
// counts the connections, too, that the server accepts only to say that there are too many.
func leaveFiles(conns int, files uint64, log hclog.Logger) int {
	room := 0
	if files > reservedFiles {
		room = int(min(files-reservedFiles, 1<<30))
	}
	room = max(room-server.MaxLingering, room/2, 1)
	if conns <= room {
		return conns
	}
	log.Warn("fewer connections than asked for: the limit of open files does not allow more", "connections", room,
		"max-connections", conns, "open_files", files, "reserved", reservedFiles)
	return room
}

// roomForClients returns an error when there cannot be that many clients of gcd bench, each with a
// socket. flag is the flag or variable that gave their number.
func roomForClients(flag string, clients, threads int, files uint64) error {
	if clients > loadgen.MaxClients {
		return nil // that error comes with the bounds of the other flags
	}
	own := uint64(benchFiles + 2*threads)
	if uint64(clients)+own <= files {
		return nil
	}
	return &cmdline.UsageError{
		Reason: fmt.Sprintf("%s is %d: the limit of open files, %d, leaves room for %d", flag, clients, files,
			files-min(own, files)),
		Hint: `raise it with "ulimit -n", or ask for fewer`,
	}
}
