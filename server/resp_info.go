package server

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"gcd/codec"
	"gcd/resp"
	"gcd/store"
)

// The commands on the server.

// infoSections are the parts of INFO, in their order.
func infoSections() []infoSection {
	return []infoSection{
		{"Server", (*infoText).server},
		{"Clients", (*infoText).clients},
		{"Memory", (*infoText).memory},
		{"Persistence", (*infoText).persistence},
		{"Stats", (*infoText).stats},
		{"Replication", (*infoText).replication},
		{"Cluster", (*infoText).cluster},
		{"Keyspace", (*infoText).keyspace},
		{"GCD", (*infoText).gcd},
	}
}

type infoSection struct {
	name  string
	write func(*infoText)
}

// infoText is an INFO reply in the making.
type infoText struct {
	s     *Server
	mine  Stats
	store store.Stats
	b     []byte
}

// add appends a line for each pair of a field's name and its value.
func (t *infoText) add(pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		t.b = fmt.Appendf(t.b, "%v:%v\r\n", pairs[i], pairs[i+1])
	}
}

func (x *exchange) info() {
	s := x.client.s
	t := &infoText{s: s, mine: s.Stats(), store: s.backend.Stats()}
	for _, section := range infoSections() {
		wanted := x.parser.Len() == 1
		for i := 1; i < x.parser.Len(); i++ {
			arg := x.arg(i)
			wanted = wanted || is(arg, strings.ToLower(section.name)) || is(arg, "all") || is(arg, "default") || is(arg, "everything")
		}
		if !wanted {
			continue
		}
		if len(t.b) > 0 {
			t.b = append(t.b, "\r\n"...)
		}
		t.b = append(append(append(t.b, "# "...), section.name...), "\r\n"...)
		section.write(t)
	}
	x.end(x.client.version.AppendText(x.begin(), t.b))
}

func (t *infoText) server() {
	uptime := time.Since(t.s.resp.started)
	t.add("redis_version", respVersion, "redis_mode", "standalone", "os", runtime.GOOS+" "+runtime.GOARCH, "arch_bits", strconv.IntSize,
		"process_id", os.Getpid(), "run_id", t.s.resp.runID, "tcp_port", t.s.tcpPort(),
		"uptime_in_seconds", int64(uptime.Seconds()), "uptime_in_days", int64(uptime.Hours()/24))
}

func (t *infoText) clients() {
	t.add("connected_clients", t.s.resp.count(), "maxclients", t.s.opts.MaxConns, "blocked_clients", 0)
}

func (t *infoText) memory() {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	used := sample[0].Value.Uint64() - sample[1].Value.Uint64()
	t.add("used_memory", used, "used_memory_human", fmt.Sprintf("%.2fM", float64(used)/(1<<20)), "maxmemory", 0, "maxmemory_policy", "noeviction")
}

func (t *infoText) persistence() {
	refusing := t.s.backend.Refusing()
	t.add("loading", 0, "async_loading", 0, "rdb_bgsave_in_progress", 0, "rdb_last_bgsave_status", status(!t.store.SnapshotFailed),
		"aof_enabled", flag(t.store.Segments > 0), "aof_rewrite_in_progress", 0,
		"aof_last_bgrewrite_status", status(!t.store.LogUnshortened), "aof_last_write_status", status(refusing == nil))
	switch o := t.s.backend.Options(); {
	case t.store.Segments == 0:
		t.add("sync", "none")
	case o.Sync == store.SyncInterval:
		t.add("sync", o.Sync, "sync_interval_ms", o.SyncInterval.Milliseconds())
	default:
		t.add("sync", o.Sync)
	}
}

// status is how Redis tells whether something went well the last time.
func status(ok bool) string {
	if ok {
		return "ok"
	}
	return "err"
}

// counting tells in words whether anything can be counted, and if not since when and why.
func (t *infoText) counting() string {
	err := t.s.backend.Refusing()
	if err == nil {
		return "ok"
	}
	code, _ := codeOf(err)
	since := ""
	if at := t.store.RefusingSince; !at.IsZero() {
		since = " since " + at.UTC().Format(time.RFC3339)
	}
	_, why, _ := strings.Cut(refusalText(code), " ")
	return "refused" + since + ": " + why
}

func (t *infoText) stats() {
	t.add("total_connections_received", t.mine.Accepted, "total_commands_processed", t.s.resp.answered.Load(),
		"rejected_connections", t.mine.rejectedConnections(), "expired_keys", 0, "evicted_keys", 0)
}

func (t *infoText) replication() { t.add("role", "master", "connected_slaves", 0) }

func (t *infoText) cluster() { t.add("cluster_enabled", 0) }

func (t *infoText) keyspace() {
	if t.store.Live > 0 {
		t.b = fmt.Appendf(t.b, "db0:keys=%d,expires=0,avg_ttl=0\r\n", t.store.Live)
	}
}

func (t *infoText) gcd() {
	refused := uint64(0)
	for _, n := range t.mine.Refused {
		refused += n
	}
	t.add("counting", t.counting(), "topics", t.store.Topics, "live_topics", t.store.Live, "counts", t.store.Counts, "resets", t.store.Resets, "reads", t.store.Reads,
		"batches", t.store.Batches, "changes", t.store.Changes, "syncs", t.store.Syncs, "log_bytes", t.store.LogBytes,
		"log_segments", t.store.Segments, "log_index", t.store.Index,
		"snapshots", t.store.Snapshots, "snapshot_entries", t.store.SnapshotEntries, "snapshot_index", t.store.SnapshotIndex,
		"backup_in_progress", flag(t.s.backups.under.Load()), "backups", t.mine.Backups, "broken_backups", t.mine.BrokenBackups,
		"connections", t.mine.Connections, "in_flight", t.mine.InFlight, "held_bytes", t.mine.Held, "datagrams", t.mine.Datagrams,
		"answered", t.mine.Answered, "refused", refused, "unknown", t.mine.UnknownOutcomes,
		"lost_answers", t.mine.LostAnswers, "broken_connections", t.mine.BrokenConns, "panics", t.mine.Panics)
}

// rejectedConnections counts the connections that were too many.
func (s *Stats) rejectedConnections() uint64 {
	return s.Refused[codec.CodeTooManyConns] + s.Refused[codec.CodeTooManyConnsAddr]
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (x *exchange) role() {
	b := resp.AppendArray(x.begin(), 3)
	x.end(resp.AppendArray(resp.AppendInt(resp.AppendBulk(b, "master"), 0), 0))
}

func (x *exchange) time() {
	now := time.Now()
	b := resp.AppendArray(x.begin(), 2)
	b = resp.AppendDecimal(b, uint64(now.Unix()))
	x.end(resp.AppendDecimal(b, uint64(now.Nanosecond()/1000)))
}

// wait has nobody to wait for.
func (x *exchange) wait() {
	if _, ok := parseInteger(x.arg(1)); !ok {
		x.fail(errNotAnInteger)
		return
	}
	switch timeout, ok := parseInteger(x.arg(2)); {
	case !ok:
		x.fail("ERR timeout is not an integer or out of range")
	case timeout < 0:
		x.fail("ERR timeout is negative")
	default:
		x.integer(0)
	}
}
