//go:build linux

package clients

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// monitored starts a server that has something to tell.
func monitored(t *testing.T) *process {
	t.Helper()
	s := startProcess(t, buildServer(t))
	c := redigoCounter{&redis.Pool{Dial: func() (redis.Conn, error) { return redis.Dial("tcp", s.addr) }}}
	defer c.pool.Close()
	for _, topic := range []string{"monitored:a", "monitored:b"} {
		if err := c.incr(topic, 20, func(int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// wantNoErrors checks that the server has answered no command with an error.
func wantNoErrors(t *testing.T, s *process) {
	t.Helper()
	c := dialRedigo(t, &running{addr: s.addr})
	info, err := c.Do("INFO", "everything")
	if err != nil {
		t.Fatal(err)
	}
	text := string(info.([]byte))
	if !strings.Contains(text, "\r\ntotal_error_replies:0\r\n") {
		t.Errorf("some commands were refused: %q", regexp.MustCompile(`(?m)^errorstat_.*`).FindAllString(text, -1))
	}
}

// Debian's exporter for Prometheus finds what it asks for, and all figures that there are.
func TestPrometheusExporter(t *testing.T) {
	t.Parallel()
	exporter := library{name: "prometheus-redis-exporter", from: "apt-get install prometheus-redis-exporter",
		probe: []string{"prometheus-redis-exporter", "--version"}}
	exporter.missing(t)
	s := monitored(t)

	page := exported(t, s, "--export-client-list", "--include-system-metrics", "--count-keys", "db0=monitored:*")
	wantNoErrors(t, s)
	for _, line := range []string{`redis_up 1`, `redis_exporter_last_scrape_error{err=""} 0`,
		`redis_slowlog_length 0`, `redis_commands_total{cmd="incr"} 40`,
		`redis_keys_count{db="db0",key="monitored:*"} 2`, `redis_db_keys{db="db0"} 2`} {
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	for _, name := range []string{"redis_commands_processed_total", "redis_connections_received_total",
		"redis_connected_clients", `redis_commands_duration_seconds_total{cmd="incr"}`, "redis_net_input_bytes_total",
		"redis_net_output_bytes_total", "redis_memory_used_bytes", "redis_memory_used_rss_bytes",
		"redis_config_maxclients", "redis_start_time_seconds"} {
		value := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(page)
		if value == nil {
			t.Errorf("%s is missing", name)
		} else if v, err := strconv.ParseFloat(value[1], 64); err != nil || v <= 0 {
			t.Errorf("%s is %s", name, value[1])
		}
	}
	for _, name := range []string{"redis_cpu_sys_seconds_total", "redis_cpu_user_seconds_total",
		"redis_uptime_in_seconds"} {
		if !strings.Contains(page, "\n"+name+" ") {
			t.Errorf("%s is missing", name)
		}
	}

	// Of single topics it asks what only other types have, and takes the refusal for an answer.
	page = exported(t, s, "--check-single-keys", "db0=monitored:a", "--check-keys", "db0=monitored:*")
	for _, topic := range []string{"a", "b"} {
		line := fmt.Sprintf(`redis_key_value{db="db0",key="monitored:%s"} 20`, topic)
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}

// exported is what the exporter serves of a server. It must not complain.
func exported(t *testing.T, s *process, flags ...string) string {
	t.Helper()
	addr := reservePort(t)
	var said lockedBuffer
	cmd := exec.Command("prometheus-redis-exporter",
		append(flags, "--redis.addr", "redis://"+s.addr, "--web.listen-address", addr)...)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	var page string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the exporter with %q said:\n%s\nand served:\n%s", flags, said.String(), page)
		}
	})
	defer func() {
		_ = cmd.Process.Kill()
		<-exited
	}()
	page = scrape(t, "http://"+addr+"/metrics", exited)
	if wrong := regexp.MustCompile(`(?m)^.*level="?(error|warning).*$`).FindAllString(said.String(), -1); wrong != nil {
		t.Errorf("the exporter complains:\n%s", strings.Join(wrong, "\n"))
	}
	return page
}

// scrape asks for a page until somebody serves it.
func scrape(t *testing.T, url string, exited <-chan struct{}) string {
	t.Helper()
	client := http.Client{Timeout: patience}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); ; {
		answer, err := client.Get(url)
		if err == nil {
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("%s answered %s, reading it: %v; want 200 and a page", url, answer.Status, err)
			}
			return "\n" + string(text)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		select {
		case <-again.C:
		case <-exited:
			t.Fatal("the exporter has ended")
		}
	}
}

// The calls of Datadog's check of Redis, with the library that it uses, have true answers.
func TestDatadogCalls(t *testing.T) {
	t.Parallel()
	l := library{name: "redis-py", from: "apt-get install python3-redis",
		probe: []string{"/usr/bin/python3", "-c", "import redis"}}
	l.missing(t)
	s := monitored(t)
	host, port, _ := strings.Cut(s.addr, ":")
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "python/datadog.py", host, port, "monitored:*")
	var said lockedBuffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the calls of Datadog's check failed: %v\n%s", err, said.String())
	}
	var got struct {
		Info       map[string]any
		MaxClients string
		Clients    []string
		Databases  []string
		Types      map[string]string
		Slowlog    []float64
		Commands   map[string][]float64
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("what the calls printed is no JSON: %v\n%s", err, out)
	}
	for _, name := range []string{"connected_clients", "total_commands_processed", "used_memory", "used_memory_rss"} {
		if v, ok := got.Info[name].(float64); !ok || v <= 0 {
			t.Errorf("%s is %v", name, got.Info[name])
		}
	}
	for _, name := range []string{"used_cpu_sys", "used_cpu_user", "instantaneous_ops_per_sec", "rejected_connections",
		"blocked_clients", "connected_slaves", "rdb_bgsave_in_progress"} {
		if _, ok := got.Info[name].(float64); !ok {
			t.Errorf("%s is %v", name, got.Info[name])
		}
	}
	if got.Info["role"] != "master" || fmt.Sprint(got.Info["db0"]) != "map[avg_ttl:0 expires:0 keys:2]" {
		t.Errorf("role %v, db0 %v", got.Info["role"], got.Info["db0"])
	}
	if n, err := strconv.Atoi(got.MaxClients); err != nil || n <= 0 {
		t.Errorf("maxclients is %q", got.MaxClients)
	}
	if len(got.Clients) == 0 || !slices.Equal(got.Databases, []string{"db0"}) || len(got.Slowlog) != 0 ||
		fmt.Sprint(got.Types) != "map[monitored:a:string monitored:b:string]" {
		t.Errorf("clients %q, databases %q, slow %v, types %v", got.Clients, got.Databases, got.Slowlog, got.Types)
	}
	if calls := got.Commands["incr"]; len(calls) != 2 || calls[0] != 40 || calls[1] <= 0 {
		t.Errorf("of INCR: calls and microseconds a call are %v, want 40 and some", calls)
	}
	wantNoErrors(t, s)
}
