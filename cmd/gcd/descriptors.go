package main

import (
	"github.com/hashicorp/go-hclog"

	"gcd/server"
)

// reservedFiles are kept from connections: the log's next segment and a snapshot must be opened however many clients there
// are. A server's own files are about 20.
const reservedFiles = 48

// leaveFiles returns how many connections there may be so that the reserved files are left of all, those included that the server
// opens only to be told that they are too many.
func leaveFiles(conns int, files uint64, log hclog.Logger) int {
	room := 0
	if files > reservedFiles {
		room = int(min(files-reservedFiles, 1<<30))
	}
	room = max(room-server.MaxLingering, room/2, 1)
	if conns <= room {
		return conns
	}
	log.Warn("fewer connections than asked for: the limit of open files does not allow more", "connections", room, "max-connections", conns, "open_files", files, "reserved", reservedFiles)
	return room
}
