package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/urfave/cli/v2"

	"gcd/internal/access"
	"gcd/internal/audit"
	"gcd/internal/cmdline"
	"gcd/internal/reload"
	"gcd/server"
)

const (
	// lookupTime is how long a start may wait for the addresses of a name.
	lookupTime = 5 * time.Second
	// auditGrace is how long the end of a server may wait for the disk of the audit log.
	auditGrace = time.Second
	// serversLog stands for a file's name where the audit log goes into the server's log.
	serversLog = "-"
)

// who is what the flags say about who may what, and who did what.
type who struct {
	authFile  string // "": everybody may do everything
	auditFile string // "": nobody writes down who did what
	open      bool   // whoever reaches a door may use it

	needsOpen bool // without open the server would not start
	rules     *access.File
}

// readWho reads flags.
func readWho(c *cli.Context) who {
	return who{authFile: c.String("auth"), auditFile: c.String("audit-log"), open: c.Bool("open")}
}

// asks says whether a door of this network asks who comes, so that it may be beyond loopback.
func (s *settings) asks(network string) bool {
	return s.authFile != "" || network == "tcp" && s.knowsClients()
}

// checkWho refuses files without a name, and doors that would be open to the world by mistake.
func (s *settings) checkWho(c *cli.Context) error {
	if c.IsSet("auth") && s.authFile == "" {
		return wrongFlag(c, "auth", "is empty: it takes a file of rights; \"gcd token\" makes its lines")
	}
	if c.IsSet("audit-log") && s.auditFile == "" {
		return wrongFlag(c, "audit-log", "is empty: it takes a file, or %s for the server's log", serversLog)
	}
	for _, network := range []string{"tcp", "udp"} {
		addr := c.String(network)
		if s.asks(network) || !beyondLoopback(c.Context, addr, net.DefaultResolver.LookupNetIP) {
			continue
		}
		s.needsOpen = true
		if !s.open {
			return unprotected(cmdline.Given(c, network), addr)
		}
	}
	return nil
}

// unprotected is the error about a door that is open to the world.
func unprotected(flag, addr string) error {
	return &cmdline.UsageError{
		Reason: flag + " " + addr + " would let everybody who reaches it count and reset",
		Hint:   "--auth FILE, or --open to allow it",
	}
}

// lookup finds the addresses of a name.
type lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

// beyondLoopback says whether other machines may reach an address to listen on. A name that leads
// nowhere is looked at again when it is listened on.
func beyondLoopback(ctx context.Context, addr string, find lookup) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil { // off, or refused elsewhere
		return false
	}
	if host == "" {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.Unmap().IsLoopback()
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	ips, _ := find(ctx, "ip", host)
	return slices.ContainsFunc(ips, func(ip netip.Addr) bool { return !ip.Unmap().IsLoopback() })
}

// openWho opens what the flags name. The audit log goes to log where it has no file of its own.
func (s *settings) openWho(c *cli.Context, log io.Writer) error {
	if s.authFile != "" {
		rules, err := access.Open(s.authFile)
		if err != nil {
			return &cmdline.UsageError{
				Reason: cmdline.Given(c, "auth") + " cannot be used: " + plain(err),
				Hint:   "\"gcd auth FILE\" says whether a file is right, \"gcd token\" makes its lines",
			}
		}
		s.rules, s.server.Rules = rules, rules.Rules
	}
	switch s.auditFile {
	case "":
	case serversLog:
		s.server.Audit = audit.To(log)
	default:
		if sameFile(s.auditFile, s.authFile) {
			return wrongFlag(c, "audit-log", "%s is the file of --auth: name another one", s.auditFile)
		}
		to, err := audit.Open(s.auditFile, audit.Options{})
		if err != nil {
			return wrongFlag(c, "audit-log", "cannot be used: %s", plain(err))
		}
		s.server.Audit = to
	}
	return nil
}

// sameFile says whether two names lead to one file.
func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// reloadables are what is read anew while the server runs, in this order: so the line about a
// reload is in the audit log that was opened for it.
func (s *settings) reloadables() (all []reload.Thing) {
	if s.server.Audit != nil && s.auditFile != serversLog {
		all = append(all, reload.Thing{Name: "the audit log", OnSignal: true, Reload: func() (bool, error) {
			err := s.server.Audit.Reopen()
			return err == nil, err
		}})
	}
	if s.own != nil {
		all = append(all, s.reloadableCertificate())
	}
	if s.rules != nil {
		all = append(all, s.reloadableRules())
	}
	return all
}

func (s *settings) reloadableRules() reload.Thing {
	var said []any
	return reload.Thing{
		Name: "the rules of --auth",
		Says: func() []any { return said },
		Reload: func() (bool, error) {
			before := s.rules.Rules()
			changed, err := s.rules.Reload()
			if changed {
				rules := s.rules.Rules()
				d := rules.Since(before)
				said = []any{"principals", rules.Principals(), "added", d.Added, "removed", d.Removed,
					"changed", d.Changed}
				warnShut(s.log, rules, s.server)
			}
			return changed, err
		},
	}
}

// warnShut says by which doors nobody may do anything: they have no place for a token, so whoever
// comes by them is anonymous.
func warnShut(log hclog.Logger, rules *access.Rules, doors server.Options) {
	if a := rules.Anonymous(); a.Has(access.Count) || a.Has(access.Reset) {
		return
	}
	if doors.UDP != "" {
		log.Warn("nobody may do anything over UDP: everybody is anonymous there, and the rules let anonymous neither " +
			"count nor reset")
	}
	if doors.TCP != "" && doors.NoRESP && doors.TLS == nil {
		log.Warn("nobody may do anything over TCP: without RESP everybody is anonymous there, and the rules let " +
			"anonymous neither count nor reset")
	}
}

// checkExposed looks at an address that is listened on: other machines may reach it, and whoever
// started the server shall know what that means. nil is a door that is off.
func (s *settings) checkExposed(addr net.Addr) error {
	if addr == nil || !exposed(addr) {
		return nil
	}
	network := addr.Network()
	switch {
	case !s.asks(network) && !s.open: // a name led elsewhere when it was looked up before
		return unprotected("--"+network, addr.String())
	case !s.asks(network):
		s.log.Warn("listening on more than loopback, and nobody is asked who he is: whoever reaches this address can "+
			"count and reset", "network", network, "addr", addr.String())
	case network == "tcp" && !s.server.NoRESP && !s.server.RequireTLS:
		s.log.Warn("listening on more than loopback without TLS: tokens go over the network in clear",
			"network", network, "addr", addr.String())
	}
	return nil
}

// exposed says whether other machines may reach an address.
func exposed(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return !a.IP.IsLoopback()
	case *net.UDPAddr:
		return !a.IP.IsLoopback()
	}
	return false // off
}

// record writes a line into the audit log, if there is one.
func (s *settings) record(r audit.Record) {
	if s.server.Audit != nil {
		s.server.Audit.Write(r)
	}
}

// closeAudit waits a moment for the audit log, and says what it lacks.
func (s *settings) closeAudit() {
	log := s.server.Audit
	if log == nil {
		return
	}
	whole := log.Close(auditGrace)
	if lost := log.LostLines(); lost > 0 || !whole {
		s.log.Warn("the audit log is not complete", "lost_lines", lost, "written_to_its_end", whole)
	}
}
