package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// describe writes what the figures depend on: machine, disk, versions of the peers. The commit of
// gcd is each result's own. What results of other machines are not held against is the
// configuration.
func (b *bench) describe() (text string, config [][2]string, err error) {
	disk, tmpfs, err := describeDisk(b.root)
	if err != nil {
		return "", nil, err
	}
	log, err := newBareLog(b.root)
	if err != nil {
		return "", nil, err
	}
	defer log.close()
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return "", nil, err
	}
	syncs, err1 := log.appendAndSync(b.ctx, b.time/2)
	processors, err2 := proc.CPUInfo()
	memory, err3 := proc.Meminfo()
	busy, err4 := proc.LoadAvg()
	kernel, err5 := run(b.ctx, "uname", []string{"-srm"}, processOptions{})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return "", nil, err
	}
	model := processors[0].ModelName
	config = [][2]string{{"goos", runtime.GOOS}, {"cpu", model}, {"disk", disk}}
	if tmpfs {
		b.logf("WARNING: %s is on tmpfs, where a sync costs nothing: the figures mean nothing. "+
			"Give a directory on a disk with --dir.", b.root)
		disk += ": **not a disk**, where a sync costs nothing"
	}
	t := newTable(" | ")
	t.row("processors", fmt.Sprintf("%d × %s, shared by server and generator", runtime.NumCPU(), model))
	t.row("memory", digits(float64(*memory.MemTotalBytes)/(1<<30))+" GiB")
	t.row("kernel", strings.TrimSpace(kernel))
	t.row("disk", disk)
	t.row("bare append of 64 bytes and fdatasync",
		fmt.Sprintf("p50 %s µs, p99 %s µs", micros(syncs.values[p50]), micros(syncs.values[p99])))
	t.row("network", "loopback")
	t.row("load average before", fmt.Sprintf("%.2f", busy.Load1))
	for _, peer := range []struct{ name, program string }{
		{"Redis", "redis-server"}, {"memcached", "memcached"}, {"etcd", "etcd"}, {"PostgreSQL", "postgres"},
	} {
		t.row(peer.name, b.peerVersion(peer.program))
	}
	return t.String(), config, nil
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

// describeDisk says what a directory is on, and whether that is no disk at all.
func describeDisk(dir string) (text string, tmpfs bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", false, os.NewSyscallError("statfs", err)
	}
	mounts, err := procfs.GetMounts()
	if err != nil {
		return "", false, err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", false, err
	}
	mount := mountOf(mounts, real)
	text = mount.FSType + " on " + mount.Source
	queue := filepath.Join("/sys/class/block", filepath.Base(mount.Source), "queue")
	if cache, err := os.ReadFile(filepath.Join(queue, "write_cache")); err == nil {
		text += ", " + strings.TrimSpace(string(cache)) + " cache"
	}
	return text, fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC, nil
}

// mountOf finds the mount that a directory is on.
func mountOf(mounts []*procfs.MountInfo, dir string) *procfs.MountInfo {
	found := &procfs.MountInfo{FSType: "unknown", Source: "unknown"}
	for _, m := range mounts {
		within := dir == m.MountPoint || strings.HasPrefix(dir, strings.TrimSuffix(m.MountPoint, "/")+"/")
		if within && len(m.MountPoint) >= len(found.MountPoint) { // a later mount hides an earlier one
			found = m
		}
	}
	return found
}
