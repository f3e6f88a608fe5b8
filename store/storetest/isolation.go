package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func isolationCases() []testCase {
	return []testCase{
		{"what is somebody else's does not exist", foreignRows},
		{"a turn is ended by somebody who sees the connection only", foreignTurn},
		{"a request is not settled with what is somebody else's", foreignParts},
		{"what is another tenant's does not exist", foreignTenant},
		{"strangers see nothing in lists", foreignLists},
	}
}

// strangers are owners that do not see what is member("alice")'s, though most
// share two of its three names.
func strangers() map[string]tokenvault.Owner {
	return map[string]tokenvault.Owner{
		"another tenant":           {Tenant: "other", OrganizationID: "eng", UserID: "alice"},
		"another user":             member("bob"),
		"another organization":     {Tenant: acme, OrganizationID: "ops", UserID: "alice"},
		"without the organization": alice(),
		"the organization itself":  eng(),
	}
}

// stranger runs run once for each of the strangers.
func stranger(t *testing.T, run func(t *testing.T, owner tokenvault.Owner)) {
	t.Helper()
	for name, owner := range strangers() {
		t.Run(name, func(t *testing.T) { run(t, owner) })
	}
}

func foreignRows(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	f.permit(t, f.permission(member("alice"), c.ID, "read"))
	req := f.open(t, member("alice"))
	begun := f.attempt(req)
	if err := f.BeginAttempt(t.Context(), begun); err != nil {
		t.Fatal(err)
	}
	granted := f.permissions(t, member("alice"))[0]
	stranger(t, func(t *testing.T, owner tokenvault.Owner) {
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"GetConnection": func() error { _, err := f.GetConnection(ctx, owner, c.ID); return err },
			"FindAccount":   func() error { _, err := f.FindAccount(ctx, owner, provider, "acc"); return err },
			"Revoke": func() error {
				cmd := f.revocation(c)
				cmd.Owner = owner
				_, err := f.Revoke(ctx, cmd)
				return err
			},
			"BeginRefresh": func() error {
				_, err := f.BeginRefresh(ctx, tokenvault.RefreshClaim{Owner: owner, ConnectionID: c.ID, Version: 1, Lease: time.Minute})
				return err
			},
			"GetAuthRequest": func() error { _, err := f.GetAuthRequest(ctx, owner, req.ID); return err },
			"Settle": func() error {
				cmd := f.connecting(req, nil)
				cmd.Owner, cmd.Status = owner, tokenvault.AuthDeclined
				_, err := f.Settle(ctx, cmd)
				return err
			},
			"BeginAttempt": func() error {
				cmd := f.attempt(req)
				cmd.Attempt.Owner = owner
				return f.BeginAttempt(ctx, cmd)
			},
			"GetAttempt":    func() error { _, err := f.GetAttempt(ctx, owner, begun.Attempt.ID); return err },
			"LatestAttempt": func() error { _, err := f.LatestAttempt(ctx, owner, req.ID); return err },
			"WithdrawPermission": func() error {
				return f.WithdrawPermission(ctx, owner, granted.ID, f.event(tokenvault.EventPermissionRemoved, owner))
			},
		} {
			t.Run(name, func(t *testing.T) { f.refuses(t, tokenvault.ErrNotFound, call) })
		}
		found, err := f.FindUsable(ctx, tokenvault.FindQuery{Owner: owner, AgentID: agent, ProviderID: provider})
		if err != nil || len(found.Candidates) != 0 {
			t.Errorf("FindUsable: %d candidates, err = %v, want none", len(found.Candidates), err)
		}
	})
}

func foreignTurn(t *testing.T, f *fixture) {
	turn := f.claim(t, f.connect(t, member("alice"), "acc").Connection, time.Minute)
	stranger(t, func(t *testing.T, owner tokenvault.Owner) {
		f.refuses(t, tokenvault.ErrNotFound, func() error {
			cmd := f.commit(turn)
			cmd.Owner = owner
			_, err := f.CommitRefresh(t.Context(), cmd)
			return err
		})
		f.refuses(t, tokenvault.ErrNotFound, func() error {
			cmd := f.failure(turn)
			cmd.Owner, cmd.Reason = owner, tokenvault.ReauthRejected
			return f.FailRefresh(t.Context(), cmd)
		})
	})
	if _, err := f.CommitRefresh(t.Context(), f.commit(turn)); err != nil {
		t.Errorf("the turn's own commit: %v", err)
	}
}

func foreignParts(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	stranger(t, func(t *testing.T, owner tokenvault.Owner) {
		req := f.open(t, owner)
		f.refusesSettle(t, tokenvault.ErrNotFound, f.connecting(req, f.renewed(c)))
		f.refusesSettle(t, tokenvault.ErrNotFound, f.connecting(req, f.fresh(member("alice"), "new")))

		mine := f.renewed(c)
		mine.Owner = owner // as if it were the stranger's own
		f.refusesSettle(t, tokenvault.ErrConflict, f.connecting(req, mine))

		foreign := f.connecting(req, nil)
		foreign.Permission = f.permission(owner, c.ID, "read")
		f.refusesSettle(t, tokenvault.ErrNotFound, foreign)
		foreign.Permission = f.permission(member("alice"), c.ID, "read")
		f.refusesSettle(t, tokenvault.ErrNotFound, foreign)
	})
}

func foreignTenant(t *testing.T, f *fixture) {
	const other = "other"
	ctx := t.Context()
	app, dataKey, key := f.put(t, f.app("")), f.dataKey(t, acme, 1), f.createAPIKey(t, f.apiKey(alice()))
	event := f.event(tokenvault.EventAppDeleted, tokenvault.Owner{Tenant: other})
	for name, call := range map[string]func() error{
		"GetApp":          func() error { _, err := f.GetApp(ctx, other, app.ID); return err },
		"FindApp":         func() error { _, err := f.FindApp(ctx, other, "", app.ProviderID); return err },
		"DeleteApp":       func() error { return f.DeleteApp(ctx, other, app.ID, event) },
		"GetDataKey":      func() error { _, err := f.GetDataKey(ctx, other, dataKey.Space, 1); return err },
		"RevokeAPIKey":    func() error { return f.RevokeAPIKey(ctx, other, key.ID, event) },
		"FindAuthRequest": func() error { _, err := f.FindAuthRequest(ctx, other, f.open(t, alice()).ID); return err },
	} {
		wantError(t, name, call(), tokenvault.ErrNotFound)
	}
	if _, err := f.GetApp(ctx, acme, app.ID); err != nil {
		t.Errorf("the app after another tenant tried to delete it: %v", err)
	}
	if now, err := f.GetAPIKey(ctx, key.ID); err != nil || !now.RevokedAt.IsZero() {
		t.Errorf("the key after another tenant tried to revoke it: %+v, err = %v", now, err)
	}
	if events := f.events(t, other); len(events) != 0 {
		t.Errorf("refused commands wrote %d events", len(events))
	}
}

func foreignLists(t *testing.T, f *fixture) {
	f.permit(t, f.permission(member("alice"), f.connect(t, member("alice"), "acc").ID, "read"))
	stranger(t, func(t *testing.T, owner tokenvault.Owner) {
		if ids := f.list(t, owner); len(ids) != 0 {
			t.Errorf("ListConnections: %q, want none", ids)
		}
		if all := f.permissions(t, owner); len(all) != 0 {
			t.Errorf("ListPermissions: %d, want none", len(all))
		}
		if owner.Tenant != acme && len(f.events(t, owner.Tenant)) != 0 {
			t.Error("ListAudit shows another tenant's events")
		}
	})
}
