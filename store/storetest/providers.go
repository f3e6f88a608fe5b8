package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func providerCases() []testCase {
	return []testCase{
		{"a provider is stored whole", providerStored},
		{"a provider is replaced in place", providerReplaced},
		{"a version of a provider that moved on is a conflict", providerVersion},
		{"an id is the tenant's or its organizations'", providerScopes},
		{"a provider is found by those it is for", providerFound},
		{"a list holds the organization's providers and the tenant's", providerLists},
		{"a provider that must be unused is refused while it is used", providerUnused},
		{"a provider is deleted unless it is used", providerDeleted},
	}
}

func (f *fixture) customProvider(organizationID, id string) tokenvault.SealedProvider {
	return tokenvault.SealedProvider{Tenant: acme, OrganizationID: organizationID, ID: id, Version: 1, Record: f.sealed()}
}

func (f *fixture) providerPut(p tokenvault.SealedProvider) tokenvault.ProviderPut {
	owner := tokenvault.Owner{Tenant: p.Tenant, OrganizationID: p.OrganizationID}
	return tokenvault.ProviderPut{Provider: p, Event: f.event(tokenvault.EventProviderSet, owner)}
}

func (f *fixture) putProvider(t *testing.T, p tokenvault.SealedProvider) tokenvault.SealedProvider {
	t.Helper()
	got, err := f.PutProvider(t.Context(), f.providerPut(p))
	if err != nil {
		t.Fatalf("PutProvider: %v", err)
	}
	return got
}

// refusesProvider puts p, which must fail with want and change nothing.
func (f *fixture) refusesProvider(t *testing.T, want error, cmd tokenvault.ProviderPut) {
	t.Helper()
	p := cmd.Provider
	before := f.providers(t, p.Tenant, p.OrganizationID)
	f.writes(t, func() {
		_, err := f.PutProvider(t.Context(), cmd)
		wantError(t, "PutProvider", err, want)
	})
	equal(t, "providers after a refusal", f.providers(t, p.Tenant, p.OrganizationID), before)
}

func (f *fixture) providers(t *testing.T, tenant, organizationID string) []tokenvault.SealedProvider {
	t.Helper()
	list, err := f.ListProviders(t.Context(), tenant, organizationID)
	if err != nil {
		t.Fatalf("ListProviders: %v", err)
	}
	return list
}

func providerStored(t *testing.T, f *fixture) {
	p := f.customProvider("eng", "crm")
	cmd := f.providerPut(p)
	want := p
	want.CreatedAt, want.UpdatedAt = f.now(), f.now()
	f.writes(t, func() {
		got, err := f.PutProvider(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "PutProvider", got, want)
	}, cmd.Event)
	got, err := f.FindProvider(t.Context(), acme, "eng", "crm")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "FindProvider", got, want)
}

func providerReplaced(t *testing.T, f *fixture) {
	p := f.customProvider("", "crm")
	created := f.putProvider(t, p).CreatedAt
	f.advance(time.Minute)
	next := p
	next.Version, next.Record = 2, f.sealed()
	want := next
	want.CreatedAt, want.UpdatedAt = created, f.now()
	equal(t, "PutProvider", f.putProvider(t, next), want)
	equal(t, "ListProviders", f.providers(t, acme, ""), []tokenvault.SealedProvider{want})
}

func providerVersion(t *testing.T, f *fixture) {
	p := f.customProvider("eng", "crm")
	missing := p
	missing.Version = 2
	f.refusesProvider(t, tokenvault.ErrConflict, f.providerPut(missing))
	f.putProvider(t, p)
	f.refusesProvider(t, tokenvault.ErrConflict, f.providerPut(p))
	ahead := p
	ahead.Version = 3
	f.refusesProvider(t, tokenvault.ErrConflict, f.providerPut(ahead))
	next := p
	next.Version = 2
	f.putProvider(t, next)
	f.refusesProvider(t, tokenvault.ErrConflict, f.providerPut(next))
}

func providerScopes(t *testing.T, f *fixture) {
	f.putProvider(t, f.customProvider("eng", "crm"))
	f.putProvider(t, f.customProvider("ops", "crm"))
	f.refusesProvider(t, tokenvault.ErrConflict, f.providerPut(f.customProvider("", "crm")))
	f.putProvider(t, f.customProvider("", "wiki"))
	f.refusesProvider(t, tokenvault.ErrConflict, f.providerPut(f.customProvider("eng", "wiki")))
	elsewhere := f.customProvider("", "crm")
	elsewhere.Tenant = "globex"
	f.putProvider(t, elsewhere)
}

func providerFound(t *testing.T, f *fixture) {
	own := f.putProvider(t, f.customProvider("eng", "crm"))
	shared := f.putProvider(t, f.customProvider("", "wiki"))
	for _, c := range []struct {
		tenant, organizationID, id string
		want                       *tokenvault.SealedProvider
	}{
		{acme, "eng", "crm", &own},
		{acme, "ops", "crm", nil},
		{acme, "", "crm", nil},
		{"globex", "eng", "crm", nil},
		{acme, "eng", "wiki", &shared},
		{acme, "", "wiki", &shared},
		{"globex", "", "wiki", nil},
		{acme, "eng", "none", nil},
	} {
		got, err := f.FindProvider(t.Context(), c.tenant, c.organizationID, c.id)
		if c.want == nil {
			wantError(t, "FindProvider of what is not there", err, tokenvault.ErrNotFound)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "FindProvider", got, *c.want)
	}
}

func providerLists(t *testing.T, f *fixture) {
	wiki := f.putProvider(t, f.customProvider("", "wiki"))
	crm := f.putProvider(t, f.customProvider("eng", "crm"))
	f.putProvider(t, f.customProvider("ops", "desk"))
	equal(t, "ListProviders", f.providers(t, acme, "eng"), []tokenvault.SealedProvider{crm, wiki})
	equal(t, "ListProviders of the tenant", f.providers(t, acme, ""), []tokenvault.SealedProvider{wiki})
	equal(t, "ListProviders of another tenant", f.providers(t, "globex", "eng"), []tokenvault.SealedProvider{})
}

// A dependence is something that may use the provider with the id, and for which
// providers it counts.
type dependence struct {
	name             string
	use              func(t *testing.T, f *fixture, id string)
	ofTenant, ofEngs bool // counts for the tenant's provider, for the organization's
}

func dependences() []dependence {
	app := func(change func(*tokenvault.SealedApp)) func(*testing.T, *fixture, string) {
		return func(t *testing.T, f *fixture, id string) {
			a := f.app("eng")
			a.ProviderID = id
			change(&a)
			f.put(t, a)
		}
	}
	connection := func(owner tokenvault.Owner) func(*testing.T, *fixture, string) {
		return func(t *testing.T, f *fixture, id string) {
			c := f.fresh(owner, "acc")
			c.ProviderID = id
			f.keep(t, c)
		}
	}
	return []dependence{
		{"nothing", func(*testing.T, *fixture, string) {}, false, false},
		{"the organization's app", app(func(*tokenvault.SealedApp) {}), true, true},
		{"the tenant's app", app(func(a *tokenvault.SealedApp) { a.OrganizationID = "" }), true, true},
		{"another organization's app", app(func(a *tokenvault.SealedApp) { a.OrganizationID = "ops" }), true, false},
		{"another tenant's app", app(func(a *tokenvault.SealedApp) { a.Tenant = "globex" }), false, false},
		{"another provider's app", app(func(a *tokenvault.SealedApp) { a.ProviderID += "-2" }), false, false},
		{"a member's connection", connection(member("alice")), true, true},
		{"the organization's connection", connection(eng()), true, true},
		{"somebody else's connection", connection(alice()), true, false},
		{"another tenant's connection", connection(tokenvault.Owner{Tenant: "globex", OrganizationID: "eng"}), false, false},
		{"a revoked connection", func(t *testing.T, f *fixture, id string) {
			c := f.fresh(eng(), "acc")
			c.ProviderID = id
			f.revoke(t, f.keep(t, c))
		}, false, false},
	}
}

// eachDependence runs check for a provider of each scope with each dependence.
func eachDependence(t *testing.T, f *fixture, check func(t *testing.T, p tokenvault.SealedProvider, used bool)) {
	t.Helper()
	for _, d := range dependences() {
		for organizationID, used := range map[string]bool{"": d.ofTenant, "eng": d.ofEngs} {
			t.Run(d.name+" of "+organizationID, func(t *testing.T) {
				p := f.customProvider(organizationID, f.id("crm"))
				d.use(t, f, p.ID)
				check(t, p, used)
			})
		}
	}
}

func providerUnused(t *testing.T, f *fixture) {
	eachDependence(t, f, func(t *testing.T, p tokenvault.SealedProvider, used bool) {
		for version := range int64(2) {
			p.Version = version + 1
			cmd := f.providerPut(p)
			cmd.Unused = true
			if used {
				f.refusesProvider(t, tokenvault.ErrInUse, cmd)
				cmd.Unused = false
			}
			if _, err := f.PutProvider(t.Context(), cmd); err != nil {
				t.Errorf("PutProvider of version %d: %v", p.Version, err)
			}
		}
	})
}

func providerDeleted(t *testing.T, f *fixture) {
	eachDependence(t, f, func(t *testing.T, p tokenvault.SealedProvider, used bool) {
		stored := f.putProvider(t, p)
		owner := tokenvault.Owner{Tenant: acme, OrganizationID: p.OrganizationID}
		cmd := tokenvault.ProviderDeletion{Tenant: acme, OrganizationID: p.OrganizationID, ID: p.ID, Event: f.event(tokenvault.EventProviderDeleted, owner)}
		for name, other := range map[string]tokenvault.ProviderDeletion{
			"another tenant":       {Tenant: "globex", OrganizationID: p.OrganizationID, ID: p.ID, Event: cmd.Event},
			"another organization": {Tenant: acme, OrganizationID: "ops", ID: p.ID, Event: cmd.Event},
		} {
			f.writes(t, func() {
				wantError(t, "DeleteProvider of "+name, f.DeleteProvider(t.Context(), other), tokenvault.ErrNotFound)
			})
		}
		if used {
			f.writes(t, func() { wantError(t, "DeleteProvider", f.DeleteProvider(t.Context(), cmd), tokenvault.ErrInUse) })
			got, err := f.FindProvider(t.Context(), acme, p.OrganizationID, p.ID)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "FindProvider after a refusal", got, stored)
			return
		}
		f.writes(t, func() {
			if err := f.DeleteProvider(t.Context(), cmd); err != nil {
				t.Fatal(err)
			}
		}, cmd.Event)
		f.writes(t, func() {
			wantError(t, "DeleteProvider again", f.DeleteProvider(t.Context(), cmd), tokenvault.ErrNotFound)
		})
		_, err := f.FindProvider(t.Context(), acme, p.OrganizationID, p.ID)
		wantError(t, "FindProvider", err, tokenvault.ErrNotFound)
		f.putProvider(t, p)
	})
}
