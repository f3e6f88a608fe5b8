package apikeyflow_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestAKeyIsConnectedAndUsed(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		asked := r.ask(t, tokenvault.ReleaseToken)
		if asked.AuthMethod != tokenvault.AuthAPIKey || asked.Reason != tokenvault.ReasonMissing {
			t.Fatalf("asked for %s because of %s", asked.AuthMethod, asked.Reason)
		}
		plan, err := r.PlanConnect(t.Context(), aliceUser, asked.ID)
		if err != nil || plan.Way != tokenvault.WayEnter || plan.Connecting != tokenvault.WayEnter {
			t.Fatalf("PlanConnect: %s, %v", plan.Way, err)
		}
		if _, err := r.StartConnect(t.Context(), aliceUser, tokenvault.StartConnect{AuthRequestID: asked.ID}); err == nil {
			t.Error("StartConnect sends a browser somewhere")
		}
		r.submit(t, asked.ID, " \t"+goodKey+"\u00a0 ")
		if probe := r.service.seen()[0]; probe.URL.Path != "/v1/me" || probe.Header.Get("Api-Version") != "3" || probe.Header.Get("X-Api-Key") != goodKey {
			t.Errorf("the probe is %s %v", probe.URL, probe.Header)
		}
		list := r.connections(t)
		if len(list) != 1 || list[0].Account != (tokenvault.Account{ID: "acc-1", Label: "acc-1@acme.example"}) || !list[0].ExpiresAt.IsZero() {
			t.Fatalf("connections: %+v", list)
		}

		access, err := r.resolve(t, tokenvault.ReleaseToken)
		if err != nil {
			t.Fatal(err)
		}
		cred, err := access.Reveal()
		if err != nil || cred.TokenType != tokenvault.TokenTypeAPIKey || cred.Fields["apiKey"].Reveal() != goodKey || !cred.AccessToken.IsZero() {
			t.Errorf("Reveal: %+v, %v", cred, err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.service.URL+"/v1/me", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: access.Transport(nil)}).Do(req)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("the call: %v, %v", res, err)
		}
		_ = res.Body.Close()
		if err := r.Revoke(t.Context(), aliceUser, list[0].ID); err != nil {
			t.Error(err)
		}
	})
}

func TestAKeyThatIsRefusedIsNotKept(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		id := r.ask(t, tokenvault.ReleaseInject).ID
		_, err := r.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: id, Values: values("canary-key-wrong")})
		field, ok := errors.AsType[*tokenvault.FieldError](err)
		if !ok || field.Field != "apiKey" || strings.Contains(err.Error(), "canary") {
			t.Errorf("err = %v, want a FieldError of apiKey without the key", err)
		}
		if now, err := r.AuthRequest(t.Context(), aliceUser, id); err != nil || now.Status != tokenvault.AuthPending {
			t.Errorf("the request is %s, %v, want pending", now.Status, err)
		}
		if list := r.connections(t); len(list) != 0 {
			t.Errorf("%d connections", len(list))
		}
		if n := count(r.events(t), "connect.refused:credential"); n != 1 {
			t.Errorf("%d refusals are audited, want 1", n)
		}
	})
}

func TestNothingIsKeptWhileTheServiceIsDown(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		id := r.ask(t, tokenvault.ReleaseInject).ID
		for status, transient := range map[int]bool{503: true, 429: true, 404: false, 302: false} {
			r.service.set(func() { r.service.status = status })
			_, err := r.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: id, Values: values(goodKey)})
			failed, ok := errors.AsType[*tokenvault.ProviderError](err)
			if !ok || failed.Transient != transient || failed.Status != status || strings.Contains(err.Error(), "canary") {
				t.Errorf("status %d: err = %v", status, err)
			}
		}
		r.service.CloseClientConnections()
		r.service.Close()
		_, err := r.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: id, Values: values(goodKey)})
		if failed, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || !failed.Transient || strings.Contains(err.Error(), "canary") {
			t.Errorf("without a service: err = %v", err)
		}
		if list := r.connections(t); len(list) != 0 {
			t.Errorf("%d connections", len(list))
		}
	})
}

func TestWhatIsNoValueIsRefusedBeforeTheServiceIsAsked(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		id := r.ask(t, tokenvault.ReleaseInject).ID
		for name, in := range map[string]map[string]tokenvault.Secret{
			"empty": values(""), "spaces": values("  "), "missing": {}, "line feed": values(goodKey + "\n"), "header": values(goodKey + "\r\nX-Canary: 1"),
			"control": values("canary-key-\x00"), "delete": values("canary-key-\x7f"), "no UTF-8": values("canary-key-\xff"), "zero width": values("canary-key-1\u200b"),
			"too long": values("canary-key-" + strings.Repeat("x", 8<<10)), "pattern": values("other-canary"), "pattern at an end": values("x" + goodKey),
			"another field": {"apiKey": tokenvault.NewSecret(goodKey), "canary": tokenvault.NewSecret("x")},
		} {
			_, err := r.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: id, Values: in})
			if !errors.Is(err, tokenvault.ErrInvalid) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: err = %v, want ErrInvalid that quotes nothing", name, err)
			}
		}
		if n := len(r.service.seen()); n != 0 {
			t.Errorf("the service was asked %d times", n)
		}
	})
}

func TestOnlyTheProvenUserSubmits(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		id := r.ask(t, tokenvault.ReleaseInject).ID
		visitor := tokenvault.Actor{Kind: tokenvault.ActorVisitor, ID: "visitor", Owner: tokenvault.Owner{Tenant: "default"}}
		backend := tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "helper", Owner: alice}
		for name, tc := range map[string]struct {
			actor tokenvault.Actor
			want  error
		}{
			"another user": {bobUser, tokenvault.ErrNotFound}, "a visitor": {visitor, tokenvault.ErrDenied},
			"the agent": {aliceAgent, tokenvault.ErrDenied}, "a back end": {backend, tokenvault.ErrDenied}, "an administrator": {admin, tokenvault.ErrNotFound},
		} {
			if _, err := r.SubmitConnect(t.Context(), tc.actor, tokenvault.SubmitConnect{AuthRequestID: id, Values: values(goodKey)}); !errors.Is(err, tc.want) {
				t.Errorf("%s: err = %v, want %v", name, err, tc.want)
			}
		}
		if _, err := r.PlanConnect(t.Context(), visitor, id); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("a visitor's plan: %v, want ErrUnauthenticated", err)
		}
		if n := len(r.service.seen()); n != 0 {
			t.Errorf("the service was asked %d times", n)
		}
		r.submit(t, id, goodKey)
		if _, err := r.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: id, Values: values(goodKey)}); !errors.Is(err, tokenvault.ErrConflict) {
			t.Errorf("a settled request: %v, want ErrConflict", err)
		}
	})
}

func TestAKeyHasNoScopes(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		_, err := r.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "acme-apikey", Scopes: []string{"mail.send"}})
		if field, ok := errors.AsType[*tokenvault.FieldError](err); !ok || field.Field != "scopes" {
			t.Errorf("Resolve: %v, want a FieldError of scopes", err)
		}
		_, err = r.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "acme-apikey", Scopes: []string{"mail.send"}})
		if field, ok := errors.AsType[*tokenvault.FieldError](err); !ok || field.Field != "scopes" {
			t.Errorf("RequestConnect: %v, want a FieldError of scopes", err)
		}
	})
}

// An upstream 401 leads to the probe: a key that passes is used once more, one that
// fails needs its owner, and a new key heals the connection in place.
func TestAKeyThatTheServiceRefusesIsProbed(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		r.submit(t, r.ask(t, tokenvault.ReleaseInject).ID, goodKey)
		access, err := r.resolve(t, tokenvault.ReleaseInject)
		if err != nil {
			t.Fatal(err)
		}
		again, err := access.Rejected(t.Context())
		if err != nil || again.Connection().Version != 1 || again.Connection().Status != tokenvault.ConnectionActive {
			t.Fatalf("a key that passes its probe: %v", err)
		}

		r.service.set(func() { r.service.status = 500 })
		fresh := r.otherProcess(t)
		if access, err = fresh.resolve(t, tokenvault.ReleaseInject); err != nil {
			t.Fatal(err)
		}
		_, err = access.Rejected(t.Context())
		if failed, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || !failed.Transient {
			t.Errorf("a service that is down: %v", err)
		}
		r.service.set(func() { r.service.status, r.service.accounts = 0, map[string]string{nextKey: "acc-1"} })
		_, err = access.Rejected(t.Context())
		asked := required(t, err)
		first := r.connections(t)[0]
		if first.Status != tokenvault.ConnectionNeedsReauth || first.Reason != tokenvault.ReauthRejected || asked.ConnectionID != first.ID {
			t.Fatalf("after a failed probe: %s, %s, asked for %s", first.Status, first.Reason, asked.ConnectionID)
		}

		r.submit(t, asked.ID, nextKey)
		list := r.connections(t)
		if len(list) != 1 || list[0].ID != first.ID || list[0].Status != tokenvault.ConnectionActive || list[0].Version != 2 {
			t.Errorf("healed: %+v", list)
		}
		events := r.events(t)
		if count(events, "credential.probed") != 1 || count(events, "connection.needs_reauth:rejected") != 1 {
			t.Errorf("events: %v", events)
		}
	})
}

func TestAKeyThatPassesItsProbeAndIsRefusedTwiceNeedsItsOwner(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		r.submit(t, r.ask(t, tokenvault.ReleaseInject).ID, goodKey)
		access, err := r.resolve(t, tokenvault.ReleaseInject)
		if err != nil {
			t.Fatal(err)
		}
		if access, err = access.Rejected(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = access.Rejected(t.Context())
		required(t, err)
		if c := r.connections(t)[0]; c.Reason != tokenvault.ReauthUpstream {
			t.Errorf("reason = %s, want upstream_401", c.Reason)
		}
	})
}

func TestC23AKeyOfAnotherAccountIsRefused(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		r.submit(t, r.ask(t, tokenvault.ReleaseToken).ID, goodKey)
		again, err := r.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "acme-apikey", ConnectionID: r.connections(t)[0].ID})
		if err != nil {
			t.Fatal(err)
		}
		r.service.set(func() { r.service.accounts[nextKey] = "acc-2" })
		if _, err := r.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: again.ID, Values: values(nextKey)}); !errors.Is(err, tokenvault.ErrAccountMismatch) {
			t.Errorf("err = %v, want ErrAccountMismatch", err)
		}
		if noted, err := r.AuthRequest(t.Context(), aliceUser, again.ID); err != nil || noted.Notice != tokenvault.NoticeOtherAccount {
			t.Errorf("who waits is told %q, %v", noted.Notice, err)
		}
		access, err := r.resolve(t, tokenvault.ReleaseToken)
		if err != nil {
			t.Fatal(err)
		}
		if cred, err := access.Reveal(); err != nil || cred.Fields["apiKey"].Reveal() != goodKey {
			t.Errorf("the old key was not kept: %v", err)
		}
	})
}

func TestAKeyIsNowhereInTheClear(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		r.submit(t, r.ask(t, tokenvault.ReleaseToken).ID, goodKey)
		if _, err := r.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: r.askBob(t), Values: values(goodKey)}); err == nil {
			t.Error("alice submits for bob")
		}
		r.events(t)
		if strings.Contains(r.log.String(), "canary") {
			t.Errorf("the log: %s", r.log)
		}
		if r.dir == "" {
			return
		}
		files, err := os.ReadDir(r.dir)
		if err != nil || !slices.ContainsFunc(files, func(f os.DirEntry) bool { return f.Name() == "vault.db" }) {
			t.Fatalf("no database: %v", err)
		}
		for _, f := range files {
			content, err := os.ReadFile(filepath.Join(r.dir, f.Name()))
			if err != nil || bytes.Contains(content, []byte("canary")) {
				t.Errorf("%s holds a key, or cannot be read: %v", f.Name(), err)
			}
		}
	})
}
