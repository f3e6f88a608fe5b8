package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errSlow stands for a server, or a way to it, that says nothing.
var errSlow = errors.New("the database did not answer in time")

// bounded runs fn, unless the store is closed, and gives it up after the longest
// that a command may take: a server that stands still hangs no caller for ever.
func (s *Store) bounded(ctx context.Context, fn func(ctx context.Context) error) error {
	if s.closed.Load() {
		return errClosed
	}
	within, cancel := context.WithTimeout(ctx, s.most)
	defer cancel()
	err := fn(within)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return errSlow
	}
	return err
}

// alive runs fn, which changes nothing that it could not do twice, once more if its
// connection was found dead. After a failover all those of the pool are, so that
// none of them is taken again. It runs fn again too if that had to give way to
// somebody else, as a read has to a change of the tables.
func (s *Store) alive(ctx context.Context, fn func() error) error {
	err := fn()
	for try := 1; try < tries && again(err) && ctx.Err() == nil; try++ {
		err = fn()
	}
	if err == nil || ctx.Err() != nil || !dead(err) {
		return err
	}
	s.pool.Reset()
	return fn()
}

// dead reports whether err says that a connection that was there is gone. One that
// cannot be made is not tried again: the server is not there.
func dead(err error) bool {
	if e, said := errors.AsType[*pgconn.PgError](err); said {
		return fatal(e)
	}
	_, refused := errors.AsType[*pgconn.ConnectError](err)
	return !refused && !errors.Is(err, pgx.ErrNoRows)
}

// fatal reports whether the server ended the session with what it said.
func fatal(e *pgconn.PgError) bool {
	return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC"
}
