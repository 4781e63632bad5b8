package server

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"gcd/server/internal/redis"
	"gcd/store"
)

// settings are those of the flags, under their names, for CONFIG. Where the counters lie is
// nobody's business.
func (s *Server) settings() []redis.Setting {
	var all []redis.Setting
	add := func(name, value string) { all = append(all, redis.Setting{Name: name, Value: value}) }
	o, backend := &s.opts, s.backing()
	st := backend.Options()
	add("tcp", listensAt(s.TCPAddr()))
	add("udp", listensAt(s.UDPAddr()))
	if o.Unix != "" {
		add("unix", o.Unix)
		add("unix-mode", fmt.Sprintf("%#o", o.UnixMode.Perm()))
	}
	add("tls", yes(o.TLS != nil))
	add("tls-require", yes(o.RequireTLS))
	add("allow-backup", yes(o.AllowBackup))
	if st.MaxTopics > 0 { // else the counters are not there yet
		add("max-topics", number(st.MaxTopics))
		add("max-topic-length", number(st.MaxTopicLen))
	}
	add("max-connections", number(o.MaxConns))
	add("max-connections-per-address", number(o.MaxConnsPerSource))
	add("max-in-flight", number(o.MaxInFlight))
	add("max-in-flight-bytes", number(o.MaxInFlightBytes))
	add("refusal-rate", number(o.RefusalRate))
	add("read-timeout", o.ReadTimeout.String())
	add("write-timeout", o.WriteTimeout.String())
	add("dispatch", string(o.Dispatch))
	add("workers", number(o.Workers))
	add("settle", o.Settle.String())
	if backend.Stats().Segments > 0 {
		add("sync", string(st.Sync))
		add("sync-interval", st.SyncInterval.String())
		add("snapshot-interval", max(0, st.SnapshotInterval).String())
		add("snapshot-bytes", number(max(0, st.SnapshotBytes)))
		add("segment-size", number(st.SegmentSize))
		add("retain", retained(st.Retain))
	}
	return all
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

// listensAt is the value of a flag that says where to listen.
func listensAt(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}
