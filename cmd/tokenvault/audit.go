package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
)

type auditCmd struct {
	List   auditListCmd   `cmd:"" help:"List the newest entries."`
	Verify auditVerifyCmd `cmd:"" help:"Recompute the log and check its signatures."`
	Export auditExportCmd `cmd:"" help:"Write the whole log as JSON lines."`
	Prune  auditPruneCmd  `cmd:"" help:"Drop old entries, in whole signed segments."`
}

type auditListCmd struct {
	Kind         string `help:"Only entries of this kind, such as credential.released."`
	Agent        string `help:"Only what this agent or back end did."`
	User         string `help:"Only what is this user's, or was done for the user."`
	Organization string `help:"Only what is of this organization."`
	Connection   string `help:"Only entries of this connection (its credential id)."`
	Since        string `help:"Only entries from a time on, such as 2026-01-31 or 2026-01-31T12:00:00Z, or as old as 36h or 7d."`
	Limit        int    `help:"How many entries at most: the newest." default:"50"`
	JSON         bool   `name:"json" help:"Print JSON lines, with everything that is recorded."`
}

// Run prints the newest entries that fit, the oldest of them first.
func (cmd auditListCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if cmd.Limit < 1 {
		return errors.New("--limit: must be 1 or more")
	}
	q := tokenvault.EventQuery{
		Kind: tokenvault.EventKind(cmd.Kind), AgentID: cmd.Agent, UserID: cmd.User, OrganizationID: cmd.Organization,
		ConnectionID: cmd.Connection, Newest: true,
	}
	var err error
	if q.Since, err = parseSince(cmd.Since, time.Now()); err != nil {
		return err
	}
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		var events []tokenvault.Event
		for len(events) < cmd.Limit {
			q.Limit = min(cmd.Limit-len(events), 1000)
			page, err := o.Vault.Events(ctx, o.Admin(), q)
			if err != nil {
				return err
			}
			events = append(events, page...)
			if len(page) < q.Limit {
				break
			}
			q.After = page[len(page)-1].ID
		}
		slices.Reverse(events)
		if cmd.JSON {
			return printLines(std.out, events)
		}
		return printEvents(std.out, events)
	})
}

func printLines(w io.Writer, events []tokenvault.Event) error {
	enc := json.NewEncoder(w)
	for _, e := range events {
		if err := enc.Encode(tokenvault.AuditLine{Entry: &e}); err != nil {
			return err
		}
	}
	return nil
}

func printEvents(out io.Writer, events []tokenvault.Event) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tTIME\tKIND\tACTOR\tOWNER\tFOR\tPROVIDER\tCONNECTION\tRUN\tDETAIL")
	for _, e := range events {
		owner := e.Owner.UserID
		if e.Owner.OrganizationID != "" {
			owner = e.Owner.OrganizationID + "/" + owner
		}
		columns := []string{
			e.ID, e.At.Format(time.RFC3339), string(e.Kind), strings.TrimSpace(string(e.ActorKind) + " " + e.ActorID), owner, e.ForUserID,
			e.ProviderID, e.ConnectionID, e.RunID, e.Detail,
		}
		for i, c := range columns {
			if c == "" {
				columns[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(w, strings.Join(columns, "\t"))
	}
	return w.Flush()
}

type auditVerifyCmd struct {
	File string `help:"Verify an export instead; - reads it from standard input. Where there is no database, its signatures are not checked." placeholder:"EXPORT"`
}

// Help says what is verified.
func (auditVerifyCmd) Help() string {
	return `Every entry's hash depends on the entry before it, and once a minute a running
server signs how far the log came. This recomputes all hashes, compares them with
the signed heads, checks the signatures, and names the first entry that is not as
it was written. Exits with status 1 if there is one.

What somebody takes back together with the newest heads cannot be missed here:
compare with an export that was kept elsewhere.`
}

// Run prints what was verified. It fails if anything is wrong.
func (cmd auditVerifyCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if cmd.File == "" {
		return withVault(ctx, cfg, std, func(o *server.Opened) error {
			report, err := o.Vault.VerifyAudit(ctx, o.Admin())
			return told(std, report, err)
		})
	}
	in := std.in
	if cmd.File != "-" {
		f, err := os.Open(cmd.File)
		if err != nil {
			return cannotRead("file", err)
		}
		defer func() { _ = f.Close() }() // nothing was written
		in = f
	}
	in = bufio.NewReader(in)
	if _, err := os.Stat(cfg.DatabasePath()); errors.Is(err, fs.ErrNotExist) {
		report, err := tokenvault.VerifyExport(in)
		return told(std, report, err)
	}
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		report, err := o.Vault.VerifyExport(ctx, o.Admin(), in)
		return told(std, report, err)
	})
}

// told prints the report and returns what is wrong.
func told(std streams, r tokenvault.AuditReport, err error) error {
	if err != nil {
		return err
	}
	if r.Broken != nil {
		return fmt.Errorf("the audit log is broken, after %s that %s as written: %s", counted64(r.Entries, "entry", "entries"),
			map[bool]string{true: "is", false: "are"}[r.Entries == 1], r.Broken)
	}
	_, _ = fmt.Fprintf(std.out, "Verified %s and %s\n", counted64(r.Entries, "entry", "entries"), counted64(r.Heads, "signed head", "signed heads"))
	for _, note := range []struct {
		n    int64
		text string
	}{
		{r.Unsigned, "%s after the last signed head: nothing proves yet that none is missing at the end\n"},
		{r.Pruned, "%s before them were dropped by 'tokenvault audit prune'\n"},
		{r.Unchained, "%s from before entries were chained: nothing proves them\n"},
	} {
		if note.n > 0 {
			_, _ = fmt.Fprintf(std.out, note.text, counted64(note.n, "entry", "entries"))
		}
	}
	if !r.Keyed {
		_, _ = fmt.Fprintln(std.out, "The signatures were not checked: there is no database with their key here. Name it with --data-dir to check them")
	}
	return nil
}

func counted64(n int64, one, more string) string {
	if n == 1 {
		more = one
	}
	return strconv.FormatInt(n, 10) + " " + more
}

type auditExportCmd struct {
	Out string `help:"File to write, readable by you alone; it must not exist yet. Default: standard output." placeholder:"FILE"`
}

// Help says what is in an export.
func (auditExportCmd) Help() string {
	return `One JSON object a line: entries in the order they were written ("type":"entry"),
with the place and hash of each in its chain, and signed heads after the entry
they are of ("type":"head"). 'tokenvault audit verify --file' reads it.`
}

// Run writes the export.
func (cmd auditExportCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		if cmd.Out == "" {
			_, err := export(ctx, o, std.out)
			return err
		}
		f, err := os.OpenFile(cmd.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("--out: %s exists: name another file, or move that one away", cmd.Out)
		}
		if err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		lines, err := export(ctx, o, f)
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return errors.Join(err, os.Remove(cmd.Out))
		}
		_, err = fmt.Fprintf(std.out, "Wrote %s to %s\n", counted64(lines, "line", "lines"), cmd.Out)
		return err
	})
}

func export(ctx context.Context, o *server.Opened, w io.Writer) (lines int64, err error) {
	buffered := bufio.NewWriter(w)
	enc := json.NewEncoder(buffered)
	err = o.Vault.ExportAudit(ctx, o.Admin(), func(line tokenvault.AuditLine) error {
		lines++
		return enc.Encode(line)
	})
	return lines, errors.Join(err, buffered.Flush())
}

type auditPruneCmd struct {
	OlderThan string `required:"" help:"Least age of what is dropped, such as 90d; at least 24h." placeholder:"AGE"`
	Broken    bool   `help:"Drop also from a log that does not verify. Export it first: it is evidence."`
}

// Help says what stays.
func (auditPruneCmd) Help() string {
	return `Drops whole segments, each of which ends at a signed head, and keeps the heads:
what is left can still be verified. It verifies the log first. That it was done,
and up to where, is an entry of its own. Nothing is asked.`
}

// Run says what was dropped.
func (cmd auditPruneCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	age, err := parseAge(cmd.OlderThan)
	if err != nil {
		return fmt.Errorf("--older-than: %w", err)
	}
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		if !cmd.Broken {
			report, err := o.Vault.VerifyAudit(ctx, o.Admin())
			if err != nil {
				return err
			}
			if report.Broken != nil {
				return fmt.Errorf("nothing was dropped: the audit log is broken: %s: export it, then use --broken", report.Broken)
			}
		}
		pruned, err := o.Vault.PruneAudit(ctx, o.Admin(), age)
		if err == nil && pruned.Entries == 0 {
			_, _ = fmt.Fprintln(std.out, "Dropped nothing: no signed segment is that old")
		}
		if pruned.Entries > 0 {
			_, _ = fmt.Fprintf(std.out, "Dropped %s\n", counted64(pruned.Entries, "entry", "entries"))
		}
		for _, head := range pruned.Through {
			_, _ = fmt.Fprintf(std.out, "Entries up to %s of %s are gone; its head stays\n", head.EventID, head.At.Format(time.RFC3339))
		}
		return err
	})
}

// parseAge reads a duration that may be in days.
func parseAge(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return age, nil
	}
	return 0, errors.New("must be an age such as 36h or 90d")
}

// parseSince reads a time, a day, or an age; empty is the zero time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	age, err := parseAge(text)
	if err != nil {
		return time.Time{}, errors.New("--since: must be a time such as 2026-01-31 or 2026-01-31T12:00:00Z, or an age such as 36h or 7d")
	}
	return now.Add(-age), nil
}
