package server_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testop"
	"github.com/ai-token-vault/tokenvault/server"
)

// sealedAs is what a row is given of another: its sealed value, and the key that
// this was sealed with.
const sealedAs = `(sealed, key_space, key_version) = (SELECT sealed, key_space, key_version FROM `

// K1: whoever can write the database, but has no root key, moves sealed values
// between rows, owners, fields and tenants, or puts an older one back. None opens.
func TestK1ASealedCredentialOpensInItsPlaceOnly(t *testing.T) {
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	mine := s.connection(t).ID
	s.browser(t, "bob").connect(t, mustAsk(t, s.agent(t, "bob")), "bob")
	bobs := s.connectionsOf(t, "bob")[0].ID
	other := s.otherTenant(t)
	theirs := other.connection(t).ID
	second := s.connectSecond(t)
	s.exec(t, `CREATE TABLE kept AS SELECT sealed, key_space, key_version FROM connections WHERE id = '`+mine+`'`)
	s.expire(t)
	req := ask()
	req.ConnectionID = mine
	if token, err := agent.Resolve(t.Context(), req); err != nil || token.Version != 2 {
		t.Fatalf("refresh: %v", err)
	}
	s.exec(t, `CREATE TABLE good AS SELECT sealed, key_space, key_version FROM connections WHERE id = '`+mine+`'`)
	for name, set := range map[string]string{
		"another row of the owner": sealedAs + `connections WHERE id = '` + second + `')`,
		"another owner's":          sealedAs + `connections WHERE id = '` + bobs + `')`,
		"another tenant's":         sealedAs + `connections WHERE id = '` + theirs + `')`,
		"another field":            sealedAs + `apps WHERE tenant = 'default')`,
		"its own, rolled back":     sealedAs + `kept)`,
		"of another key":           `key_version = key_version + 1`,
		"of another key space":     `key_space = 'tenant'`,
		"a bit flipped":            `sealed = CAST(substr(sealed, 1, length(sealed) - 1) || CASE substr(sealed, -1) WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB)`,
		"cut short":                `sealed = substr(sealed, 1, length(sealed) - 1)`,
		"an older format":          `sealed = CAST(x'00' || substr(sealed, 2) AS BLOB)`,
		"empty":                    `sealed = x''`,
	} {
		t.Run(name, func(t *testing.T) {
			released := len(s.events(t, tokenvault.EventReleased))
			s.exec(t, `UPDATE connections SET `+set+` WHERE id = '`+mine+`'`)
			token, err := agent.Resolve(t.Context(), req)
			if refused, ok := errors.AsType[*client.Error](err); token != nil || !ok || refused.Status != http.StatusInternalServerError {
				t.Errorf("Resolve = %v, %v; want an internal error", token, err)
			}
			if !strings.Contains(s.log.String(), "a stored credential cannot be opened") {
				t.Error("the operator is not told")
			}
			if n := len(s.events(t, tokenvault.EventReleased)); n != released {
				t.Errorf("%d releases were audited", n-released)
			}
			s.exec(t, `UPDATE connections SET `+sealedAs+`good) WHERE id = '`+mine+`'`)
			if _, err := agent.Resolve(t.Context(), req); err != nil {
				t.Errorf("after it was put back: %v", err)
			}
		})
	}
}

// otherTenant is a server of another tenant on the same database, where a user
// called alice has connected too.
func (s *site) otherTenant(t *testing.T) *site {
	t.Helper()
	other := newSite(t, s.op, s.cfg.DataDir, slices.Concat(session(t), []string{"--tenant=other", "--provider-files=" + s.cfg.ProviderFiles[0]})...)
	other.connected(t)
	s.op.Callbacks(t, s.callback(), other.callback())
	return other
}

// connectSecond connects a second account of alice and returns its connection.
func (s *site) connectSecond(t *testing.T) string {
	t.Helper()
	req, err := s.RequestConnect(t.Context(), s.person("alice"), tokenvault.ConnectRequest{ProviderID: "idp", Scopes: []string{"email"}})
	if err != nil {
		t.Fatal(err)
	}
	s.browser(t, "alice").connect(t, req, "alice-at-work")
	for _, c := range s.connectionsOf(t, "alice") {
		if c.Account.ID == "alice-at-work" {
			return c.ID
		}
	}
	t.Fatal("the second account was not connected")
	return ""
}

// K1 for the client's secret: a refresh with a secret of another place is not sent.
func TestK1ASealedClientSecretOpensInItsPlaceOnly(t *testing.T) {
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	s.otherTenant(t)
	s.exec(t, `CREATE TABLE good AS SELECT sealed, key_space, key_version, version FROM apps WHERE tenant = 'default'`)
	for name, set := range map[string]string{
		"another field":    sealedAs + `connections WHERE tenant = 'default')`,
		"another tenant's": sealedAs + `apps WHERE tenant = 'other')`,
		"rolled back":      `version = version + 1`,
	} {
		t.Run(name, func(t *testing.T) {
			s.exec(t, `UPDATE apps SET `+set+` WHERE tenant = 'default'`)
			s.expire(t)
			asked := s.tokenRequests(t)
			if token, err := agent.Resolve(t.Context(), ask()); token != nil || err == nil {
				t.Errorf("Resolve = %v, %v", token, err)
			}
			if n := s.tokenRequests(t) - asked; n != 0 {
				t.Errorf("the provider was asked %d times", n)
			}
			s.exec(t, `UPDATE apps SET (sealed, key_space, key_version, version) = (SELECT * FROM good) WHERE tenant = 'default'`)
			mustResolve(t, agent)
		})
	}
}

// K1 for attempts: the verifier of another attempt is of no use.
func TestK1ASealedAttemptOpensInItsPlaceOnly(t *testing.T) {
	s := strict(t, testop.Options{})
	alice := s.browser(t, "alice")
	back := testop.NewPerson(t, "alice").Authorize(t, alice.confirm(t, mustAsk(t, s.agent(t, "alice")))).String()
	s.browser(t, "bob").confirm(t, mustAsk(t, s.agent(t, "bob")))
	asked := s.tokenRequests(t)
	s.exec(t, `UPDATE attempts SET `+sealedAs+`attempts WHERE user_id = 'bob') WHERE user_id = 'alice'`)
	if end := alice.open(t, back); !strings.HasSuffix(end.url, "error=internal") {
		t.Errorf("the return led to %s", end.url)
	}
	if n := s.tokenRequests(t) - asked; n != 0 || len(s.connectionsOf(t, "alice")) != 0 {
		t.Errorf("%d codes were exchanged", n)
	}
}

// K1 for background work: a payload of other work is not sent, and the work is dead.
func TestK1ASealedJobOpensInItsPlaceOnly(t *testing.T) {
	s := strict(t, testop.Options{})
	s.connected(t)
	second := s.connectSecond(t)
	first := s.connectionsOf(t, "alice")[0].ID
	if first == second {
		first = s.connectionsOf(t, "alice")[1].ID
	}
	s.stop() // nobody works
	opened, err := server.Open(t.Context(), s.cfg, server.NewLogger(s.log, "debug", "text"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{first, second} {
		if err := opened.Vault.Revoke(t.Context(), s.person("alice"), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := opened.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.exec(t, `UPDATE jobs SET `+sealedAs+`jobs WHERE connection_id = '`+second+`') WHERE connection_id = '`+first+`'`)
	s.serve(t)
	for !slices.Equal(s.rows(t, `SELECT state FROM jobs`), []string{"dead"}) { // the other one is done, and gone
		<-time.After(10 * time.Millisecond)
	}
	if n := s.op.Stats(t)["POST /token/revocation"]; n != 1 {
		t.Errorf("%d grants were ended at the provider, want the one whose payload is its own", n)
	}
}

// K1 for data keys: a wrapped key of another owner or tenant opens nothing.
func TestK1AWrappedKeyOpensInItsPlaceOnly(t *testing.T) {
	s := strict(t, testop.Options{})
	s.connected(t)
	s.otherTenant(t)
	s.stop() // no key is cached any more
	for name, from := range map[string]string{
		"another tenant's": `tenant = 'other' AND space LIKE 'user:%'`,
		"another space's":  `tenant = 'default' AND space = 'tenant'`,
	} {
		t.Run(name, func(t *testing.T) {
			s.exec(t, `UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE `+from+`) WHERE tenant = 'default' AND space LIKE 'user:%'`)
			opened, err := server.Open(t.Context(), s.cfg, server.NewLogger(s.log, "debug", "text"))
			if err == nil {
				agent := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "assistant", Owner: s.person("alice").Owner}
				_, err = opened.Vault.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "idp"})
				_ = opened.Close(t.Context())
			}
			if !errors.Is(err, tokenvault.ErrUnsealable) {
				t.Errorf("err = %v, want ErrUnsealable", err)
			}
		})
	}
}
