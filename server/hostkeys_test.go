package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testpg"
)

// onHost starts a site whose database is the host application's too. Users are
// called alice, or bob@acme in an organization.
func onHost(t *testing.T, onDelete string) *pgSite {
	t.Helper()
	pg, err := testpg.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Close)
	dsn := pg.Database(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	pg.Exec(t, name, `CREATE TABLE users (id text PRIMARY KEY)`, `CREATE TABLE organizations (id varchar(50) PRIMARY KEY)`,
		`INSERT INTO users VALUES ('alice'), ('bob'), ('carol')`, `INSERT INTO organizations VALUES ('acme')`,
		`GRANT SELECT, REFERENCES ON users, organizations TO `+name)
	sessions := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("sid")
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		user, organization, _ := strings.Cut(c.Value, "@")
		_, _ = fmt.Fprintf(w, `{"userId": %q, "organizationId": %q}`, user, organization)
	}))
	t.Cleanup(sessions.Close)
	p := onDatabase(t, pg, dsn, "--session-url="+sessions.URL, "--user-table=users", "--organization-table=public.organizations", "--on-delete="+onDelete)
	p.look(t)
	return p
}

// connectedIn connects an account of a user by the app of the user's organization.
func (p *pgSite) connectedIn(t *testing.T, organization, user string) *client.Client {
	t.Helper()
	app, err := p.SetApp(t.Context(), p.admin, tokenvault.AppInput{
		OrganizationID: organization, ProviderID: "idp", ClientID: clientID, ClientSecret: tokenvault.NewSecret(clientSecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.op.Callbacks(t, p.callback(), p.CallbackURL(app))
	_, key, err := p.CreateAPIKey(t.Context(), p.admin, tokenvault.APIKeyInput{
		Name: "n", Kind: tokenvault.ActorAgent, AgentID: "assistant", Owner: tokenvault.Owner{Tenant: p.Tenant(), OrganizationID: organization, UserID: user},
	})
	if err != nil {
		t.Fatal(err)
	}
	agent, err := client.New(p.url, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.browser(t, user+"@"+organization).connect(t, mustAsk(t, agent), user)
	return agent
}

// left counts the rows that name an id, in all tables but those that outlive owners.
func (p *pgSite) left(t *testing.T, user, organization string) map[string]int {
	t.Helper()
	left := map[string]int{}
	for table, condition := range map[string]string{
		"connections": `user_id = $1 OR organization_id = $2`, "permissions": `user_id = $1 OR organization_id = $2`,
		"auth_requests": `user_id = $1 OR organization_id = $2`, "api_keys": `user_id = $1 OR organization_id = $2`,
		"apps": `$1 = '' OR organization_id = $2`, "data_keys": `$1 = '' OR space = 'org:' || $2 AND length(wrapped) > 0`,
		"host_deletions": `user_id = $1 OR organization_id = $2`,
	} {
		var n int
		if err := p.conn.QueryRow(t.Context(), `SELECT count(*) FROM tokenvault.`+table+` WHERE `+condition, user, organization).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			left[table] = n
		}
	}
	return left
}

// ended waits until the provider takes a token no more.
func (p *pgSite) ended(t *testing.T, token *client.Token) {
	t.Helper()
	for end := time.Now().Add(time.Minute); p.accepted(t, token); {
		if time.Now().After(end) {
			t.Fatal("the grant goes on at the provider")
		}
		<-time.After(50 * time.Millisecond)
	}
}

// With cascade, the host's DELETE ends all access at once. The server then ends the
// grants at the provider, by the app of an organization that is gone too, leaves
// nothing, and writes it into the log.
func TestADeletionByTheHostEndsGrants(t *testing.T) {
	p := onHost(t, "cascade")
	agents := []*client.Client{p.agent(t, "alice"), p.connectedIn(t, "acme", "bob"), p.agent(t, "carol")}
	p.browser(t, "alice").connect(t, mustAsk(t, agents[0]), "alice")
	p.browser(t, "carol").connect(t, mustAsk(t, agents[2]), "carol")
	var tokens []*client.Token
	for _, agent := range agents {
		tokens = append(tokens, mustResolve(t, agent))
	}
	p.exec(t, `DELETE FROM users WHERE id = 'alice'`)
	p.exec(t, `DELETE FROM organizations WHERE id = 'acme'`)
	for i, agent := range agents[:2] {
		if _, err := agent.Resolve(t.Context(), ask()); err == nil {
			t.Errorf("agent %d was given a credential", i)
		}
	}
	p.stop() // a server looks when it starts, and each half a minute
	p.serve(t)
	for _, token := range tokens[:2] {
		p.ended(t, token)
	}
	if left := p.left(t, "alice", "acme"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if !p.accepted(t, tokens[2]) {
		t.Error("carol's grant was ended")
	}
	mustResolve(t, agents[2])
	events, err := p.Events(t.Context(), p.admin, tokenvault.EventQuery{Kind: tokenvault.EventOwnerDeleted})
	var gone []tokenvault.Owner
	for _, e := range events {
		if gone = append(gone, e.Owner); e.ActorKind != tokenvault.ActorSystem {
			t.Errorf("by %s", e.ActorKind)
		}
	}
	want := []tokenvault.Owner{{Tenant: "default", UserID: "alice"}, {Tenant: "default", OrganizationID: "acme"}}
	if diff := cmp.Diff(want, gone); err != nil || diff != "" {
		t.Errorf("%v, owners in the log (-want +got):\n%s", err, diff)
	}
	if report, err := p.VerifyAudit(t.Context(), p.admin); err != nil || report.Broken != nil {
		t.Errorf("the audit log: %+v, %v", report, err)
	}
	if found, err := p.VerifySealed(t.Context(), p.admin); err != nil || len(found.Unreadable) > 0 {
		t.Errorf("sealed: %+v, %v", found, err)
	}
}

// Without, the host is told to call DeleteOwner first.
func TestAHostDeletesAfterDeleteOwner(t *testing.T) {
	p := onHost(t, "restrict")
	agent := p.connectedIn(t, "acme", "bob")
	token := mustResolve(t, agent)
	for query, owner := range map[string]tokenvault.Owner{
		`DELETE FROM organizations WHERE id = 'acme'`: {OrganizationID: "acme"}, `DELETE FROM users WHERE id = 'bob'`: {UserID: "bob"},
	} {
		if _, err := p.conn.Exec(t.Context(), query); owner.UserID == "" && (err == nil || !strings.Contains(err.Error(), "call_delete_owner_before_deleting_the_organization")) {
			t.Errorf("%s: %v", query, err)
		}
		if err := p.DeleteOwner(t.Context(), p.admin, owner); err != nil {
			t.Fatal(err)
		}
		p.exec(t, query)
	}
	p.ended(t, token)
	if left := p.left(t, "bob", "acme"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Whoever the host does not have is told so, by the API too.
func TestAStrangerToTheHostIsRefused(t *testing.T) {
	p := onHost(t, "restrict")
	_, key, err := p.CreateAPIKey(t.Context(), p.admin, tokenvault.APIKeyInput{Name: "backend", Kind: tokenvault.ActorBackend})
	if err != nil {
		t.Fatal(err)
	}
	status, text := p.call(t, key.Reveal(), "POST", "/v1/credentials/idp/resolve", `{"owner": {"userId": "mallory"}, "scopes": ["email"]}`)
	if status != http.StatusBadRequest || !strings.Contains(text, `"unknown_owner"`) || strings.Contains(text, "mallory") {
		t.Errorf("status %d: %s", status, text)
	}
}
