package tokenvault

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"time"
)

// A ResolveRequest asks for access to a provider. Whose account it is follows
// from the actor, never from a field.
type ResolveRequest struct {
	ProviderID   string
	ConnectionID string   // empty: the vault selects, and asks the owner if it cannot
	Scopes       []string // needed for this call; empty: whatever is granted
	Release      Release  // default inject, or token with Options.InProcess
	RunID        string   // the agent's run, for audit
	ThreadID     string   // the conversation, for audit and events
	// RejectedVersion is the credential version that the service answered 401 to;
	// 0: none. A version is refreshed for this at most once.
	RejectedVersion int64
}

func (v *Vault) checkResolve(ctx context.Context, actor Actor, req *ResolveRequest) (Provider, error) {
	if err := v.checkActor(actor); err != nil {
		return Provider{}, err
	}
	if !actor.IsAgent() {
		return Provider{}, fmt.Errorf("only an agent or a back end resolves: %w", ErrDenied)
	}
	if err := actor.need(ScopeResolve); err != nil {
		return Provider{}, err
	}
	if req.Release == "" {
		req.Release = ReleaseInject
		if v.opts.InProcess {
			req.Release = ReleaseToken
		}
	}
	if !req.Release.Valid() {
		return Provider{}, invalid("release", "must be inject or token")
	}
	if err := checkScopes(req.Scopes); err != nil {
		return Provider{}, err
	}
	if !validID(req.RunID) || !validID(req.ThreadID) {
		return Provider{}, invalid("runId, threadId", "must be at most 255 bytes without control characters")
	}
	p, err := v.provider(ctx, actor.Owner, req.ProviderID)
	if err != nil {
		return Provider{}, err
	}
	return p, p.checkScopes(req.Scopes)
}

// Resolve returns access to the provider for the actor's owner. It fails with
// *[AuthRequiredError] if the owner has to act first, [ErrDenied] if the agent's
// permission does not allow the release, [ErrNotFound] for an unknown provider or
// connection, *[ProviderError] if a refresh was needed and failed for now (it wraps
// [ErrProviderUnavailable] if the provider was not even asked), and [ErrUnavailable]
// if the store or the audit log cannot be written.
//
// A warm call is one query and one AES open; it waits for the shared commit of
// its audit entry and does nothing else.
func (v *Vault) Resolve(ctx context.Context, actor Actor, req ResolveRequest) (*Access, error) {
	access, err := v.resolve(ctx, actor, req, EventReleased)
	if err != nil {
		return nil, err
	}
	v.connectionUses.add(access.connection.ID, actor.ID)
	return access, nil
}

// A Checked says what [Vault.Resolve] would release. It holds no secret.
type Checked struct {
	Connection Connection // without its name and its last use
	Provider   Provider
}

// Check does what [Vault.Resolve] does, and fails as that does, but releases nothing:
// the audit log has a check, and the connection does not count as used. What has
// expired is refreshed. The answer holds for that moment: who needs the credential
// later resolves then, and may be refused.
func (v *Vault) Check(ctx context.Context, actor Actor, req ResolveRequest) (Checked, error) {
	access, err := v.resolve(ctx, actor, req, EventChecked)
	if err != nil {
		return Checked{}, err
	}
	return Checked{Connection: access.connection, Provider: access.provider}, nil
}

// resolve finds what the actor may have now, and records it as the event that it is for.
func (v *Vault) resolve(ctx context.Context, actor Actor, req ResolveRequest, kind EventKind) (access *Access, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpResolve, ProviderID: req.ProviderID})
	defer func() { end(OutcomeOf(err)) }()
	provider, err := v.checkResolve(ctx, actor, &req)
	if err != nil {
		return nil, err
	}
	found, err := v.store.FindUsable(ctx, FindQuery{
		Owner: actor.Owner, AgentID: actor.ID, ProviderID: provider.ID, ConnectionID: req.ConnectionID,
	})
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", provider.ID, err)
	}
	if req.ConnectionID != "" && len(found.Candidates) == 0 {
		return nil, fmt.Errorf("connection: %w", ErrNotFound)
	}
	pick := selectCandidate(actor, provider, req, found)
	if pick.denied {
		return nil, v.deny(ctx, actor, req, pick.candidate.Connection)
	}
	if pick.reason != "" {
		return nil, v.askOwner(ctx, actor, provider, req, pick)
	}
	if access, err = v.use(ctx, actor, provider, req, pick.candidate, found.Now); err != nil {
		return nil, err
	}
	if err := v.audit.release(ctx, access.event(kind)); err != nil {
		return nil, err
	}
	return access, nil
}

// use opens the chosen credential, refreshed if need be.
func (v *Vault) use(ctx context.Context, actor Actor, p Provider, req ResolveRequest, c *Candidate, now time.Time) (*Access, error) {
	conn, cred, err := v.current(ctx, p, req, c, now)
	if err != nil {
		if reauth, ok := asReauth(err); ok {
			c.Connection = reauth.connection
			c.Status = ConnectionNeedsReauth
			return nil, v.askOwner(ctx, actor, p, req, judge(actor, p, req, c))
		}
		return nil, err
	}
	if _, ok := p.CoversScopes(conn.Scopes, req.Scopes); !ok { // the provider took scopes away with the refresh
		c.Connection = conn
		return nil, v.askOwner(ctx, actor, p, req, judge(actor, p, req, c))
	}
	conn.Name, conn.LastUsedAt, conn.LastUsedBy = "", time.Time{}, "" // read with some refreshes only
	return &Access{vault: v, actor: actor, request: req, provider: p.forCredential(cred.Fields), connection: conn, credential: cred}, nil
}

// event returns the audit entry of what was done with the access.
func (a *Access) event(kind EventKind) Event {
	event := a.vault.event(kind, a.actor, a.connection.Owner)
	event.ProviderID, event.ConnectionID = a.provider.ID, a.connection.ID
	event.RunID, event.ThreadID, event.Detail = a.request.RunID, a.request.ThreadID, string(a.request.Release)
	return event
}

// current returns the credential of c in a state that can be used now.
func (v *Vault) current(ctx context.Context, p Provider, req ResolveRequest, c *Candidate, now time.Time) (Connection, Credential, error) {
	rejected := req.RejectedVersion != 0 && req.RejectedVersion == c.Version
	switch {
	case rejected && v.wasForced(c.Connection):
		return Connection{}, Credential{}, v.giveUp(ctx, c.Connection, ReauthUpstream)
	case rejected:
		return v.refresh(ctx, p, c.SealedConnection, true)
	}
	if p.Login != nil {
		return v.currentLogin(ctx, p, c, now)
	}
	switch freshnessOf(c.Connection, now) {
	case expired:
		return v.refresh(ctx, p, c.SealedConnection, false)
	case stale:
		v.refreshBehind(ctx, p, c.SealedConnection)
	case fresh:
	}
	cred, err := v.openCredential(ctx, c.SealedConnection, c.WrappedKey)
	return c.Connection, cred, err
}

func (v *Vault) openCredential(ctx context.Context, c SealedConnection, wrapped Sealed) (Credential, error) {
	plaintext, err := v.keys.open(ctx, connectionPlace(c.Connection, c.Version), c.Record, wrapped)
	if err != nil {
		v.log.ErrorContext(ctx, "a stored credential cannot be opened: the row was altered or its key is missing",
			slog.String("connection_id", c.ID), slog.Any("error", err))
		return Credential{}, fmt.Errorf("connection %s: %w", c.ID, err)
	}
	cred, err := unmarshalCredential(plaintext)
	cred.ExpiresAt = c.ExpiresAt
	return cred, err
}

type freshness int

const (
	fresh   freshness = iota
	stale             // valid, and due to be refreshed behind the callers' back
	expired           // not to be used any more
)

// freshnessOf applies the soft window: skew = min(max(60 s, 10 % of the
// lifetime), half the lifetime), less a jitter of up to a fifth so that tokens
// obtained together are not refreshed together.
func freshnessOf(c Connection, now time.Time) freshness {
	switch {
	case c.ExpiresAt.IsZero() || now.Before(staleAt(c)):
		return fresh
	case now.Before(c.ExpiresAt):
		return stale
	}
	return expired
}

// staleAt returns when the soft window of a credential that expires begins.
func staleAt(c Connection) time.Time {
	lifetime := c.ExpiresAt.Sub(c.ObtainedAt)
	skew := min(max(time.Minute, lifetime/10), lifetime/2)
	return c.ExpiresAt.Add(jitter(c.ID, skew/5) - skew)
}

// jitter returns a part of d that is the id's own.
func jitter(id string, d time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return time.Duration(float64(d) * float64(h.Sum32()%256) / 256)
}

func (v *Vault) deny(ctx context.Context, actor Actor, req ResolveRequest, conn Connection) error {
	event := v.event(EventReleaseDenied, actor, conn.Owner)
	event.ProviderID, event.ConnectionID = conn.ProviderID, conn.ID
	event.RunID, event.ThreadID, event.Detail = req.RunID, req.ThreadID, string(req.Release)
	if err := v.audit.append(ctx, event); err != nil {
		return err
	}
	return &ReleaseError{Release: req.Release}
}

// askOwner opens or joins the auth request that settles what is missing.
func (v *Vault) askOwner(ctx context.Context, actor Actor, p Provider, req ResolveRequest, pick selection) error {
	asked := AuthRequest{
		Owner: actor.Owner, AgentID: actor.ID, ConnectionID: pick.target, Reason: pick.reason,
		Scopes: pick.scopes, Release: req.Release, RunID: req.RunID, ThreadID: req.ThreadID,
	}
	if pick.shared {
		asked.Owner, asked.AgentID, asked.Release = pick.candidate.Owner, "", ReleaseInject
	}
	opened, err := v.openRequest(ctx, actor, p, asked)
	if err != nil {
		return err
	}
	return &AuthRequiredError{Request: opened}
}

func checkScopes(scopes []string) error {
	if len(scopes) > 100 {
		return invalid("scopes", "must be at most 100")
	}
	for _, s := range scopes {
		if s == "" || len(s) > 500 || slices.ContainsFunc([]byte(s), func(b byte) bool {
			return b <= 0x20 || b >= 0x7f || b == '"' || b == '\\' || b == ','
		}) {
			return invalid("scopes", "must be printable ASCII without spaces, commas, quotes and backslashes (RFC 6749 section 3.3)")
		}
	}
	return nil
}

// checkScopes refuses scopes where there are none: what an API key allows is
// decided at the service.
func (p Provider) checkScopes(scopes []string) error {
	if p.OAuth2 == nil && len(scopes) > 0 {
		return invalid("scopes", "must be empty: what a credential of this provider allows is decided at the service")
	}
	return nil
}

// union returns a with what of b is not in it.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
