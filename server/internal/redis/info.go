package redis

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcd/codec"
	"gcd/resp"
	"gcd/server/internal/gate"
	"gcd/store"
)

// INFO: the server's figures, under Redis' names where it has one. What there is no truth of is
// left out; what gcd does not have, as scripts or channels, is 0.

// infoSections are the parts of INFO, in their order.
func infoSections() []infoSection {
	return []infoSection{
		{name: "Server", write: (*infoText).server},
		{name: "Clients", write: (*infoText).clients},
		{name: "Memory", write: (*infoText).memory},
		{name: "Persistence", write: (*infoText).persistence},
		{name: "Stats", write: (*infoText).stats},
		{name: "Replication", write: (*infoText).replication},
		{name: "CPU", write: (*infoText).cpu},
		{name: "Modules", write: func(*infoText) {}},
		{name: "Commandstats", write: (*infoText).commandStats, onDemand: true},
		{name: "Errorstats", write: (*infoText).errorStats},
		{name: "Cluster", write: (*infoText).cluster},
		{name: "Keyspace", write: (*infoText).keyspace},
		{name: "GCD", write: (*infoText).gcd},
	}
}

type infoSection struct {
	name     string
	write    func(*infoText)
	onDemand bool // not in what is told without being asked for
}

// isWanted tells whether the arguments of INFO ask for the section.
func (s infoSection) isWanted(x *exchange) bool {
	if x.parser.Len() == 1 {
		return !s.onDemand
	}
	for i := 1; i < x.parser.Len(); i++ {
		arg := x.parser.Arg(i)
		if is(arg, strings.ToLower(s.name)) || is(arg, "all") || is(arg, "everything") || is(arg, "default") &&
			!s.onDemand {
			return true
		}
	}
	return false
}

// infoText is an INFO reply in the making.
type infoText struct {
	door  *Door
	mine  gate.Stats
	store store.Stats
	use   *processUse // nil: the system was not asked yet
	b     []byte
}

// processUse is what the process uses, by the system's word.
type processUse struct {
	resident, systemMemory uint64 // bytes; 0: not known

	processor                    bool // its times are known
	user, system                 time.Duration
	childrenUser, childrenSystem time.Duration
}

// processUse asks the system, once.
func (t *infoText) processUse() *processUse {
	if t.use == nil {
		use := readUse()
		t.use = &use
	}
	return t.use
}

// add appends a line for each pair of a field's name and its value.
func (t *infoText) add(pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		t.b = fmt.Appendf(t.b, "%v:%v\r\n", pairs[i], pairs[i+1])
	}
}

// addNone appends fields that are 0, since there is nothing that they could count.
func (t *infoText) addNone(names ...string) {
	for _, name := range names {
		t.add(name, 0)
	}
}

func (x *exchange) info() {
	d := x.door
	t := &infoText{door: d, mine: d.gate.Stats(), store: d.backend().Stats()}
	for _, section := range infoSections() {
		if !section.isWanted(x) {
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
	now := time.Now()
	uptime := now.Sub(t.door.started)
	t.add("redis_version", respVersion)
	if v := t.door.opts.Version; v != "" {
		t.add("gcd_version", v)
	}
	t.add("redis_mode", "standalone", "os", runtime.GOOS+" "+runtime.GOARCH, "arch_bits", strconv.IntSize,
		"go_version", runtime.Version(),
		"process_id", os.Getpid(), "run_id", t.door.runID, "tcp_port", t.door.opts.Port(), "server_time_usec",
		now.UnixMicro(),
		"uptime_in_seconds", int64(uptime.Seconds()), "uptime_in_days", int64(uptime.Hours()/24))
}

func (t *infoText) clients() {
	t.add("connected_clients", t.door.count(), "maxclients", t.door.gate.Options.MaxConns)
	t.addNone("cluster_connections", "blocked_clients", "tracking_clients", "clients_in_timeout_table",
		"total_blocking_keys", "total_blocking_keys_on_nokey")
}

func (t *infoText) memory() {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	used := sample[0].Value.Uint64() - sample[1].Value.Uint64()
	t.add("used_memory", used, "used_memory_human", human(used))
	use := t.processUse()
	if resident := use.resident; resident > 0 {
		t.add("used_memory_rss", resident, "used_memory_rss_human", human(resident),
			"mem_fragmentation_ratio", fmt.Sprintf("%.2f", float64(resident)/float64(used)),
			"mem_fragmentation_bytes", int64(resident)-int64(used))
	}
	if all := use.systemMemory; all > 0 {
		t.add("total_system_memory", all, "total_system_memory_human", human(all))
	}
	t.add("maxmemory", 0, "maxmemory_human", human(0), "maxmemory_policy", "noeviction", "mem_allocator", "go",
		"mem_clients_normal", t.mine.Held)
	t.addNone("used_memory_lua", "used_memory_vm_eval", "used_memory_scripts_eval", "number_of_cached_scripts",
		"number_of_functions", "number_of_libraries",
		"used_memory_vm_functions", "used_memory_vm_total", "used_memory_functions", "used_memory_scripts",
		"mem_clients_slaves", "mem_cluster_links",
		"mem_replication_backlog", "mem_total_replication_buffers", "active_defrag_running",
		"lazyfree_pending_objects", "lazyfreed_objects")
}

// human is a number of bytes as Redis tells people.
func human(bytes uint64) string {
	n, unit := float64(bytes), -1
	for ; n >= 1024 && unit < 4; unit++ {
		n /= 1024
	}
	if unit < 0 {
		return strconv.FormatUint(bytes, 10) + "B"
	}
	return fmt.Sprintf("%.2f%c", n, "KMGTP"[unit])
}

func (t *infoText) persistence() {
	refusing := t.door.backend().Refusing()
	st := &t.store
	took, last := int64(-1), int64(-1)
	if !st.SnapshotAt.IsZero() {
		took, last = int64(st.SnapshotTook.Seconds()), st.SnapshotAt.Unix()
	}
	t.add("loading", flag(codec.Code(t.door.gate.Refusing.Load()) == codec.CodeLoading), "async_loading", 0)
	if st.Index >= st.SnapshotIndex {
		t.add("rdb_changes_since_last_save", st.Index-st.SnapshotIndex)
	}
	t.add("rdb_bgsave_in_progress", flag(st.Snapshotting))
	if last >= 0 {
		t.add("rdb_last_save_time", last)
	}
	t.add("rdb_last_bgsave_status", status(!st.SnapshotFailed), "rdb_last_bgsave_time_sec", took, "rdb_saves",
		st.Snapshots,
		"aof_enabled", flag(st.Segments > 0), "aof_rewrite_in_progress", 0, "aof_rewrite_scheduled", 0,
		"aof_last_bgrewrite_status", status(!st.LogUnshortened), "aof_last_write_status", status(refusing == nil))
	switch o := t.door.backend().Options(); {
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
	if code := codec.Code(t.door.gate.Refusing.Load()); code != 0 {
		_, why, _ := strings.Cut(code.RedisError(), " ")
		return "refused: " + why
	}
	err := t.door.backend().Refusing()
	if err == nil {
		return "ok"
	}
	code, _ := gate.CodeOf(err)
	since := ""
	if at := t.store.RefusingSince; !at.IsZero() {
		since = " since " + at.UTC().Format(time.RFC3339)
	}
	_, why, _ := strings.Cut(code.RedisError(), " ")
	return "refused" + since + ": " + why
}

func (t *infoText) stats() {
	r := t.door.gate.Rates()
	t.add("total_connections_received", t.mine.Accepted, "total_commands_processed", t.door.gate.Commands.Load(),
		"instantaneous_ops_per_sec", r.Commands,
		"total_net_input_bytes", r.AllIn, "total_net_output_bytes", r.AllOut,
		"instantaneous_input_kbps", kilo(r.In), "instantaneous_output_kbps",
		kilo(r.Out),
		"rejected_connections", rejectedConnections(&t.mine), "total_error_replies", t.door.gate.Errors.All())
	t.addNone("sync_full", "sync_partial_ok", "sync_partial_err", "expired_keys", "expired_stale_perc",
		"expired_time_cap_reached_count", "evicted_keys",
		"evicted_clients", "total_eviction_exceeded_time", "current_eviction_exceeded_time", "pubsub_channels",
		"pubsub_patterns", "pubsubshard_channels",
		"latest_fork_usec", "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys",
		"active_defrag_hits", "active_defrag_misses",
		"active_defrag_key_hits", "active_defrag_key_misses", "tracking_total_keys", "tracking_total_items",
		"tracking_total_prefixes")
}

// kilo is a number of bytes in units of 1,024.
func kilo(bytes uint64) string { return fmt.Sprintf("%.2f", float64(bytes)/1024) }

func (t *infoText) cpu() {
	if u := t.processUse(); u.processor {
		t.add("used_cpu_sys", seconds(u.system), "used_cpu_user", seconds(u.user),
			"used_cpu_sys_children", seconds(u.childrenSystem), "used_cpu_user_children", seconds(u.childrenUser))
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }

// commandStats tells of each command that was run, and of subcommands on their own.
func (t *infoText) commandStats() {
	var used []*command
	for _, c := range t.door.commands {
		for _, c := range append([]*command{c}, c.subs...) {
			if c.use.told() {
				used = append(used, c)
			}
		}
	}
	slices.SortFunc(used, byName)
	for _, c := range used {
		calls, usec := c.use.calls.Load(), c.use.nanos.Load()/1000
		t.b = fmt.Appendf(t.b, "cmdstat_%s:calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d\r\n",
			c.name, calls, usec, float64(usec)/float64(max(calls, 1)), c.use.rejected.Load(), c.use.failed.Load())
	}
}

func (t *infoText) errorStats() {
	for i, word := range gate.Words {
		if n := t.door.gate.Errors[i].Load(); n > 0 {
			t.b = fmt.Appendf(t.b, "errorstat_%s:count=%d\r\n", word, n)
		}
	}
}

func (t *infoText) replication() {
	t.add("role", "master", "connected_slaves", 0, "master_failover_state", "no-failover")
	t.addNone("repl_backlog_active", "repl_backlog_size", "repl_backlog_histlen")
}

func (t *infoText) cluster() { t.add("cluster_enabled", 0) }

func (t *infoText) keyspace() {
	if t.store.Live > 0 {
		t.b = fmt.Appendf(t.b, "db0:keys=%d,expires=0,avg_ttl=0\r\n", t.store.Live)
	}
}

func (t *infoText) gcd() {
	t.add("counting", t.counting())
	if t.store.Segments > 0 {
		t.add("store", t.store.Store.String())
		if free := t.store.DiskFree; free >= 0 {
			t.add("disk_free_bytes", free)
		}
	}
	t.add("topics", t.store.Topics, "live_topics", t.store.Live, "counts", t.store.Counts, "resets",
		t.store.Resets, "reads", t.store.Reads,
		"batches", t.store.Batches, "changes", t.store.Changes, "syncs", t.store.Syncs, "log_bytes", t.store.LogBytes,
		"log_segments", t.store.Segments, "log_index", t.store.Index,
		"snapshots", t.store.Snapshots, "snapshot_entries", t.store.SnapshotEntries, "snapshot_index",
		t.store.SnapshotIndex,
		"backup_in_progress", flag(t.door.backups.under.Load()), "backups", t.door.backups.done.Load(),
		"broken_backups",
		t.mine.BrokenBackups)
	if at := t.door.backups.last.Load(); at > 0 {
		t.add("last_backup_time", at)
	}
	t.add("connections", t.mine.Connections, "in_flight", t.mine.InFlight, "held_bytes", t.mine.Held,
		"datagrams", t.mine.Datagrams,
		"answered", t.mine.Answered, "answered_per_sec", t.door.gate.Rates().Answered)
	refused, byCode := uint64(0), []any(nil)
	for code := codec.CodeMalformed; code <= codec.CodeTooManyFailures; code++ {
		if code > codec.CodeStoppedAfterError && code < codec.CodeNotAuthenticated { // there are none
			continue
		}
		n := t.mine.Refused[code]
		refused += n
		byCode = append(byCode, fmt.Sprintf("refused_code_%d", code), n)
	}
	t.add("refused", refused)
	t.add(byCode...)
	t.add("probes", t.mine.Probes, "unknown", t.mine.UnknownOutcomes,
		"lost_answers", t.mine.LostAnswers, "broken_connections", t.mine.BrokenConns,
		"broken_handshakes", t.mine.BrokenHandshakes, "panics", t.mine.Panics)
}

// rejectedConnections counts the connections that were too many.
func rejectedConnections(s *gate.Stats) uint64 {
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
	if _, ok := parseInteger(x.parser.Arg(1)); !ok {
		x.fail(errNotAnInteger)
		return
	}
	switch timeout, ok := parseInteger(x.parser.Arg(2)); {
	case !ok:
		x.fail("ERR timeout is not an integer or out of range")
	case timeout < 0:
		x.fail("ERR timeout is negative")
	default:
		x.integer(0)
	}
}
