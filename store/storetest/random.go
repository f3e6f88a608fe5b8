package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// RunEqual runs the same random commands on several stores, and expects equal
// answers and equal refusals from all. The stores are empty and take the time from
// clock. The seed makes a run repeatable.
func RunEqual(t *testing.T, seed uint64, steps int, newStores func(t *testing.T, clock func() time.Time) map[string]tokenvault.Store) {
	t.Helper()
	c := &clock{now: time.Date(2026, 2, 3, 4, 5, 6, 789_000, time.UTC)}
	g := &generator{random: rand.New(rand.NewPCG(seed, 1)), clock: c, fences: map[held]int64{}} //nolint:gosec // to be repeated
	stores := newStores(t, c.read)
	names := slices.Sorted(maps.Keys(stores))
	for step := range steps {
		name, command := g.next()
		want, wantErr := command(t, stores[names[0]])
		for _, other := range names[1:] {
			got, err := command(t, stores[other])
			if class(err) != class(wantErr) {
				t.Fatalf("seed %d, step %d: %s: %s says %v, %s says %v", seed, step, name, other, err, names[0], wantErr)
			}
			equal(t, fmt.Sprintf("seed %d, step %d: %s of %s and %s", seed, step, name, other, names[0]), got, want)
		}
		if t.Failed() {
			return
		}
	}
}

// class names the sentinel that an error wraps.
func class(err error) string {
	if err == nil {
		return ""
	}
	for _, known := range []error{
		tokenvault.ErrAccountTaken, tokenvault.ErrNotFound, tokenvault.ErrConflict, tokenvault.ErrExpired, tokenvault.ErrFenced,
		tokenvault.ErrStateInvalid, tokenvault.ErrInvalid, tokenvault.ErrUnavailable,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "another error"
}

// A command runs on one store and returns what is to be equal.
type command func(t *testing.T, s tokenvault.Store) (any, error)

// A generator makes commands about few owners, so that they meet. It remembers
// what may exist, not what does: many a command is about what was never stored.
type generator struct {
	random *rand.Rand
	clock  *clock
	count  int

	requests    []tokenvault.AuthRequest
	connections []tokenvault.Connection
	permissions []tokenvault.Permission
	attempts    []string // state hashes
	fences      map[held]int64
	jobs        []tokenvault.Job
	apps        []tokenvault.App
	hooks       []tokenvault.Webhook
}

// A held turn is a connection's at one store: the numbers of turns are each store's
// own.
type held struct {
	store tokenvault.Store
	id    string
}

func pick[T any](g *generator, all []T) (one T, ok bool) {
	if len(all) == 0 {
		return one, false
	}
	return all[g.random.IntN(len(all))], true
}

func (g *generator) id(prefix string) string {
	g.count++
	return fmt.Sprintf("%s_%06d", prefix, g.count)
}

func (g *generator) owner() tokenvault.Owner {
	owners := []tokenvault.Owner{alice(), member("alice"), member("bob"), eng(), {Tenant: "globex", UserID: "alice"}}
	return owners[g.random.IntN(len(owners))]
}

// of returns mostly the owner, and sometimes somebody.
func (g *generator) of(owner tokenvault.Owner) tokenvault.Owner {
	if g.random.IntN(10) == 0 {
		return g.owner()
	}
	return owner
}

func (g *generator) event(kind tokenvault.EventKind, owner tokenvault.Owner) tokenvault.Event {
	return tokenvault.Event{Kind: kind, Tenant: owner.Tenant, ActorKind: tokenvault.ActorUser, ActorID: "actor", Owner: owner, RunID: g.id("run")}
}

func (g *generator) sealed() tokenvault.SealedRecord {
	return tokenvault.SealedRecord{KeySpace: "org:eng", KeyVersion: uint32(1 + g.random.IntN(8)/7), Blob: tokenvault.Sealed(g.id("sealed"))} //nolint:gosec // 1 or 2
}

func (g *generator) next() (string, command) {
	if g.count == 0 { // there is a data key to seal under, and a version that is missing
		return "data keys", g.dataKeys()
	}
	if g.random.IntN(6) == 0 {
		g.clock.mu.Lock()
		g.clock.now = g.clock.now.Add(time.Duration(g.random.IntN(int(3 * time.Minute))).Truncate(time.Microsecond))
		g.clock.mu.Unlock()
	}
	kinds := []struct {
		name   string
		weight int
		make   func() command
	}{
		{"OpenOrJoin", 5, g.open},
		{"Settle", 8, g.settle},
		{"NoteAuthRequest", 3, g.note},
		{"BeginAttempt", 3, g.attempt},
		{"AdvanceAttempt", 4, g.advance},
		{"HandOver", 2, g.handOver},
		{"LatestAttempt", 2, g.latest},
		{"BeginRefresh", 6, g.begin},
		{"CommitRefresh", 5, g.commit},
		{"FailRefresh", 3, g.fail},
		{"Revoke", 2, g.revoke},
		{"Transfer", 2, g.transfer},
		{"Rename", 2, g.rename},
		{"WithdrawPermission", 2, g.withdraw},
		{"PutApp", 2, g.putApp},
		{"DeleteApp", 1, g.deleteApp},
		{"ClaimJobs", 2, g.claim},
		{"FinishJob", 2, g.finish},
		{"RetryJob", 1, g.retry},
		{"ClaimConnections", 2, g.due},
		{"TouchConnections", 2, g.touch},
		{"UseNonce", 2, g.nonce},
		{"PutWebhook", 1, g.putHook},
		{"DeleteWebhook", 1, g.deleteHook},
		{"deliver", 3, g.deliver},
		{"Redeliver", 1, g.redeliver},
		{"PruneDeliveries", 1, g.prune},
		{"PruneAuthRequests", 1, g.pruneRequests},
		{"DeleteOwner", 1, g.deleteOwner},
		{"ExpireAuthRequests", 1, g.expire},
		{"reads", 6, g.reads},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	at := g.random.IntN(total)
	for _, k := range kinds {
		if at -= k.weight; at < 0 {
			return k.name, k.make()
		}
	}
	return "nothing", func(*testing.T, tokenvault.Store) (any, error) { return nil, nil }
}

func (g *generator) dataKeys() command {
	g.count++
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		for _, tenant := range []string{acme, "globex"} {
			if _, err := s.CreateDataKey(t.Context(), tokenvault.DataKey{
				Tenant: tenant, Space: "org:eng", Version: 1, Wrapped: tokenvault.Sealed("wrapped"),
			}, tokenvault.Event{}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

func (g *generator) open() command {
	owner := g.owner()
	req := tokenvault.AuthRequest{
		ID: g.id("ar"), Owner: owner, AgentID: agent, ProviderID: provider, AuthMethod: tokenvault.AuthOAuth2,
		Reason: tokenvault.ReasonMissing, Scopes: []string{fmt.Sprint("scope", g.random.IntN(3))}, Release: tokenvault.ReleaseInject,
	}
	g.requests = append(g.requests, req)
	cmd := tokenvault.NewAuthRequest{Request: req, TTL: time.Duration(1+g.random.IntN(10)) * time.Minute, Event: g.event(tokenvault.EventAuthRequested, owner)}
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		got, joined, err := s.OpenOrJoin(t.Context(), cmd)
		return []any{got, joined}, err
	}
}

func (g *generator) settle() command {
	req, ok := pick(g, g.requests)
	if !ok {
		return g.open()
	}
	owner := g.of(req.Owner)
	cmd := tokenvault.Settlement{
		Owner: owner, AuthRequestID: req.ID, Status: tokenvault.AuthConnected,
		Events: []tokenvault.Event{g.event(tokenvault.EventConnected, owner)},
	}
	switch g.random.IntN(8) {
	case 0:
		cmd.Status = tokenvault.AuthDeclined
	case 1:
		cmd.Status, cmd.FailureCode = tokenvault.AuthFailed, "provider_error"
	default:
		cmd.Connection = g.connection(req)
	}
	if g.random.IntN(2) == 0 {
		cmd.Permission = g.permission(req, cmd.Connection)
		cmd.PermissionTTL = time.Duration(g.random.IntN(2)) * 5 * time.Minute
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) { return s.Settle(t.Context(), cmd) }
}

// connection returns a new connection, or the next version of one.
func (g *generator) connection(req tokenvault.AuthRequest) *tokenvault.SettledConnection {
	c := &tokenvault.SettledConnection{ExpiresIn: time.Duration(g.random.IntN(3)) * 4 * time.Minute}
	if old, ok := pick(g, g.connections); ok && g.random.IntN(2) == 0 {
		c.Connection = old
		c.Version += int64(g.random.IntN(3))
		c.Owner = g.of(c.Owner)
	} else {
		c.Connection = tokenvault.Connection{
			ID: g.id("cn"), Owner: g.of(req.Owner), ProviderID: provider, AuthMethod: tokenvault.AuthOAuth2, AppID: "app",
			Account: tokenvault.Account{ID: fmt.Sprint("acc", g.random.IntN(3))}, Version: 1,
		}
	}
	c.Scopes, c.Record = req.Scopes, g.sealed()
	g.connections = append(g.connections, c.Connection)
	return c
}

func (g *generator) permission(req tokenvault.AuthRequest, c *tokenvault.SettledConnection) *tokenvault.Permission {
	p := tokenvault.Permission{
		ID: g.id("pm"), Owner: g.of(req.Owner), AgentID: agent, Scopes: req.Scopes,
		Release: []tokenvault.Release{tokenvault.ReleaseInject, tokenvault.ReleaseToken}[g.random.IntN(2)],
	}
	if c != nil {
		p.ConnectionID = c.ID
	} else if old, ok := pick(g, g.connections); ok {
		p.ConnectionID = old.ID
	}
	g.permissions = append(g.permissions, p)
	return &p
}

func (g *generator) note() command {
	req, ok := pick(g, g.requests)
	if !ok {
		return g.open()
	}
	owner := g.of(req.Owner)
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return s.NoteAuthRequest(t.Context(), owner, req.ID, tokenvault.NoticeOtherAccount)
	}
}

func (g *generator) attempt() command {
	req, ok := pick(g, g.requests)
	if !ok {
		return g.open()
	}
	hash := g.id("hash")
	g.attempts = append(g.attempts, hash)
	cmd := tokenvault.NewAttempt{
		Attempt: tokenvault.Attempt{
			ID: g.id("at"), AuthRequestID: req.ID, Owner: g.of(req.Owner), ProviderID: provider, StateHash: hash, Private: g.sealed(),
		},
		TTL: time.Duration(1+g.random.IntN(5)) * time.Minute, Event: g.event(tokenvault.EventConnectStarted, req.Owner),
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) { return nil, s.BeginAttempt(t.Context(), cmd) }
}

func (g *generator) advance() command {
	hash, ok := pick(g, g.attempts)
	if !ok {
		return g.attempt()
	}
	states := []tokenvault.AttemptState{tokenvault.AttemptBegun, tokenvault.AttemptReturned, tokenvault.AttemptConsumed}
	from, to := states[g.random.IntN(2)], states[1+g.random.IntN(2)]
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return s.AdvanceAttempt(t.Context(), hash, from, to)
	}
}

func (g *generator) handOver() command {
	hash, ok := pick(g, g.attempts)
	if !ok {
		return g.attempt()
	}
	cmd := tokenvault.AttemptHandOver{StateHash: hash, NewHash: g.id("hash"), Private: g.sealed(), TTL: time.Minute}
	g.attempts = append(g.attempts, cmd.NewHash)
	return func(t *testing.T, s tokenvault.Store) (any, error) { return nil, s.HandOver(t.Context(), cmd) }
}

func (g *generator) latest() command {
	req, ok := pick(g, g.requests)
	if !ok {
		return g.open()
	}
	owner := g.of(req.Owner)
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return s.LatestAttempt(t.Context(), owner, req.ID)
	}
}

func (g *generator) begin() command {
	c, ok := pick(g, g.connections)
	if !ok {
		return g.settle()
	}
	cmd := tokenvault.RefreshClaim{
		Owner: g.of(c.Owner), ConnectionID: c.ID, Version: int64(1 + g.random.IntN(3)), Lease: time.Duration(1+g.random.IntN(120)) * time.Second,
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		turn, err := s.BeginRefresh(t.Context(), cmd)
		if turn.Held {
			g.fences[held{s, cmd.ConnectionID}] = turn.Fence
		}
		turn.Fence = 0
		return turn, err
	}
}

func (g *generator) commit() command {
	c, ok := pick(g, g.connections)
	if !ok {
		return g.settle()
	}
	cmd := tokenvault.RefreshCommit{
		Owner: g.of(c.Owner), ConnectionID: c.ID, Fence: int64(g.random.IntN(5)/4) << 40, Record: g.sealed(), // at times that of a turn which nobody was given
		ExpiresIn: time.Duration(g.random.IntN(3)) * time.Minute, Scopes: []string{"read"}, Event: g.event(tokenvault.EventRefreshed, c.Owner),
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		mine := cmd
		mine.Fence += g.fences[held{s, c.ID}]
		return s.CommitRefresh(t.Context(), mine)
	}
}

func (g *generator) fail() command {
	c, ok := pick(g, g.connections)
	if !ok {
		return g.settle()
	}
	cmd := tokenvault.RefreshFailure{
		Owner: g.of(c.Owner), ConnectionID: c.ID, KeepMark: g.random.IntN(2) == 0,
		HoldOff: time.Duration(g.random.IntN(2)) * time.Minute, Event: g.event(tokenvault.EventRefreshFailed, c.Owner),
	}
	if g.random.IntN(2) == 0 {
		cmd.Reason = tokenvault.ReauthRejected
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		mine := cmd
		mine.Fence = g.fences[held{s, c.ID}]
		return nil, s.FailRefresh(t.Context(), mine)
	}
}

func (g *generator) revoke() command {
	c, ok := pick(g, g.connections)
	if !ok {
		return g.settle()
	}
	owner := g.of(c.Owner)
	cmd := tokenvault.Revocation{Owner: owner, ConnectionID: c.ID, Event: g.event(tokenvault.EventRevoked, owner)}
	if g.random.IntN(2) == 0 {
		cmd.Job = &tokenvault.Job{ID: g.id("jb"), Kind: tokenvault.JobRevokeGrant, Owner: owner, ConnectionID: c.ID, Record: g.sealed()}
		g.jobs = append(g.jobs, *cmd.Job)
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) { return s.Revoke(t.Context(), cmd) }
}

func (g *generator) transfer() command {
	c, ok := pick(g, g.connections)
	if !ok {
		return g.settle()
	}
	cmd := tokenvault.Transfer{
		From: c.Owner, To: g.owner(), ConnectionID: c.ID, SharedBy: "alice", Version: c.Version + 1, Record: g.sealed(),
		Event: g.event(tokenvault.EventShared, c.Owner),
	}
	moved := c
	moved.Owner, moved.Version = cmd.To, cmd.Version
	g.connections = append(g.connections, moved)
	return func(t *testing.T, s tokenvault.Store) (any, error) { return s.Transfer(t.Context(), cmd) }
}

func (g *generator) rename() command {
	c, ok := pick(g, g.connections)
	if !ok {
		return g.settle()
	}
	cmd := tokenvault.Renaming{
		Owner: g.of(c.Owner), ConnectionID: c.ID, Name: []string{"", "Work", "Home"}[g.random.IntN(3)], Event: g.event(tokenvault.EventRenamed, c.Owner),
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) { return s.Rename(t.Context(), cmd) }
}

func (g *generator) withdraw() command {
	p, ok := pick(g, g.permissions)
	if !ok {
		return g.settle()
	}
	owner, event := g.of(p.Owner), g.event(tokenvault.EventPermissionRemoved, p.Owner)
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return nil, s.WithdrawPermission(t.Context(), owner, p.ID, event)
	}
}

func (g *generator) putApp() command {
	app := tokenvault.App{ID: g.id("app"), Tenant: acme, OrganizationID: []string{"", "eng"}[g.random.IntN(2)], ProviderID: provider, ClientID: g.id("client"), Version: 1}
	if old, ok := pick(g, g.apps); ok && g.random.IntN(2) == 0 {
		app = old
		app.Version += int64(g.random.IntN(3))
	}
	g.apps = append(g.apps, app)
	cmd, event := tokenvault.SealedApp{App: app, Record: g.sealed()}, g.event(tokenvault.EventAppSet, alice())
	return func(t *testing.T, s tokenvault.Store) (any, error) { return s.PutApp(t.Context(), cmd, event) }
}

func (g *generator) deleteApp() command {
	app, ok := pick(g, g.apps)
	if !ok {
		return g.putApp()
	}
	event := g.event(tokenvault.EventAppDeleted, alice())
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return nil, s.DeleteApp(t.Context(), app.Tenant, app.ID, event)
	}
}

// claim claims all that is due: which ones a smaller limit takes first is not
// promised.
func (g *generator) claim() command {
	lease := time.Duration(1+g.random.IntN(90)) * time.Second
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		jobs, err := s.ClaimJobs(t.Context(), 1000, lease)
		slices.SortFunc(jobs, func(a, b tokenvault.Job) int { return cmp.Compare(a.ID, b.ID) })
		return jobs, err
	}
}

func (g *generator) finish() command {
	job, ok := pick(g, g.jobs)
	if !ok {
		return g.revoke()
	}
	cmd := tokenvault.JobResult{ID: job.ID, Attempt: 1 + g.random.IntN(2), Error: "code", RetryIn: time.Minute}
	switch g.random.IntN(3) {
	case 0:
		cmd.Done = true
	case 1:
		cmd.Dead = true
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) { return nil, s.FinishJob(t.Context(), cmd) }
}

func (g *generator) retry() command {
	job, ok := pick(g, g.jobs)
	if !ok {
		return g.revoke()
	}
	event := g.event(tokenvault.EventJobRetried, alice())
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return nil, s.RetryJob(t.Context(), acme, job.ID, event)
	}
}

// due claims all that is due and puts some of it off.
func (g *generator) due() command {
	pause, in, some := time.Duration(1+g.random.IntN(90))*time.Second, time.Duration(g.random.IntN(300))*time.Second, 1+g.random.IntN(3)
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		due, err := s.ClaimConnections(t.Context(), acme, 1000, pause)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(due, func(a, b tokenvault.DueConnection) int { return cmp.Compare(a.ID, b.ID) })
		var next []tokenvault.NextLook
		for i := 0; i < len(due); i += some {
			next = append(next, tokenvault.NextLook{ID: due[i].ID, Claimed: due[i].Claimed, In: in})
		}
		return due, s.PutOffConnections(t.Context(), acme, next)
	}
}

func (g *generator) touch() command {
	c, ok := pick(g, g.connections)
	if !ok {
		return g.settle()
	}
	use := tokenvault.ConnectionUse{ID: c.ID, AgentID: fmt.Sprint("agent", g.random.IntN(3))}
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return nil, s.TouchConnections(t.Context(), acme, []tokenvault.ConnectionUse{use, {ID: "cn_missing"}}, 2*time.Minute)
	}
}

func (g *generator) nonce() command {
	cmd := tokenvault.Nonce{Tenant: acme, Hash: fmt.Sprint("nonce", g.random.IntN(3)), TTL: time.Minute}
	return func(t *testing.T, s tokenvault.Store) (any, error) { return nil, s.UseNonce(t.Context(), cmd) }
}

func (g *generator) expire() command {
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		expired, err := s.ExpireAuthRequests(t.Context(), 1000)
		slices.SortFunc(expired, func(a, b tokenvault.AuthRequest) int { return cmp.Compare(a.ID, b.ID) })
		return expired, err
	}
}

// reads looks at all that an owner sees.
func (g *generator) reads() command {
	owner := g.owner()
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		found, err := s.FindUsable(t.Context(), tokenvault.FindQuery{Owner: owner, AgentID: agent, ProviderID: provider})
		if err != nil {
			return nil, err
		}
		connections, err := s.ListConnections(t.Context(), owner, tokenvault.Page{Limit: 1000})
		if err != nil {
			return nil, err
		}
		permissions, err := s.ListPermissions(t.Context(), owner, tokenvault.Page{Limit: 1000})
		if err != nil {
			return nil, err
		}
		events, err := s.ListAudit(t.Context(), owner.Tenant, tokenvault.EventQuery{Page: tokenvault.Page{Limit: 1000}, Since: g.clock.read().Add(-time.Minute)})
		slices.SortFunc(events, func(a, b tokenvault.Event) int {
			return cmp.Compare(a.RunID+string(a.Kind)+a.AuthRequestID, b.RunID+string(b.Kind)+b.AuthRequestID)
		})
		jobs, jobsErr := s.ListJobs(t.Context(), owner.Tenant, tokenvault.JobQuery{Page: tokenvault.Page{Limit: 1000}})
		err = errors.Join(err, jobsErr)
		for i := range events { // names and places in chains are each store's own
			events[i].ID, events[i].Writer, events[i].Position, events[i].Hash = "", "", 0, ""
		}
		deliveries, deliveriesErr := s.ListDeliveries(t.Context(), owner.Tenant, tokenvault.DeliveryQuery{Page: tokenvault.Page{Limit: 1000}})
		hooks, hooksErr := s.ListWebhooks(t.Context(), owner.Tenant, owner.OrganizationID, tokenvault.Page{})
		return []any{found, connections, permissions, events, jobs, deliveries, hooks}, errors.Join(err, deliveriesErr, hooksErr)
	}
}
