package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	hearTimeout   = 5 * time.Second // for our own call to come back
	hearEvery     = time.Minute     // a connection that heard once may fall deaf
	reconnectMost = 30 * time.Second
)

// errDeaf reports a connection on which LISTEN succeeds and delivers nothing: a
// pooler in transaction mode stands between.
var errDeaf = errors.New("LISTEN delivers nothing on this connection: name the server itself, not a pooler, for listening")

// Listen implements [tokenvault.Listener] by LISTEN on one connection of its own,
// for as long as ctx lasts. It connects again whenever that breaks, and makes sure
// by calls to itself that it hears.
func (s *Store) Listen(ctx context.Context, changed func(authRequestID string)) error {
	pause := time.Second
	for ctx.Err() == nil {
		heard, err := s.listenOnce(ctx, changed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if heard {
			pause = time.Second
		}
		s.log.Warn("waiters of other replicas' auth requests are woken by polling until the database can be listened to again",
			slog.Any("error", plain(err)), slog.Duration("again_in", pause))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, reconnectMost)
	}
	return ctx.Err()
}

// channel is what changes of requests are told on. Other schemas of the database have
// their own.
func (s *Store) channel() string { return "tokenvault_" + strings.Trim(s.prefix, `".`) }

func (s *Store) listenOnce(ctx context.Context, changed func(string)) (heard bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, s.listenConfig)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{s.channel()}.Sanitize()); err != nil {
		return false, err
	}
	for {
		call := "call " + rand.Text()
		if err := s.notify(ctx, call); err != nil {
			return heard, err
		}
		if err := hear(ctx, conn, hearTimeout, call, changed); err != nil {
			return heard, err
		}
		heard = true
		if err := hear(ctx, conn, hearEvery, "", changed); err != nil && !errors.Is(err, errDeaf) {
			return heard, err
		}
	}
}

// hear passes on what is heard until call is, or fails with errDeaf when the time
// is over.
func hear(ctx context.Context, conn *pgx.Conn, atMost time.Duration, call string, changed func(string)) error {
	wait, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		n, err := conn.WaitForNotification(wait)
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !conn.IsClosed():
			return errDeaf
		case err != nil:
			return err
		case n.Payload == call:
			return nil
		case !strings.HasPrefix(n.Payload, "call "):
			changed(n.Payload)
		}
	}
}

func (s *Store) notify(ctx context.Context, payload string) error {
	return s.bounded(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `SELECT pg_notify($1, $2)`, s.channel(), payload)
		return err
	})
}

// tell has the settlement of a request, or that its notice changed, told when the transaction is committed. An
// id grants nothing, so that it may be heard by every role of the database.
func (t *tx) tell(ids ...string) {
	for _, id := range ids {
		t.later(`SELECT pg_notify($1, $2)`, t.store.channel(), id)
	}
}
