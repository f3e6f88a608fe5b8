package tokenvault

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/record"
)

// A Spool keeps refreshed credentials, sealed, that the store could not take: a
// provider that rotates refresh tokens has ended the old one by then, and nothing
// else holds the new one. Processes that share a store should share its spool. It
// must be safe for concurrent use, also by several processes.
type Spool interface {
	// Put keeps data under name, in place of what was there. It is durable when
	// Put returns. A name is 1 to 64 lower-case letters, digits and underscores.
	Put(ctx context.Context, name string, data []byte) error
	// Get returns what is kept under name, or [ErrNotFound].
	Get(ctx context.Context, name string) ([]byte, error)
	// Names lists what is kept.
	Names(ctx context.Context) ([]string, error)
	// Remove forgets name. One that is not there is no error.
	Remove(ctx context.Context, name string) error
}

// spooled is a commit that waits for the store. Its credential is sealed for the
// connection's next version, and bound to it.
type spooled struct {
	commit  RefreshCommit
	version int64     // that the commit makes
	at      time.Time // when the provider answered
}

// Tags of the record.
const (
	tagSpoolTenant = iota + 1
	tagSpoolOrganization
	tagSpoolUser
	tagSpoolConnection
	tagSpoolProvider
	tagSpoolVersion
	tagSpoolFence
	tagSpoolKeySpace
	tagSpoolKeyVersion
	tagSpoolBlob
	tagSpoolExpiresIn
	tagSpoolScopes
	tagSpoolAt
)

func (s spooled) marshal() []byte {
	var w record.Writer
	c, number := s.commit, func(n int64) string { return strconv.FormatInt(n, 10) }
	w.String(tagSpoolTenant, c.Owner.Tenant)
	w.String(tagSpoolOrganization, c.Owner.OrganizationID)
	w.String(tagSpoolUser, c.Owner.UserID)
	w.String(tagSpoolConnection, c.ConnectionID)
	w.String(tagSpoolProvider, c.Event.ProviderID)
	w.String(tagSpoolVersion, number(s.version))
	w.String(tagSpoolFence, number(c.Fence))
	w.String(tagSpoolKeySpace, c.Record.KeySpace)
	w.String(tagSpoolKeyVersion, number(int64(c.Record.KeyVersion)))
	w.String(tagSpoolBlob, string(c.Record.Blob))
	w.String(tagSpoolExpiresIn, number(int64(c.ExpiresIn)))
	w.String(tagSpoolScopes, strings.Join(c.Scopes, " "))
	w.String(tagSpoolAt, number(s.at.UnixNano()))
	return w.Bytes()
}

func unmarshalSpooled(b []byte) (spooled, error) {
	fields := map[byte]string{}
	if err := record.Each(b, func(tag byte, value []byte) { fields[tag] = string(value) }); err != nil {
		return spooled{}, fmt.Errorf("spooled credential: %w", ErrUnsealable)
	}
	malformed := false
	number := func(tag byte) int64 {
		n, err := strconv.ParseInt(fields[tag], 10, 64)
		malformed = malformed || err != nil
		return n
	}
	s := spooled{version: number(tagSpoolVersion), at: time.Unix(0, number(tagSpoolAt))}
	s.commit = RefreshCommit{
		Owner:        Owner{Tenant: fields[tagSpoolTenant], OrganizationID: fields[tagSpoolOrganization], UserID: fields[tagSpoolUser]},
		ConnectionID: fields[tagSpoolConnection], Fence: number(tagSpoolFence), Scopes: strings.Fields(fields[tagSpoolScopes]),
		ExpiresIn: time.Duration(number(tagSpoolExpiresIn)),
		Record: SealedRecord{
			KeySpace: fields[tagSpoolKeySpace], KeyVersion: uint32(number(tagSpoolKeyVersion)), //nolint:gosec // written from one
			Blob: []byte(fields[tagSpoolBlob]),
		},
	}
	s.commit.Event = Event{
		Kind: EventRefreshed, Tenant: s.commit.Owner.Tenant, ActorKind: ActorSystem, Owner: s.commit.Owner,
		ProviderID: fields[tagSpoolProvider], ConnectionID: s.commit.ConnectionID, Detail: "spooled",
	}
	if malformed {
		return spooled{}, fmt.Errorf("spooled credential: %w", ErrUnsealable)
	}
	return s, nil
}

// late returns the commit as it is to be stored after now: the token's lifetime
// began when the provider answered.
func (s spooled) late(now time.Time) RefreshCommit {
	c := s.commit
	if c.ExpiresIn > 0 {
		c.ExpiresIn = max(c.ExpiresIn-max(now.Sub(s.at), 0), time.Millisecond)
	}
	return c
}
