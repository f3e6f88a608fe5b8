package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/chromium"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/remotecdp"
	"github.com/ai-token-vault/tokenvault/server"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

type checkCmd struct{}

// A checksError says how many checks failed. Each was printed where it failed.
type checksError struct{ count int }

// Error tells the number.
func (f *checksError) Error() string { return counted(f.count, "problem") }

// counted returns a number with its noun.
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// Help says what is checked.
func (checkCmd) Help() string {
	return `Prints the settings in force, secrets redacted, and tries all that the server
needs: data directory, database, root key, providers, apps and browsers. It creates
nothing, and exits with status 1 if the server could not start.`
}

// Run prints settings and one line per check.
func (checkCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	printSettings(std.out, cfg)
	r := &report{out: std.out}
	r.line("settings", cfg.Validate(), "valid")
	cat, err := catalog.Load(cfg.ProviderFiles...)
	r.line("providers", err, fmt.Sprintf("%d defined", count(cat)))
	if cfg.Enabled() {
		r.browser(ctx, cfg)
	}
	exists, err := server.CheckStorage(cfg)
	switch {
	case r.failed():
	case err == nil && cfg.UsesPostgres():
		r.database(ctx, cfg, std)
	case err != nil:
		r.line("data", err, "")
	case !exists:
		r.note("data", fmt.Sprintf("%s does not exist yet: 'tokenvault serve' creates it with a database and a root key", cfg.DataDir))
	default:
		r.data(ctx, cfg, std)
	}
	if r.failures > 0 {
		return &checksError{r.failures}
	}
	_, err = fmt.Fprintln(std.out, "The server can start: run 'tokenvault serve'")
	return err
}

func count(cat *tokenvault.Catalog) (n int) {
	if cat == nil {
		return 0
	}
	for range cat.All() {
		n++
	}
	return n
}

func printSettings(w io.Writer, cfg server.Config) {
	root := "file " + cfg.KeyPath()
	if !cfg.RootKey.IsZero() {
		root = "environment " + cfg.RootKey.String()
	}
	public := cfg.PublicURL
	if public == "" {
		public = "http://" + cfg.Listen
	}
	database := "SQLite file " + cfg.DatabasePath()
	if cfg.UsesPostgres() {
		database = "PostgreSQL, schema " + cfg.DatabaseSchema
	}
	for _, s := range [][2]string{
		{"data-dir", cfg.DataDir},
		{"database", database},
		{"root key", root},
		{"tenant", cfg.Tenant},
		{"audit", cfg.Audit},
		{"listen", cfg.Listen},
		{"public-url", public},
		{"mount", cfg.Mount},
		{"mode", cfg.Mode},
		{"provider-files", strings.Join(cfg.ProviderFiles, ", ")},
		{"allow-hosts", strings.Join(cfg.AllowHosts, ", ")},
		{"return-urls", strings.Join(cfg.ReturnURLs, ", ")},
		{"metrics-listen", cfg.MetricsListen},
		{"browser", cfg.Browser},
		{"node-url", cfg.NodeURL},
		{"origins", strings.Join(cfg.Origins, ", ")},
	} {
		if s[1] == "" {
			s[1] = "(none)"
		}
		_, _ = fmt.Fprintf(w, "%-16s %s\n", s[0], s[1])
	}
	_, _ = fmt.Fprintln(w)
}

// report prints the outcome of checks.
type report struct {
	out      io.Writer
	failures int
}

func (r *report) failed() bool { return r.failures > 0 }

func (r *report) line(what string, err error, ok string) {
	if err != nil {
		r.failures++
		_, _ = fmt.Fprintf(r.out, "FAIL  %-10s %v\n", what, err)
		return
	}
	_, _ = fmt.Fprintf(r.out, "ok    %-10s %s\n", what, ok)
}

func (r *report) note(what, text string) { _, _ = fmt.Fprintf(r.out, "note  %-10s %s\n", what, text) }

// browser tries what browsers need. What only makes pages worse is a note.
func (r *report) browser(ctx context.Context, cfg server.Config) {
	if cfg.Browser == "remote" {
		product := ""
		opts, err := cfg.Remote(nil)
		if err == nil {
			product, err = remotecdp.Try(ctx, opts)
		}
		r.line("browser", err, product+" answers")
		return
	}
	for _, f := range chromium.Diagnose(ctx, cfg.Chromium(nil)) {
		switch {
		case f.OK:
			r.line(f.Subject, nil, f.Text)
		case f.Subject == "fonts" || f.Subject == "profiles":
			r.note(f.Subject, f.Text)
		default:
			r.line(f.Subject, errors.New(f.Text), "")
		}
	}
}

// database opens the vault in a PostgreSQL database, without migrating it.
func (r *report) database(ctx context.Context, cfg server.Config, std streams) {
	steps, err := server.Migrations(ctx, cfg)
	if err != nil {
		r.line("database", err, "")
		return
	}
	toCome := 0
	for _, s := range steps {
		if s.AppliedAt.IsZero() {
			toCome++
		}
	}
	if toCome > 0 && cfg.DatabaseMigration == "auto" {
		r.note("database", counted(toCome, "step")+" of its schema to come: 'tokenvault serve' takes them")
		return
	}
	cfg.DatabaseMigration = "off"
	r.opened(ctx, cfg, std, func(o *server.Opened) error {
		bypasses, err := o.Postgres.Bypass(ctx)
		if bypasses {
			r.note("database", "the role of the connection is a superuser or has BYPASSRLS: row-level security does not bind it. Use another role")
		}
		return err
	})
}

// data opens what exists. A directory without a database is left as it is.
func (r *report) data(ctx context.Context, cfg server.Config, std streams) {
	if _, err := os.Stat(cfg.DatabasePath()); errors.Is(err, os.ErrNotExist) {
		r.note("data", fmt.Sprintf("%s has no database yet: 'tokenvault serve' creates it", cfg.DataDir))
		return
	}
	missing, err := keyMissing(ctx, cfg)
	switch {
	case err != nil:
		r.line("data", err, "")
		return
	case missing:
		r.note("data", fmt.Sprintf("%s does not exist yet: 'tokenvault serve' creates it", cfg.KeyPath()))
		return
	}
	r.opened(ctx, cfg, std, func(*server.Opened) error { return nil })
}

// opened opens the vault, and reports what more finds in it.
func (r *report) opened(ctx context.Context, cfg server.Config, std streams, more func(*server.Opened) error) {
	err := withVault(ctx, cfg, std, func(o *server.Opened) error {
		if err := errors.Join(o.Vault.Ping(ctx), more(o)); err != nil {
			return err
		}
		apps, err := o.Vault.Apps(ctx, o.Admin(), "")
		if err != nil {
			return err
		}
		if len(apps) == 0 {
			r.note("apps", "none registered: nobody can connect before 'tokenvault app set PROVIDER --client-id …'")
			return nil
		}
		r.line("apps", nil, fmt.Sprintf("%d registered", len(apps)))
		return nil
	})
	r.line("data", err, "database and root key fit together")
}

// keyMissing reports whether the server would create a root key: there is none,
// and nothing in the database needs one.
func keyMissing(ctx context.Context, cfg server.Config) (missing bool, err error) {
	if _, err := os.Lstat(cfg.KeyPath()); err == nil || !cfg.RootKey.IsZero() {
		return false, nil
	}
	store, err := sqlite.Open(ctx, cfg.DatabasePath(), nil)
	if err != nil {
		return false, err
	}
	_, err = store.AnyDataKey(ctx)
	if missing = errors.Is(err, tokenvault.ErrNotFound); missing {
		err = nil
	}
	return missing, errors.Join(err, store.Close())
}
