package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// describe writes what the figures depend on: machine, disk, versions of the peers. The commit of gcd is each result's own.
func (b *bench) describe() (string, error) {
	disk, tmpfs, err := describeDisk(b.root)
	if err != nil {
		return "", err
	}
	if tmpfs {
		b.logf("WARNING: %s is on tmpfs, where a sync costs nothing: the figures mean nothing. Give a directory on a disk with --dir.", b.root)
		disk += ": **not a disk**, where a sync costs nothing"
	}
	log, err := newBareLog(b.root)
	if err != nil {
		return "", err
	}
	s, err := log.appendAndSync(b.ctx, b.time/2)
	if closeErr := log.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", err
	}
	t := table{header: []string{"", ""}}
	t.row("processors", fmt.Sprintf("%d × %s, shared by server and generator", runtime.NumCPU(), firstField("/proc/cpuinfo", "model name")))
	t.row("memory", inGiB(firstField("/proc/meminfo", "MemTotal")))
	t.row("kernel", kernel())
	t.row("disk", disk)
	t.row("bare append of 64 bytes and fdatasync", fmt.Sprintf("p50 %s µs, p99 %s µs", micros(float64(s.p50)), micros(float64(s.p99))))
	t.row("network", "loopback")
	t.row("load average before", loadAverage())
	for _, peer := range []struct{ name, program string }{
		{"Redis", "redis-server"}, {"memcached", "memcached"}, {"etcd", "etcd"}, {"PostgreSQL", "postgres"},
	} {
		t.row(peer.name, b.peerVersion(peer.program))
	}
	return t.String(), nil
}

// peerVersion is the version in the first line of what a program says about itself.
func (b *bench) peerVersion(program string) string {
	path, err := find(program)
	if program == "postgres" {
		path, err = postgresProgram(program)
	}
	if err != nil {
		return err.Error()
	}
	text, err := run(b.ctx, path, []string{"--version"}, processOptions{})
	version := regexp.MustCompile(`\d+(\.\d+)+`).FindString(text)
	if err != nil || version == "" {
		return "unknown"
	}
	return version
}

// versionOf says which commit a binary of gcd was built from.
func (b *bench) versionOf(gcd string) string {
	text, err := run(b.ctx, gcd, []string{"version", "--json"}, processOptions{})
	if err != nil {
		return "unknown"
	}
	var v struct {
		Commit, Go string
		Modified   bool
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.Commit == "" {
		return "of an unknown commit"
	}
	version := "commit " + v.Commit[:min(12, len(v.Commit))]
	if v.Modified {
		version += " with changes"
	}
	return version + ", " + v.Go
}

func kernel() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Machine[:])
}

// firstField is the value of the first line "name : value" of a file.
func firstField(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// inGiB rewrites a size in kB.
func inGiB(text string) string {
	var kib float64
	if _, err := fmt.Sscanf(text, "%f kB", &kib); err != nil {
		return text
	}
	return digits(kib/(1<<20)) + " GiB"
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 1 {
		return "unknown"
	}
	return fields[0]
}

// describeDisk says what a directory is on, and whether that is no disk at all.
func describeDisk(dir string) (text string, tmpfs bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", false, os.NewSyscallError("statfs", err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", false, err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", false, err
	}
	device, kind := mountOf(string(mounts), real)
	text = kind + " on " + device
	queue := filepath.Join("/sys/class/block", filepath.Base(device), "queue")
	if cache, err := os.ReadFile(filepath.Join(queue, "write_cache")); err == nil {
		text += ", " + strings.TrimSpace(string(cache)) + " cache"
	}
	return text, fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC, nil
}

// mountOf finds the device and the type of the file system that a directory is on, in the text of /proc/self/mounts.
func mountOf(mounts, dir string) (device, kind string) {
	device, kind, longest := "unknown", "unknown", -1
	for _, line := range strings.Split(mounts, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		point := fields[1]
		within := dir == point || strings.HasPrefix(dir, strings.TrimSuffix(point, "/")+"/")
		if within && len(point) >= longest { // a later mount hides an earlier one
			device, kind, longest = fields[0], fields[2], len(point)
		}
	}
	return device, kind
}

// today is the date that the page shows.
func today() string { return time.Now().UTC().Format("2006-01-02") }
