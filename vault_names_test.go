package tokenvault_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// listed returns the connections that the actor sees, by id.
func (r *rig) listed(t *testing.T, actor tokenvault.Actor) map[string]tokenvault.Connection {
	t.Helper()
	list, err := r.Connections(t.Context(), actor, tokenvault.Page{})
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]tokenvault.Connection{}
	for _, c := range list {
		byID[c.ID] = c
	}
	return byID
}

func TestOnlyItsOwnerNamesAConnection(t *testing.T) {
	r := newRig(t)
	own, shared := r.connectAs(t, carol, "carol", false), r.sharedBy(t, dave)
	backend := tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "host", Owner: carol.Owner}
	backendOfAll := tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "host", Owner: acme}
	otherChief := chief
	otherChief.Owner.OrganizationID = "globex"
	for _, tc := range []struct {
		name  string
		actor tokenvault.Actor
		id    string
		want  error
	}{
		{"its owner", carol, own, nil},
		{"a back end for its owner", backend, own, nil},
		{"another member", dave, own, tokenvault.ErrNotFound},
		{"an administrator, a user's", chief, own, tokenvault.ErrNotFound},
		{"its owner's agent", helperOf(carol), own, tokenvault.ErrDenied},
		{"the operator", admin, own, tokenvault.ErrNotFound},
		{"an administrator, the organization's", chief, shared, nil},
		{"a back end for the organization", backendOfAll, shared, nil},
		{"who shared it", dave, shared, tokenvault.ErrDenied},
		{"another member, the organization's", carol, shared, tokenvault.ErrDenied},
		{"the organization's agent", acmeAgent, shared, tokenvault.ErrDenied},
		{"another organization's administrator", otherChief, shared, tokenvault.ErrNotFound},
		{"a back end for a member", backend, shared, tokenvault.ErrDenied},
	} {
		before := r.listed(t, carol)[tc.id].Name
		c, err := r.Rename(t.Context(), tc.actor, tc.id, tc.name)
		if !errors.Is(err, tc.want) || err == nil && c.Name != tc.name {
			t.Errorf("%s: %q, %v, want %v", tc.name, c.Name, err, tc.want)
		}
		if now := r.listed(t, carol)[tc.id].Name; err != nil && now != before {
			t.Errorf("%s is refused, and it is named %q", tc.name, now)
		}
	}
	if err := r.Revoke(t.Context(), carol, own); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rename(t.Context(), carol, own, "gone"); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("once revoked: %v", err)
	}
}

func TestANameIsCleaned(t *testing.T) {
	r := newRig(t)
	id := r.connectAs(t, carol, "carol", false)
	long := strings.Repeat("ü", tokenvault.MaxConnectionName)
	for _, tc := range []struct{ name, want string }{
		{" Work\n", "Work"}, {"Arbeit & Büro", "Arbeit & Büro"}, {"👩‍💻 dev", "👩‍💻 dev"}, {"❤\ufe0f 한국", "❤\ufe0f 한국"}, {long, long}, {" \t", ""}, {"\u200d", ""},
	} {
		if c, err := r.Rename(t.Context(), carol, id, tc.name); err != nil || c.Name != tc.want {
			t.Errorf("%q: named %q, %v, want %q", tc.name, c.Name, err, tc.want)
		}
	}
	before := len(r.events(t, tokenvault.EventRenamed))
	for _, name := range []string{long + "x", "a\nb", "a\x00b", "a\x7f b", "a\u202eb", "a\u2028b", "a\xffb", "a\ufeffb", "\u3164", "a\u115fb", "a\u034fb", "\u2800\u2800"} {
		_, err := r.Rename(t.Context(), carol, id, name)
		field, ok := errors.AsType[*tokenvault.FieldError](err)
		if !ok || field.Field != "name" || strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if n := len(r.events(t, tokenvault.EventRenamed)); n != before {
		t.Errorf("%d events of names that are refused", n-before)
	}
}

// The log tells who named which connection, not how.
func TestAuditHasNoNames(t *testing.T) {
	r := newRig(t)
	id := r.connectAs(t, carol, "carol", false)
	for range 2 { // the second changes nothing
		if _, err := r.Rename(t.Context(), carol, id, "Project Canary"); err != nil {
			t.Fatal(err)
		}
	}
	events := r.events(t, tokenvault.EventRenamed)
	if len(events) != 1 || events[0].ConnectionID != id || events[0].ActorID != "carol" || events[0].ProviderID != "mail" || events[0].Detail != "" {
		t.Errorf("events = %+v", events)
	}
}

// A name stays while credentials come and go. An access does not tell it.
func TestANameOutlivesCredentials(t *testing.T) {
	r := newRig(t)
	id := r.connectAs(t, carol, "carol", false)
	r.allow(t, carol, helperOf(carol))
	if _, err := r.Rename(t.Context(), carol, id, "Work"); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(2 * time.Hour)
	access, err := r.Resolve(t.Context(), helperOf(carol), tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken})
	if err != nil || access.Connection().ID != id || access.Connection().Name != "" {
		t.Fatalf("access to %+v, %v", access.Connection(), err)
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != 1 {
		t.Fatalf("%d refreshes", refreshes)
	}
	again := r.connectAs(t, carol, "carol", false)
	if _, err := r.Share(t.Context(), carol, id); err != nil {
		t.Fatal(err)
	}
	if c := r.listed(t, dave)[id]; again != id || c.Name != "Work" || c.Version != 4 {
		t.Errorf("after a refresh, a reconnect and sharing: %+v", c)
	}
}

// Who sees a connection sees when it was used and by which agent; an agent learns
// of itself only.
func TestALastUseIsToldToPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		id := r.sharedBy(t, carol)
		mailer := helperOf(dave)
		mailer.ID = "mailer"
		r.allow(t, dave, mailer)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = r.Run(ctx) }()
		check := tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken}
		if _, err := r.Check(ctx, mailer, check); err != nil {
			t.Fatal(err)
		}
		wait(time.Minute)
		if c := r.listed(t, carol)[id]; !c.LastUsedAt.IsZero() || c.LastUsedBy != "" {
			t.Errorf("before any use: used by %q at %s", c.LastUsedBy, c.LastUsedAt)
		}
		r.used(t, helperOf(carol))
		r.used(t, mailer)
		wait(time.Minute)
		synctest.Wait()
		for _, tc := range []struct {
			actor tokenvault.Actor
			want  string
		}{{carol, "mailer"}, {dave, "mailer"}, {chief, "mailer"}, {mailer, "mailer"}, {helperOf(carol), ""}, {acmeAgent, ""}} {
			if c := r.listed(t, tc.actor)[id]; c.LastUsedBy != tc.want || !c.LastUsedAt.Equal(r.clock.Now().UTC().Truncate(time.Microsecond)) {
				t.Errorf("%s of %q: used by %q at %s", tc.actor.ID, tc.actor.Owner.UserID, c.LastUsedBy, c.LastUsedAt)
			}
		}
		r.used(t, helperOf(carol))
		if err := r.Close(t.Context()); err != nil { // what is left is noted at the end
			t.Fatal(err)
		}
		if c := r.listed(t, dave)[id]; c.LastUsedBy != "helper" {
			t.Errorf("at the end: used by %q", c.LastUsedBy)
		}
	})
}

// busyTouches fails the first time that uses are noted, after the connection was
// used again.
type busyTouches struct {
	tokenvault.Store

	meanwhile func()
}

func (s *busyTouches) TouchConnections(ctx context.Context, tenant string, uses []tokenvault.ConnectionUse, idle time.Duration) error {
	if use := s.meanwhile; use != nil {
		s.meanwhile = nil
		use()
		return tokenvault.ErrUnavailable
	}
	return s.Store.TouchConnections(ctx, tenant, uses, idle)
}

// A use that cannot be noted is kept, unless there was a later one.
func TestAnOlderUseDoesNotReplaceALaterOne(t *testing.T) {
	for _, later := range []string{"", "mailer"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			store := &busyTouches{Store: r.store}
			r.Vault = newVault(t, store, r.key, r.flow)
			id := r.connectAs(t, carol, "carol", false)
			first, second := helperOf(carol), helperOf(carol)
			second.ID = "mailer"
			r.allow(t, carol, first)
			r.allow(t, carol, second)
			r.used(t, first)
			store.meanwhile = func() {
				if later != "" {
					r.used(t, second)
				}
			}
			runFor(t, 61*time.Second, r.Vault)
			if c := r.listed(t, carol)[id]; c.LastUsedBy != "" {
				t.Errorf("noted although that failed: %q", c.LastUsedBy)
			}
			if err := r.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c := r.listed(t, carol)[id]; c.LastUsedBy != cmp.Or(later, "helper") {
				t.Errorf("used by %q, want %q", c.LastUsedBy, cmp.Or(later, "helper"))
			}
		})
	}
}
