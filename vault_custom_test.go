package tokenvault_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
)

// boss administers the organization ops, in which dora works; eve's is another.
var (
	boss = tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "boss", OrgAdmin: true, Owner: tokenvault.Owner{Tenant: "default", OrganizationID: "ops", UserID: "boss"}}
	dora = tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "dora", Owner: tokenvault.Owner{Tenant: "default", OrganizationID: "ops", UserID: "dora"}}
	eve  = tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "eve", OrgAdmin: true, Owner: tokenvault.Owner{Tenant: "default", OrganizationID: "evil", UserID: "eve"}}
)

func custom(o *tokenvault.Options) { o.LintProvider = catalog.Check }

func crm() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "crm", Name: "CRM", AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{"api.crm.example", "files.crm.example"},
		OAuth2: &tokenvault.OAuth2{
			Issuer: "https://crm.example", AuthorizationURL: "https://crm.example/authorize", TokenURL: "https://crm.example/token",
			RevocationURL: "https://crm.example/revoke", DefaultScopes: []string{"read"},
		},
	}
}

func (r *rig) define(t *testing.T, actor tokenvault.Actor, organizationID string, p tokenvault.Provider) tokenvault.CustomProvider {
	t.Helper()
	c, err := r.PutProvider(t.Context(), actor, tokenvault.ProviderInput{OrganizationID: organizationID, Provider: p})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// connectCRM registers an app and connects dora's account.
func (r *rig) connectCRM(t *testing.T) tokenvault.AuthRequest {
	t.Helper()
	if _, err := r.SetApp(t.Context(), boss, tokenvault.AppInput{OrganizationID: "ops", ProviderID: "crm", ClientID: "client"}); err != nil {
		t.Fatal(err)
	}
	req, err := r.RequestConnect(t.Context(), dora, tokenvault.ConnectRequest{ProviderID: "crm"})
	if err != nil {
		t.Fatal(err)
	}
	ret := r.startAs(t, dora, req.ID)
	ret.AppID, ret.Iss = r.AppID("ops", "crm"), "https://crm.example"
	done, err := r.FinishConnect(t.Context(), dora, ret)
	if err != nil {
		t.Fatal(err)
	}
	return done.Request
}

func TestAnOrganizationsProviderIsThereForItsPeopleOnly(t *testing.T) {
	r := newRig(t, custom)
	r.define(t, boss, "ops", crm())
	if got := r.connectCRM(t); got.Status != tokenvault.AuthConnected || got.ProviderName != "CRM" {
		t.Errorf("request = %+v", got)
	}
	for name, actor := range map[string]tokenvault.Actor{"another organization": eve, "a person without one": aliceUser} {
		_, known := r.Provider(t.Context(), actor, "crm")
		_, unknown := r.Provider(t.Context(), actor, "none")
		if !errors.Is(known, tokenvault.ErrNotFound) || strings.ReplaceAll(known.Error(), "crm", "none") != unknown.Error() {
			t.Errorf("%s: %v, and for what never was: %v", name, known, unknown)
		}
		_, asked := r.RequestConnect(t.Context(), actor, tokenvault.ConnectRequest{ProviderID: "crm"})
		if !errors.Is(asked, tokenvault.ErrNotFound) {
			t.Errorf("%s connects: %v", name, asked)
		}
		if ids := r.providerIDs(t, actor); slices.Contains(ids, "crm") {
			t.Errorf("%s sees %v", name, ids)
		}
	}
	if _, err := r.SetApp(t.Context(), eve, tokenvault.AppInput{OrganizationID: "evil", ProviderID: "crm", ClientID: "x"}); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("an app for somebody else's provider: %v", err)
	}
	if ids := r.providerIDs(t, dora); !slices.Equal(ids, []string{"crm", "mail"}) {
		t.Errorf("dora sees %v", ids)
	}
	if _, err := newVault(t, r.store, r.key, r.flow, custom, func(o *tokenvault.Options) { o.Tenant = "other" }).Provider(t.Context(),
		tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "dora", Owner: tokenvault.Owner{Tenant: "other", OrganizationID: "ops", UserID: "dora"}}, "crm"); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("another tenant: %v", err)
	}
}

func (r *rig) providerIDs(t *testing.T, actor tokenvault.Actor) (ids []string) {
	t.Helper()
	all, err := r.Providers(t.Context(), actor)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		ids = append(ids, p.ID)
	}
	return ids
}

func TestATenantsProviderIsThereForEverybody(t *testing.T) {
	r := newRig(t, custom)
	stored := r.define(t, admin, "", crm())
	if stored.Version != 1 || stored.Provider.Service != "crm" || stored.Provider.Verified != "unverified" || stored.Provider.UsageMode != tokenvault.UsageToken {
		t.Errorf("stored = %+v", stored)
	}
	for _, actor := range []tokenvault.Actor{aliceUser, dora, eve} {
		if p, err := r.Provider(t.Context(), actor, "crm"); err != nil || p.OAuth2.TokenURL != "https://crm.example/token" {
			t.Errorf("%s: %+v, %v", actor.ID, p, err)
		}
	}
	if n := len(r.events(t, tokenvault.EventProviderSet)); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestOnlyAnAdministratorDefinesProviders(t *testing.T) {
	r := newRig(t, custom)
	confined := admin
	confined.Owner.OrganizationID = "ops"
	for name, c := range map[string]struct {
		actor          tokenvault.Actor
		organizationID string
	}{
		"a member": {dora, "ops"}, "another's administrator": {eve, "ops"}, "an organization's, for the tenant": {boss, ""},
		"a key confined to an organization": {confined, ""}, "an agent": {aliceAgent, ""}, "a user": {aliceUser, ""},
	} {
		_, put := r.PutProvider(t.Context(), c.actor, tokenvault.ProviderInput{OrganizationID: c.organizationID, Provider: crm()})
		_, list := r.CustomProviders(t.Context(), c.actor, c.organizationID)
		deleted := r.DeleteProvider(t.Context(), c.actor, c.organizationID, "crm")
		for _, err := range []error{put, list, deleted} {
			if !errors.Is(err, tokenvault.ErrDenied) {
				t.Errorf("%s: %v, want ErrDenied", name, err)
			}
		}
	}
	r.define(t, confined, "ops", crm())
}

func TestAnIDIsNotTakenFromAWiderScope(t *testing.T) {
	r := newRig(t, custom)
	shadow := crm()
	shadow.ID = "mail"
	wide := crm()
	wide.ID = "wiki"
	r.define(t, admin, "", wide)
	r.define(t, boss, "ops", crm())
	for name, c := range map[string]struct {
		actor          tokenvault.Actor
		organizationID string
		provider       tokenvault.Provider
		field          string
	}{
		"the catalog's, by an organization": {boss, "ops", shadow, "id"},
		"the catalog's, by the tenant":      {admin, "", shadow, "id"},
		"the tenant's, by an organization":  {boss, "ops", wide, "id"},
		"an organization's, by the tenant":  {admin, "", crm(), ""},
	} {
		_, err := r.PutProvider(t.Context(), c.actor, tokenvault.ProviderInput{OrganizationID: c.organizationID, Provider: c.provider})
		field, ok := errors.AsType[*tokenvault.FieldError](err)
		if c.field != "" && (!ok || field.Field != c.field) || c.field == "" && !errors.Is(err, tokenvault.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.define(t, eve, "evil", crm()) // another organization's is no wider scope
}

// C21, and requests that a tenant could send the vault on.
func TestC21ACustomProviderNamesPublicAddressesOnly(t *testing.T) {
	allowed := func(o *tokenvault.Options) { o.AllowHosts = []string{"idp.localhost:8080", "10.0.0.7:443"} }
	r := newRig(t, custom, allowed)
	for name, edit := range map[string]func(p *tokenvault.Provider){
		"script":                func(p *tokenvault.Provider) { p.OAuth2.AuthorizationURL = "javascript:alert(1)" },
		"file":                  func(p *tokenvault.Provider) { p.OAuth2.AuthorizationURL = "file:///etc/passwd" },
		"plain http":            func(p *tokenvault.Provider) { p.OAuth2.TokenURL = "http://crm.example/token" },
		"loopback":              func(p *tokenvault.Provider) { p.OAuth2.TokenURL = "http://127.0.0.1:9000/token" },
		"localhost":             func(p *tokenvault.Provider) { p.OAuth2.TokenURL = "https://localhost/token" },
		"another port":          func(p *tokenvault.Provider) { p.OAuth2.TokenURL = "http://idp.localhost:8081/token" },
		"metadata service":      func(p *tokenvault.Provider) { p.OAuth2.UserInfoURL = "https://169.254.169.254/latest" },
		"private":               func(p *tokenvault.Provider) { p.OAuth2.RevocationURL = "https://10.0.0.8/revoke" },
		"private by number":     func(p *tokenvault.Provider) { p.OAuth2.JWKSURL = "https://0x0a000007/jwks" },
		"private, version 6":    func(p *tokenvault.Provider) { p.OAuth2.PushedAuthorizationURL = "https://[fd00::1]/par" },
		"private refresh":       func(p *tokenvault.Provider) { p.OAuth2.RefreshURL = "https://192.168.1.1/refresh" },
		"private icon":          func(p *tokenvault.Provider) { p.IconURL = "https://[::1]/icon.png" },
		"private host":          func(p *tokenvault.Provider) { p.Hosts = []string{"10.0.0.8"} },
		"localhost as host":     func(p *tokenvault.Provider) { p.Hosts = []string{"localhost:8080"} },
		"private authorization": func(p *tokenvault.Provider) { p.OAuth2.AuthorizationURL = "https://172.16.0.1/authorize" },
	} {
		p := crm()
		edit(&p)
		p.Sources = []tokenvault.Source{{Fact: "refreshUrl: read", URL: "https://crm.example/docs"}}
		if _, err := r.PutProvider(t.Context(), admin, tokenvault.ProviderInput{Provider: p}); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		} else if strings.Contains(err.Error(), "192.168") || strings.Contains(err.Error(), "alert") {
			t.Errorf("%s: the error quotes what was sent: %v", name, err)
		}
	}
	p := crm()
	p.OAuth2.TokenURL, p.Hosts = "http://idp.localhost:8080/token", []string{"10.0.0.7"}
	r.define(t, admin, "", p)
}

// An address that is added to the format is checked as well.
func TestEveryAddressOfADefinitionIsChecked(t *testing.T) {
	r := newRig(t, func(o *tokenvault.Options) { o.LintProvider = func(tokenvault.Provider) error { return nil } })
	checked := 0
	for field := range reflect.TypeFor[tokenvault.OAuth2]().Fields() {
		if !strings.HasSuffix(field.Name, "URL") && field.Name != "Issuer" {
			continue
		}
		checked++
		p := crm()
		reflect.ValueOf(p.OAuth2).Elem().FieldByIndex(field.Index).SetString("https://10.0.0.1/")
		_, err := r.PutProvider(t.Context(), admin, tokenvault.ProviderInput{Provider: p})
		if invalid, ok := errors.AsType[*tokenvault.FieldError](err); !ok || invalid.Field != "oauth2."+field.Tag.Get("yaml") {
			t.Errorf("%s: %v", field.Name, err)
		}
	}
	if checked < 9 {
		t.Errorf("only %d addresses", checked)
	}
}

func TestAVersionThatMovedOnIsAConflict(t *testing.T) {
	r := newRig(t, custom)
	first := r.define(t, boss, "ops", crm())
	changed := crm()
	changed.Name = "Customers"
	put := func(version int64) error {
		_, err := r.PutProvider(t.Context(), boss, tokenvault.ProviderInput{OrganizationID: "ops", Provider: changed, Version: version})
		return err
	}
	if err := put(first.Version); err != nil {
		t.Fatal(err)
	}
	if err := put(first.Version); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("err = %v, want ErrConflict", err)
	}
	if err := put(0); err != nil {
		t.Errorf("without a version: %v", err)
	}
	if list, err := r.CustomProviders(t.Context(), boss, "ops"); err != nil || len(list) != 1 || list[0].Version != 3 || list[0].Provider.Name != "Customers" {
		t.Errorf("list = %+v, %v", list, err)
	}
}

// What a user connected is not sent anywhere else by changing the provider.
func TestAUsedProviderIsNotRedirected(t *testing.T) {
	r := newRig(t, custom)
	r.define(t, boss, "ops", crm())
	connection := r.connectCRM(t).ConnectionID
	put := func(edit func(*tokenvault.Provider)) error {
		p := crm()
		edit(&p)
		_, err := r.PutProvider(t.Context(), boss, tokenvault.ProviderInput{OrganizationID: "ops", Provider: p})
		return err
	}
	for name, edit := range map[string]func(*tokenvault.Provider){
		"token endpoint":      func(p *tokenvault.Provider) { p.OAuth2.TokenURL = "https://evil.example/token" },
		"issuer":              func(p *tokenvault.Provider) { p.OAuth2.Issuer = "https://evil.example" },
		"sign-in page":        func(p *tokenvault.Provider) { p.OAuth2.AuthorizationURL = "https://evil.example/authorize" },
		"revocation endpoint": func(p *tokenvault.Provider) { p.OAuth2.RevocationURL = "https://evil.example/revoke" },
		"userinfo endpoint":   func(p *tokenvault.Provider) { p.OAuth2.UserInfoURL = "https://evil.example/me" },
		"pushed requests":     func(p *tokenvault.Provider) { p.OAuth2.PushedAuthorizationURL = "https://evil.example/par" },
		"another host":        func(p *tokenvault.Provider) { p.Hosts = append(p.Hosts, "evil.example") },
		"another port":        func(p *tokenvault.Provider) { p.Hosts = []string{"api.crm.example:8443"} },
		"client by its form":  func(p *tokenvault.Provider) { p.OAuth2.ClientAuth = tokenvault.ClientSecretPost },
		"what a scope implies": func(p *tokenvault.Provider) {
			p.OAuth2.ScopeImplies = map[string][]string{"read": {"write"}}
			p.Sources = []tokenvault.Source{{Fact: "scopeImplies: said so", URL: "https://crm.example/docs"}}
		},
	} {
		if err := put(edit); !errors.Is(err, tokenvault.ErrInUse) || !strings.Contains(err.Error(), "revoke its connections") {
			t.Errorf("%s: %v, want ErrInUse that says what to do", name, err)
		}
	}
	for i, edit := range []func(*tokenvault.Provider){
		func(*tokenvault.Provider) {},
		func(p *tokenvault.Provider) { p.Name = "Customers" },
		func(p *tokenvault.Provider) { p.OAuth2.DefaultScopes = []string{"read", "write"} },
		func(p *tokenvault.Provider) { p.OAuth2.Setup = []string{"Ask the boss."} },
		func(p *tokenvault.Provider) { p.Hosts = p.Hosts[:1] },
	} {
		if err := put(edit); err != nil {
			t.Errorf("harmless change %d: %v", i, err)
		}
	}
	if err := r.DeleteProvider(t.Context(), boss, "ops", "crm"); !errors.Is(err, tokenvault.ErrInUse) {
		t.Errorf("DeleteProvider = %v, want ErrInUse", err)
	}
	if err := r.Revoke(t.Context(), dora, connection); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteApp(t.Context(), boss, "ops", "crm"); err != nil {
		t.Fatal(err)
	}
	if err := put(func(p *tokenvault.Provider) { p.OAuth2.TokenURL = "https://new.example/token" }); err != nil {
		t.Errorf("an unused provider: %v", err)
	}
	if err := r.DeleteProvider(t.Context(), boss, "ops", "crm"); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteProvider(t.Context(), boss, "ops", "crm"); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("deleting twice: %v", err)
	}
	if n := len(r.events(t, tokenvault.EventProviderDeleted)); n != 1 {
		t.Errorf("%d events", n)
	}
}

// A grant is ended also if the provider is gone by the time.
func TestAGrantIsEndedAfterItsProviderWasDeleted(t *testing.T) {
	r := newRig(t, custom)
	r.define(t, boss, "ops", crm())
	connection := r.connectCRM(t).ConnectionID
	for _, err := range []error{
		r.Revoke(t.Context(), dora, connection), r.DeleteApp(t.Context(), boss, "ops", "crm"), r.DeleteProvider(t.Context(), boss, "ops", "crm"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for len(r.events(t, tokenvault.EventProviderRevoked)) == 0 {
		if t.Context().Err() != nil {
			t.Fatal("the grant was not ended at the provider")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, _, revoked := r.flow.counts(); len(revoked) != 1 {
		t.Errorf("revoked %v", revoked)
	}
}

// The client secret of an app whose provider left the configuration must not be
// collected by whoever defines that id next.
func TestAnAppThatWasLeftBehindIsNotInherited(t *testing.T) {
	r := newRig(t, custom)
	r.define(t, admin, "", crm())
	if _, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "crm", ClientID: "client", ClientSecret: tokenvault.NewSecret("shared")}); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteProvider(t.Context(), admin, "", "crm"); !errors.Is(err, tokenvault.ErrInUse) {
		t.Fatalf("DeleteProvider = %v, want ErrInUse", err)
	}
	if _, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client"}); err != nil {
		t.Fatal(err)
	}
	cat, err := tokenvault.NewCatalog() // a configuration without mail, whose app is still there
	if err != nil {
		t.Fatal(err)
	}
	v, err := tokenvault.New(r.store, r.key, cat, &tokenvault.Options{LintProvider: catalog.Check})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close(t.Context()) })
	mine := crm()
	mine.ID = "mail"
	if _, err := v.PutProvider(t.Context(), eve, tokenvault.ProviderInput{OrganizationID: "evil", Provider: mine}); !errors.Is(err, tokenvault.ErrInUse) {
		t.Errorf("PutProvider = %v, want ErrInUse", err)
	}
}

// A definition is bound to its row: whoever can write the database, but has no
// key, cannot make a provider point elsewhere.
func TestADefinitionIsNotMovedBetweenRows(t *testing.T) {
	r := newRig(t, custom)
	r.define(t, eve, "evil", crm())
	row, err := r.store.FindProvider(t.Context(), "default", "evil", "crm")
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*tokenvault.SealedProvider){
		"organization": func(p *tokenvault.SealedProvider) { p.OrganizationID = "ops" },
		"id":           func(p *tokenvault.SealedProvider) { p.ID = "wiki" },
		"clear text": func(p *tokenvault.SealedProvider) {
			p.OrganizationID = "ops2"
			p.Record.Blob, _ = json.Marshal(crm())
		},
	} {
		moved := row
		edit(&moved)
		if _, err := r.store.PutProvider(t.Context(), tokenvault.ProviderPut{Provider: moved, Event: tokenvault.Event{Tenant: "default"}}); err != nil {
			t.Fatal(err)
		}
		reader := dora
		reader.Owner.OrganizationID = moved.OrganizationID
		if _, err := r.Provider(t.Context(), reader, moved.ID); !errors.Is(err, tokenvault.ErrUnsealable) {
			t.Errorf("%s: %v, want ErrUnsealable", name, err)
		}
	}
}

func TestWithoutALinterThereAreNoCustomProviders(t *testing.T) {
	r := newRig(t)
	if _, err := r.PutProvider(t.Context(), admin, tokenvault.ProviderInput{Provider: crm()}); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("err = %v, want ErrInvalid", err)
	}
}

// lookups counts how often the store is asked for a provider.
type lookups struct {
	tokenvault.Store
	count atomic.Int32
}

func (s *lookups) FindProvider(ctx context.Context, tenant, organizationID, id string) (tokenvault.SealedProvider, error) {
	s.count.Add(1)
	return s.Store.FindProvider(ctx, tenant, organizationID, id)
}

func TestAWarmResolveDoesNotAskForTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, custom)
		r.define(t, boss, "ops", crm())
		r.connectCRM(t)
		store := &lookups{Store: r.store}
		v := newVault(t, store, r.key, r.flow, custom)
		agent := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: dora.Owner}
		resolve := func(id string) error {
			_, err := v.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: id})
			return err
		}
		for range 3 { // the catalog's provider is never looked up, another once
			_ = resolve("mail")
			if _, ok := errors.AsType[*tokenvault.AuthRequiredError](resolve("crm")); !ok {
				t.Fatal("the custom provider is not asked for")
			}
		}
		if n := store.count.Load(); n != 1 {
			t.Errorf("the store was asked %d times", n)
		}
		for range 3 {
			if err := resolve("none"); !errors.Is(err, tokenvault.ErrNotFound) {
				t.Error(err)
			}
		}
		if n := store.count.Load(); n != 2 {
			t.Errorf("the store was asked %d times for two ids", n)
		}
		none := crm()
		none.ID = "none"
		r.define(t, boss, "ops", none) // by another vault
		time.Sleep(5 * time.Second)    // in the bubble
		if err := resolve("none"); errors.Is(err, tokenvault.ErrNotFound) {
			t.Error("a new provider is not seen after five seconds")
		}
	})
}

func TestCheckAppAsksTheTokenEndpoint(t *testing.T) {
	r := newRig(t, custom)
	found, err := r.CheckApp(t.Context(), admin, "", "mail")
	if err != nil || found.CallbackURL != r.CallbackURL(found.App) || found.App.ClientID != "client" {
		t.Fatalf("found = %+v, %v", found, err)
	}
	if exchanges, _, _ := r.flow.counts(); exchanges != 1 || found.Exchange != nil {
		t.Errorf("%d exchanges, %v: want what the flow said", exchanges, found.Exchange)
	}
	if n := len(r.connections(t)); n != 0 {
		t.Errorf("%d connections", n)
	}
	for name, actor := range map[string]tokenvault.Actor{"user": aliceUser, "agent": aliceAgent, "another's administrator": boss} {
		if _, err := r.CheckApp(t.Context(), actor, "", "mail"); !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("by %s: %v, want ErrDenied", name, err)
		}
	}
	r.define(t, boss, "ops", crm())
	if _, err := r.CheckApp(t.Context(), boss, "ops", "crm"); !errors.Is(err, tokenvault.ErrNoApp) {
		t.Errorf("without an app: %v, want ErrNoApp", err)
	}
	if _, err := r.CheckApp(t.Context(), admin, "", "crm"); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("an organization's provider, for the tenant: %v, want ErrNotFound", err)
	}
}
