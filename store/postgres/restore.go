package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

// applicationName is what our sessions are called, unless the connection string
// calls them something else.
const applicationName = "tokenvault"

// named gives the sessions of a configuration their name.
func named(config *pgx.ConnConfig) {
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = applicationName
	}
}

// Sessions returns how many sessions of servers and commands the database has that
// dsn names. It knows them by their application_name: "tokenvault", or what dsn
// says. It does not see the pool that a host made itself, unless that is so named.
func Sessions(ctx context.Context, dsn string) (count int, err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return 0, errBadDSN
	}
	named(config)
	name := config.RuntimeParams["application_name"]
	config.RuntimeParams["application_name"] = applicationName + " restore"
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // dsn may lead to a pooler
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return 0, fmt.Errorf("postgres: connect: %w", plain(err))
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	err = conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name IN ($1, $2) AND pid <> pg_backend_pid()`, applicationName, name).Scan(&count)
	if err != nil {
		return 0, fmt.Errorf("postgres: count sessions: %w", plain(err))
	}
	return count, nil
}

// restoredFence is more turns than any connection takes: no turn after a restore
// has the number of one that came after the backup.
const restoredFence = 1_000_000_000

const sqlMarkAll = `UPDATE tv.connections SET marked = true, uncertain = false, lease_until = NULL, fence = fence + $2
	WHERE tenant = $1 AND status = 'active' AND sealed IS NOT NULL`

// MarkUncertain makes the next refresh of every connection of every tenant an
// uncertain one, since what a backup holds may have been spent after it was made.
// It returns how many connections there are. Each tenant is one transaction, in
// which event is written for it: run it again if it fails halfway.
func (s *Store) MarkUncertain(ctx context.Context, event tokenvault.Event) (marked int64, err error) {
	tenants, err := s.tenants(ctx, "mark uncertain", sqlTenantsWithKeys, "") // who has a connection has a key
	if err != nil {
		return 0, err
	}
	for _, tenant := range tenants {
		var changed int64
		err := s.write(ctx, "mark uncertain", tenant, func(t *tx) error {
			var err error
			if changed, err = t.exec(ctx, sqlMarkAll, tenant, restoredFence); err != nil {
				return err
			}
			event.Tenant = tenant
			t.appendEvents(event)
			return nil
		})
		if err != nil {
			return marked, err
		}
		marked += changed
	}
	return marked, nil
}
