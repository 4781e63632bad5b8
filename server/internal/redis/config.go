package redis

import (
	"bytes"
	"strconv"
	"time"

	"gcd/resp"
	"gcd/store"
)

// CONFIG: the server's settings, which its flags make.

// Setting is one, as CONFIG GET shows it.
type Setting struct{ Name, Value string }

// settings are those for which Redis has a name, under it, and then ours under the names of their
// flags.
func (d *Door) settings() []Setting {
	logged := d.backend().Stats().Segments > 0
	return append([]Setting{
		{"save", ""}, {"appendonly", yes(logged)}, {"appendfsync", appendFsync(logged, d.backend().Options())},
		{"databases", "1"}, {"maxclients", number(d.gate.Options.MaxConns)},
		{"maxmemory", "0"}, {"maxmemory-policy", "noeviction"}, {"port", number(d.opts.Port())},
		{"unixsocket", d.opts.Unix},
		{"proto-max-bulk-len", number(resp.MaxCommand)},
		{"tcp-keepalive", number(int(d.opts.KeepAlive.Seconds()))}, {"timeout", "0"},
		{"slowlog-max-len", "0"}, {"slowlog-log-slower-than", "-1"}, {"latency-monitor-threshold", "0"},
		{"latency-tracking", "no"},
	}, d.opts.Settings()...)
}

// appendFsync is what Redis calls the moment of the sync. None of its words promises more than is
// so: everysec is at most a second's loss, and with a longer interval only no is left, whatever the
// system keeps.
func appendFsync(logged bool, o store.Options) string {
	switch {
	case logged && o.Sync == store.SyncAlways:
		return "always"
	case logged && o.SyncInterval <= time.Second:
		return "everysec"
	}
	return "no"
}

func number[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// maxConfigPatterns bounds the work of one command: each setting is held against each pattern.
const maxConfigPatterns = 1000

func (x *exchange) configGet() {
	if x.parser.Len()-2 > maxConfigPatterns {
		x.fail("ERR too many patterns: CONFIG GET takes 1000 at most")
		return
	}
	var found []Setting
	for _, one := range x.door.settings() {
		for i := 2; i < x.parser.Len(); i++ {
			if pattern := x.parser.Arg(i); len(pattern) <= maxPattern && matches(lowered(pattern), []byte(one.Name)) {
				if !bytes.ContainsAny(pattern, "[*?") { // a name, which is told as it was written
					one.Name = string(pattern)
				}
				found = append(found, one)
				break
			}
		}
	}
	b := x.client.version.AppendMap(x.begin(), len(found))
	for _, one := range found {
		b = resp.AppendBulk(resp.AppendBulk(b, one.Name), one.Value)
	}
	x.end(b)
}
