package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/urfave/cli/v2"

	"gcd/internal/audit"
	"gcd/internal/cmdline"
	"gcd/internal/reload"
	"gcd/server"
	"gcd/store"
)

const (
	// progressEvery is the time between two log lines of a long recovery.
	progressEvery = 5 * time.Second
	// refusalGrace is how long it may take to tell waiting clients that the server does not come
	// up.
	refusalGrace = time.Second
	// failureGrace is how long answers may take that were decided before the store stopped.
	failureGrace = time.Second
)

// serveName is the name of the command that runs the server.
const serveName = "serve"

func serveCommand(h *host) *cli.Command {
	return &cli.Command{
		Name:     serveName,
		Usage:    "Run the server",
		Category: categoryServer,
		Description: `Serves the counters in a directory over TCP and UDP, until SIGTERM or SIGINT.
Everything it has to say goes to stderr.

Examples:
  gcd serve                              keep the counters in ./gcd-data, listen on 127.0.0.1:5555
  gcd serve --data /var/lib/gcd --auth /etc/gcd/auth --tcp 10.0.0.7:5555
  gcd serve --memory --udp ''            keep nothing, TCP only`,
		Flags: serveFlags(),
		Action: func(c *cli.Context) error {
			if err := cmdline.TakesArgs(c, 0); err != nil {
				return err
			}
			h.log.SetLost(lostLines(c))
			s, err := readSettings(c, h.log)
			if err != nil {
				return err
			}
			defer s.closeAudit()
			warnUnknown(s.log, os.Environ(), append(program(h).Variables(), tokenVariable))
			s.manager = newManager(s.log)
			defer s.manager.close()
			reloads := reload.Start(reload.Options{
				Things: s.reloadables(), Log: s.log, Around: s.manager.reload,
				Changed: func(what string) { s.record(audit.Record{Event: audit.Reload, Reason: what}) },
			})
			defer reloads.Stop(drainTime)
			stops, end := h.signals.watch(reloads.Ask)
			defer end()
			return serve(c.Context, s, stops)
		},
	}
}

// warnUnknown names variables in the environment that look like ours and that nothing reads: a
// misspelt one leaves its flag at the default.
func warnUnknown(log hclog.Logger, environ, known []string) {
	for _, v := range cmdline.UnknownVariables(environ, envPrefix, known) {
		args := []any{"variable", v.Name}
		if v.Nearest != "" {
			args = append(args, "did_you_mean", v.Nearest)
		}
		log.Warn("a variable in the environment is unknown: no command of gcd reads it", args...)
	}
}

// serve runs a server until a signal comes, ctx ends or the store fails. When it returns an error
// the process must end, for something may be running still that could not be waited for in time.
func serve(ctx context.Context, s settings, signals <-chan os.Signal) error {
	keepFilesPrivate()
	b := cmdline.ReadBuild()
	s.log.Info("starting", "version", b.Version, "commit", b.Commit, "pid", os.Getpid())
	if s.rules != nil {
		s.log.Info("read who may what", "file", s.authFile, "principals", s.rules.Rules().Principals())
		warnShut(s.log, s.rules.Rules(), s.server)
	}
	s.tellSecuring()
	if err := s.checkOwner(); err != nil {
		return err
	}

	srv, err := newServer(s)
	if err != nil {
		return err
	}
	allowWaiting(s.server.Dispatch) // after New, which reads how many processors there are
	counters, err := openAll(ctx, s, signals, srv)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	var tidying sync.WaitGroup
	tidying.Go(func() { boundGarbage(ctx) })
	defer tidying.Wait()
	defer cancel()

	p := &process{settings: s, counters: counters, server: srv, served: make(chan struct{})}
	go func() {
		defer close(p.served)
		p.serveErr = srv.Serve()
	}()
	p.manager.ready()
	s.record(audit.Record{Event: audit.Start, Reason: "version " + b.Version})
	if timeout := p.manager.watches(p.log); timeout > 0 {
		w := &watchdog{timeout: timeout, alive: p.alive, tell: p.manager.alive, log: p.log}
		tidying.Go(func() { w.run(ctx) })
	}
	err = p.supervise(ctx, signals, p.stop)
	ended := audit.Record{Event: audit.Stop}
	if err != nil {
		ended.Reason = plain(err)
	}
	s.record(ended)
	return err
}

// openAll opens the store and the doors, or neither. The doors come when the directory is locked
// and before anything of it is read: who asks then waits, and is told if that takes long, or if the
// server does not come up.
func openAll(ctx context.Context, s settings, signals <-chan os.Signal, srv *server.Server) (*store.Store, error) {
	s.store.Locked = func() error { return listen(s, srv) }
	counters, err := openStore(ctx, s, signals)
	if err == nil && s.dir == "" { // there was nothing to lock
		err = listen(s, srv)
	}
	if err != nil {
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalGrace)
		defer cancel()
		err = errors.Join(err, srv.Shutdown(wait))
		if counters != nil {
			err = errors.Join(err, counters.Close())
		}
		return nil, err
	}
	srv.Use(counters)
	return counters, nil
}

// openStore recovers the counters. A recovery may take long, and a kill cannot spoil anything in
// it, so a signal ends the process in the middle of it.
func openStore(ctx context.Context, s settings, signals <-chan os.Signal) (*store.Store, error) {
	if s.dir == "" {
		s.log.Warn("the counters are in memory only: they are gone when this process ends")
	} else if s.store.Sync == store.SyncInterval {
		s.log.Warn("a power loss or a crash of the system can lose counts that were acknowledged, and their values "+
			"are then handed out again; --sync always prevents it",
			"sync", s.store.Sync, "loses_up_to_seconds", s.store.SyncInterval.Seconds())
	}
	if s.dir != "" && s.store.SnapshotInterval < 0 && s.store.SnapshotBytes < 0 {
		s.log.Warn("snapshots are off: the log is never shortened")
	}
	s.store.Progress = (&progressLog{log: s.log, manager: s.manager, next: time.Now().Add(progressEvery)}).report

	waiting, stop := context.WithCancel(ctx)
	defer stop()
	s.store.NoRoom = waitForRoom(waiting, s)

	counters, err := await(ctx, signals, func() (*store.Store, error) { return store.Open(s.dir, s.store) })
	if err == nil && s.dir != "" {
		found := counters.Recovery()
		logRecovery(s.log, s.dir, found)
		if !found.Created {
			debug.FreeOSMemory() // what reading the snapshot needed, the server never needs again
		}
	}
	return counters, err
}

// await opens the store, unless ctx ends before.
func await(ctx context.Context, signals <-chan os.Signal, open func() (*store.Store, error)) (*store.Store, error) {
	type result struct {
		counters *store.Store
		err      error
	}
	opened := make(chan result, 1)
	go func() {
		counters, err := open()
		opened <- result{counters, err}
	}()
	select {
	case r := <-opened:
		return r.counters, r.err
	case <-signals:
	case <-ctx.Done():
	}
	return nil, cmdline.Fail(cmdline.ExitInterrupted, errors.New("interrupted during recovery"),
		"nothing is lost: the next start begins it anew")
}

func logRecovery(log hclog.Logger, dir string, r store.Recovery) {
	took := r.Duration.Round(time.Microsecond).Seconds()
	if r.Created {
		if place, err := filepath.Abs(dir); err == nil {
			dir = place
		}
		log.Warn("made a new store", "data", dir, "store", r.Store.String(), "took_seconds", took)
		return
	}
	log.Info("recovered", "data", dir, "topics", r.Topics, "snapshot_entries", r.Entries, "records", r.Records,
		"clean", r.Clean, "took_seconds", took)
}

// progressLog logs now and then how far a recovery is, and asks systemd to wait.
type progressLog struct {
	log     hclog.Logger
	manager *manager
	next    time.Time // no line before
}

func (p *progressLog) report(at store.Progress) {
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(progressEvery)
	p.log.Info("recovering", "phase", at.Phase, "done", at.Done, "of", at.Total)
	p.manager.starting(fmt.Sprintf("recovering: %s %d of %d", at.Phase, at.Done, at.Total))
}

func newServer(s settings) (*server.Server, error) {
	if files, ok := openFiles(); ok {
		s.server.MaxConns = leaveFiles(s.server.MaxConns, files, s.log)
	}
	if s.dir != "" {
		s.server.Backup = backupOf(s.dir, s.tempDir, s.store.SegmentSize)
	}
	s.server.Version = cmdline.ReadBuild().Version
	return server.New(nil, s.server)
}

// listen opens the doors; nobody is served yet.
func listen(s settings, srv *server.Server) error {
	if err := srv.AnswerLoading(); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return cmdline.Fail(cmdline.ExitFailure, err,
				"something listens there already: stop it, or choose another place with --tcp, --udp or --unix")
		}
		return cmdline.Fail(cmdline.ExitFailure, err,
			"choose addresses of this machine with --tcp and --udp, and a path with --unix")
	}
	return cmp.Or(s.checkExposed(srv.TCPAddr()), s.checkExposed(srv.UDPAddr()))
}

// process is a server that is serving.
type process struct {
	settings
	counters *store.Store
	server   *server.Server
	served   chan struct{} // closed when Serve has returned
	serveErr error         // what it returned
}

// alive returns when each worker of the server, and the commit owner, has completed a turn.
func (p *process) alive(ctx context.Context) error {
	return errors.Join(p.server.Alive(ctx), p.counters.Alive(ctx))
}

// supervise waits for a reason to stop, and stops. Whatever the disk does, it returns within twice
// the timeout after the reason came.
func (p *process) supervise(ctx context.Context, signals <-chan os.Signal,
	stop func(timeout time.Duration) error) error {
	var cause error
	timeout := p.shutdownTimeout
	select {
	case s := <-signals:
		p.log.Info("shutting down", "signal", s.String(), "timeout_seconds", timeout.Seconds())
	case <-ctx.Done():
		p.log.Info("shutting down", "timeout_seconds", timeout.Seconds())
	case <-p.counters.Failed():
	case <-p.served:
		cause = p.serveErr
	}
	failed, code := p.counters.Err(), cmdline.ExitFailure
	if failed != nil { // it is the cause of any other reason
		why := cmdline.Fail(code, failed, "start it again: only a start finds out what is on the disk")
		// After these the next start would fail in the same way.
		if errors.Is(failed, store.ErrMoved) || errors.Is(failed, store.ErrLocked) {
			why = classify(failed)
		}
		cause, code = why, why.Code
		timeout = failureGrace
	}
	p.manager.stopping()

	stopped := make(chan error, 1)
	go func() { stopped <- stop(timeout) }()
	hung := time.NewTimer(2 * timeout)
	defer hung.Stop()
	select {
	case err := <-stopped:
		if failed != nil {
			return cause // Close of a failed store returns it once more
		}
		return errors.Join(cause, err)
	case <-hung.C:
		return cmdline.Fail(code, errors.Join(cause, p.late()), p.kept())
	case <-signals:
		return cmdline.Fail(cmdline.ExitInterrupted, errors.New("interrupted during shutdown"), p.kept())
	}
}

// late says what a stop is waiting for that has not ended in time.
func (p *process) late() error {
	select {
	case <-p.served:
		return errors.New("the disk did not let the store close in time")
	default:
		return fmt.Errorf("the server did not stop in time: it waits for %s", p.server.Waits())
	}
}

// kept is the hint for a process that ends without having stopped. Counters in memory only are
// gone, as the start has said.
func (p *process) kept() string {
	if p.dir == "" {
		return ""
	}
	return "what was acknowledged is in the log: the next start reads it"
}

// stop stops everything, what depends on others first.
func (p *process) stop(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()

	// No new clients and no new requests; what the store already has is answered.
	if err := p.server.Shutdown(ctx); err != nil {
		p.log.Warn("some clients were cut off", "error", err)
	}
	<-p.served
	stats := p.counters.Stats()

	// Nobody asks any more: the last sync, and the note in the snapshot that the log is complete.
	err := p.counters.Close()

	syncsPerOp := 0.0
	if ops := stats.Ops(); ops > 0 {
		syncsPerOp = math.Round(float64(stats.Syncs)/float64(ops)*1e4) / 1e4
	}
	p.log.Info("stopped", "counts", stats.Counts, "resets", stats.Resets, "refused", stats.Refused, "unknown",
		stats.Unknown,
		"records", stats.Batches, "syncs", stats.Syncs, "syncs_per_op", syncsPerOp, "log_bytes", stats.LogBytes)
	return err
}
