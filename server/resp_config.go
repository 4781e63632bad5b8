package server

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"time"

	"gcd/resp"
	"gcd/store"
)

// CONFIG: the server's settings, which its flags make.

// setting is one, as CONFIG GET shows it.
type setting struct{ name, value string }

// settings are those for which Redis has a name, under it, and then ours under the names of their flags. Where the counters lie is
// nobody's business.
func (s *Server) settings() []setting {
	o, st := &s.opts, s.backend.Options()
	logged := s.backend.Stats().Segments > 0
	all := []setting{
		{"save", ""}, {"appendonly", yes(logged)}, {"appendfsync", appendFsync(logged, st)}, {"databases", "1"}, {"maxclients", number(o.MaxConns)},
		{"maxmemory", "0"}, {"maxmemory-policy", "noeviction"}, {"port", number(s.tcpPort())}, {"proto-max-bulk-len", number(resp.MaxCommand)},
		{"tcp-keepalive", number(int(keepAlive.Seconds()))}, {"timeout", "0"},
		{"slowlog-max-len", "0"}, {"slowlog-log-slower-than", "-1"}, {"latency-monitor-threshold", "0"},
		{"latency-tracking", "no"},

		{"tcp", listens(s.TCPAddr())}, {"udp", listens(s.UDPAddr())}, {"allow-backup", yes(o.AllowBackup)},
		{"max-topics", number(st.MaxTopics)}, {"max-topic-length", number(st.MaxTopicLen)},
		{"max-connections", number(o.MaxConns)}, {"max-connections-per-address", number(o.MaxConnsPerSource)},
		{"max-in-flight", number(o.MaxInFlight)}, {"max-in-flight-bytes", number(o.MaxInFlightBytes)}, {"refusal-rate", number(o.RefusalRate)},
		{"read-timeout", o.ReadTimeout.String()}, {"write-timeout", o.WriteTimeout.String()},
		{"dispatch", string(o.Dispatch)}, {"workers", number(o.Workers)}, {"settle", o.Settle.String()},
	}
	if logged {
		all = append(all, setting{"sync", string(st.Sync)}, setting{"sync-interval", st.SyncInterval.String()},
			setting{"snapshot-interval", max(0, st.SnapshotInterval).String()}, setting{"snapshot-bytes", number(max(0, st.SnapshotBytes))},
			setting{"segment-size", number(st.SegmentSize)}, setting{"retain", retained(st.Retain)})
	}
	return all
}

// appendFsync is what Redis calls the moment of the sync. None of its words promises more than is so: everysec is at most a second's loss, and
// with a longer interval only no is left, whatever the system keeps.
func appendFsync(logged bool, o store.Options) string {
	switch {
	case logged && o.Sync == store.SyncAlways:
		return "always"
	case logged && o.SyncInterval <= time.Second:
		return "everysec"
	}
	return "no"
}

// retained writes it as the flag takes it.
func retained(r store.Retain) string {
	var parts []string
	if r.Age > 0 {
		parts = append(parts, r.Age.String())
	}
	if r.Bytes > 0 {
		parts = append(parts, number(r.Bytes))
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ",")
}

func number[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// listens is the value of a flag that says where to listen.
func listens(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// maxConfigPatterns bounds the work of one command: each setting is held against each pattern.
const maxConfigPatterns = 1000

func (x *exchange) configGet() {
	if x.parser.Len()-2 > maxConfigPatterns {
		x.fail("ERR too many patterns: CONFIG GET takes 1000 at most")
		return
	}
	var found []setting
	for _, one := range x.client.s.settings() {
		for i := 2; i < x.parser.Len(); i++ {
			if pattern := x.arg(i); len(pattern) <= maxPattern && matches(lowered(pattern), []byte(one.name)) {
				if !bytes.ContainsAny(pattern, "[*?") { // a name, which is told as it was written
					one.name = string(pattern)
				}
				found = append(found, one)
				break
			}
		}
	}
	b := x.client.version.AppendMap(x.begin(), len(found))
	for _, one := range found {
		b = resp.AppendBulk(resp.AppendBulk(b, one.name), one.value)
	}
	x.end(b)
}
