package storetest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func appCases() []testCase {
	return []testCase{
		{"an app is stored whole", appStored},
		{"an app is replaced in place", appReplaced},
		{"a version that moved on is a conflict", appVersion},
		{"there is one app for an organization and provider", appOnce},
		{"the organization's app comes before the tenant's", appFound},
		{"lists are of exactly the organization", appLists},
		{"an app is deleted", appDeleted},
	}
}

func (f *fixture) app(organizationID string) tokenvault.SealedApp {
	id := f.id("app")
	return tokenvault.SealedApp{
		App: tokenvault.App{
			ID: id, Tenant: acme, OrganizationID: organizationID, ProviderID: provider, ClientID: "client of " + id,
			HasSecret: true, Scopes: []string{"read"}, LegacyCallback: true, Version: 1,
		},
		Record: f.sealed(),
	}
}

func (f *fixture) put(t *testing.T, app tokenvault.SealedApp) tokenvault.App {
	t.Helper()
	got, err := f.PutApp(t.Context(), app, f.event(tokenvault.EventAppSet, tokenvault.Owner{Tenant: app.Tenant}))
	if err != nil {
		t.Fatalf("PutApp: %v", err)
	}
	return got
}

func (f *fixture) getApp(t *testing.T, app tokenvault.SealedApp) tokenvault.SealedApp {
	t.Helper()
	got, err := f.GetApp(t.Context(), app.Tenant, app.ID)
	if err != nil {
		t.Fatalf("GetApp: %v", err)
	}
	return got
}

// refusesApp stores app, which must be a conflict and change neither the log nor
// the apps of acme's.
func (f *fixture) refusesApp(t *testing.T, app tokenvault.SealedApp) {
	t.Helper()
	before := f.apps(t, acme, app.OrganizationID)
	f.writes(t, func() {
		_, err := f.PutApp(t.Context(), app, f.event(tokenvault.EventAppSet, tokenvault.Owner{Tenant: acme}))
		wantError(t, "PutApp", err, tokenvault.ErrConflict)
	})
	equal(t, "apps after a conflict", f.apps(t, acme, app.OrganizationID), before)
}

func (f *fixture) apps(t *testing.T, tenant, organizationID string) []tokenvault.App {
	t.Helper()
	list, err := f.ListApps(t.Context(), tenant, organizationID)
	if err != nil {
		t.Fatalf("ListApps: %v", err)
	}
	slices.SortFunc(list, func(a, b tokenvault.App) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func appStored(t *testing.T, f *fixture) {
	app := f.app("eng")
	event := f.event(tokenvault.EventAppSet, eng())
	want := app
	want.CreatedAt, want.UpdatedAt = f.now(), f.now()
	f.writes(t, func() {
		got, err := f.PutApp(t.Context(), app, event)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "PutApp", got, want.App)
	}, event)
	equal(t, "GetApp", f.getApp(t, app), want)

	public := f.app("")
	public.HasSecret, public.LegacyCallback, public.Record = false, false, tokenvault.SealedRecord{}
	want = public
	want.App = f.put(t, public)
	equal(t, "GetApp of a public client", f.getApp(t, public), want)
}

func appReplaced(t *testing.T, f *fixture) {
	app := f.app("eng")
	created := f.put(t, app).CreatedAt
	f.advance(time.Minute)
	next := app
	next.Version, next.ClientID, next.HasSecret, next.Record = 2, "another", false, tokenvault.SealedRecord{}
	next.Scopes, next.LegacyCallback = []string{"send"}, false
	want := next
	want.CreatedAt, want.UpdatedAt = created, f.now()
	equal(t, "PutApp", f.put(t, next), want.App)
	equal(t, "GetApp", f.getApp(t, app), want)
}

func appVersion(t *testing.T, f *fixture) {
	app := f.app("eng")
	missing := app
	missing.Version = 2
	f.refusesApp(t, missing)
	f.put(t, app)
	f.refusesApp(t, app)
	ahead := app
	ahead.Version = 3
	f.refusesApp(t, ahead)
	next := app
	next.Version = 2
	f.put(t, next)
	f.refusesApp(t, next)
}

func appOnce(t *testing.T, f *fixture) {
	f.put(t, f.app("eng"))
	f.refusesApp(t, f.app("eng"))
	f.put(t, f.app(""))
	f.refusesApp(t, f.app(""))
	elsewhere := f.app("eng")
	elsewhere.ProviderID = "other"
	f.put(t, elsewhere)
}

func appFound(t *testing.T, f *fixture) {
	_, err := f.FindApp(t.Context(), acme, "eng", provider)
	wantError(t, "FindApp in an empty store", err, tokenvault.ErrNotFound)
	own := f.app("eng")
	f.put(t, own)
	for _, organizationID := range []string{"", "ops"} {
		_, err := f.FindApp(t.Context(), acme, organizationID, provider)
		wantError(t, "FindApp of another organization", err, tokenvault.ErrNotFound)
	}
	byTenant := f.app("")
	f.put(t, byTenant)
	for organizationID, want := range map[string]tokenvault.SealedApp{"eng": own, "ops": byTenant, "": byTenant} {
		got, err := f.FindApp(t.Context(), acme, organizationID, provider)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "FindApp", got, f.getApp(t, want))
	}
	_, err = f.FindApp(t.Context(), acme, "eng", "other")
	wantError(t, "FindApp at another provider", err, tokenvault.ErrNotFound)
	_, err = f.FindApp(t.Context(), "globex", "eng", provider)
	wantError(t, "FindApp of another tenant", err, tokenvault.ErrNotFound)
}

func appLists(t *testing.T, f *fixture) {
	own := f.put(t, f.app("eng"))
	other := f.app("eng")
	other.ProviderID = "other"
	second := f.put(t, other)
	byTenant := f.put(t, f.app(""))
	f.put(t, f.app("ops"))
	equal(t, "ListApps", f.apps(t, acme, "eng"), []tokenvault.App{own, second})
	equal(t, "ListApps of the tenant", f.apps(t, acme, ""), []tokenvault.App{byTenant})
	equal(t, "ListApps of another tenant", f.apps(t, "globex", "eng"), []tokenvault.App{})
}

func appDeleted(t *testing.T, f *fixture) {
	app := f.app("eng")
	f.put(t, app)
	event := f.event(tokenvault.EventAppDeleted, eng())
	f.writes(t, func() {
		if err := f.DeleteApp(t.Context(), acme, app.ID, event); err != nil {
			t.Fatal(err)
		}
	}, event)
	_, err := f.GetApp(t.Context(), acme, app.ID)
	wantError(t, "GetApp", err, tokenvault.ErrNotFound)
	f.writes(t, func() {
		wantError(t, "DeleteApp again", f.DeleteApp(t.Context(), acme, app.ID, event), tokenvault.ErrNotFound)
	})
	f.put(t, app)
}
