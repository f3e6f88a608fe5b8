package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

const crm = `{"provider":{"name":"CRM","authMethod":"oauth2","hosts":["api.crm.example"],"oauth2":{
	"authorizationUrl":"https://crm.example/authorize","tokenUrl":"https://crm.example/token","defaultLifetime":"12h"}}}`

// unlinted has custom providers, of which only the addresses are checked.
func unlinted(o *tokenvault.Options) {
	o.LintProvider = func(tokenvault.Provider) error { return nil }
}

func (r *rig) adminKey(t *testing.T, organizationID string) string {
	t.Helper()
	return r.key(t, tokenvault.APIKeyInput{Name: "admin " + organizationID, Kind: tokenvault.ActorAdmin, Owner: tokenvault.Owner{OrganizationID: organizationID}})
}

func TestAProviderIsDefinedReadReplacedAndDeleted(t *testing.T) {
	r := newRig(t, unlinted)
	key := r.adminKey(t, "")
	put := r.with(key, "PUT", "/v1/providers/crm", crm)
	put.want(t, http.StatusOK, "")
	got := r.with(key, "GET", "/v1/providers/crm", "")
	if got.text != put.text {
		t.Errorf("stored %s\nread   %s", put.text, got.text)
	}
	for path, want := range map[string]any{
		"custom": true, "version": float64(1), "provider.id": "crm", "provider.service": "crm",
		"provider.oauth2.tokenUrl": "https://crm.example/token", "provider.oauth2.defaultLifetime": "12h0m0s",
	} {
		if v := got.json(t, path); v != want {
			t.Errorf("%s = %v, want %v", path, v, want)
		}
	}
	again := strings.Replace(got.text, `"custom":true,`, "", 1) // what was read, edited and sent back
	again = again[:strings.Index(again, `,"createdAt"`)] + "}"
	r.with(key, "PUT", "/v1/providers/crm", strings.Replace(again, `"CRM"`, `"Customers"`, 1)).want(t, http.StatusOK, "")
	r.with(key, "PUT", "/v1/providers/crm", again).want(t, http.StatusConflict, "conflict")

	if list := r.as("alice", "GET", "/providers", ""); !strings.Contains(list.text, `"Customers"`) || strings.Contains(list.text, "defaultLifetime") {
		t.Errorf("the browser's list: %s", list.text)
	}
	if list := r.with(r.agentKey(t, "alice"), "GET", "/v1/providers", ""); !strings.Contains(list.text, `"Customers"`) {
		t.Errorf("the agents' list: %s", list.text)
	}
	r.with(key, "POST", "/v1/apps", `{"providerId":"crm","clientId":"client"}`).want(t, http.StatusOK, "")
	r.with(key, "DELETE", "/v1/providers/crm", "").want(t, http.StatusConflict, "in_use")
	r.with(key, "DELETE", "/v1/apps/crm", "").want(t, http.StatusOK, "")
	r.with(key, "DELETE", "/v1/providers/crm", "").want(t, http.StatusOK, "")
	r.with(key, "DELETE", "/v1/providers/crm", "").want(t, http.StatusNotFound, "not_found")
	r.with(key, "GET", "/v1/providers/crm", "").want(t, http.StatusNotFound, "not_found")
}

func TestACatalogsProviderIsReadAndNotReplaced(t *testing.T) {
	r := newRig(t, unlinted)
	key := r.adminKey(t, "")
	if got := r.with(key, "GET", "/v1/providers/mail", ""); got.json(t, "custom") != false || got.json(t, "provider.id") != "mail" {
		t.Errorf("%d %s", got.StatusCode, got.text)
	}
	r.with(key, "PUT", "/v1/providers/mail", crm).want(t, http.StatusBadRequest, "invalid")
	r.with(key, "DELETE", "/v1/providers/mail", "").want(t, http.StatusNotFound, "not_found")
}

func TestOnlyAdministratorsReadAndWriteDefinitions(t *testing.T) {
	r := newRig(t, unlinted)
	confined := r.adminKey(t, "acme")
	for method, body := range map[string]string{"GET": "", "PUT": crm, "DELETE": ""} {
		r.with(r.agentKey(t, "alice"), method, "/v1/providers/crm", body).want(t, http.StatusForbidden, "denied")
		backend := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend, Owner: tokenvault.Owner{OrganizationID: "acme"}})
		if res := r.with(backend, method, "/v1/providers/crm?organizationId=acme", body); res.StatusCode != http.StatusForbidden {
			t.Errorf("a back end's %s: %d %s", method, res.StatusCode, res.text)
		}
	}
	r.with(confined, "PUT", "/v1/providers/crm?organizationId=other", crm).want(t, http.StatusForbidden, "denied")
	r.with(confined, "PUT", "/v1/providers/crm", crm).want(t, http.StatusOK, "") // its own organization's
	r.with(r.adminKey(t, ""), "GET", "/v1/providers/crm", "").want(t, http.StatusNotFound, "not_found")
	if got := r.with(r.adminKey(t, ""), "GET", "/v1/providers/crm?organizationId=acme", ""); got.json(t, "organizationId") != "acme" {
		t.Errorf("%d %s", got.StatusCode, got.text)
	}
	if list := r.as("root", "GET", "/providers", ""); !strings.Contains(list.text, `"crm"`) {
		t.Errorf("the organization's list: %s", list.text)
	}
	if list := r.as("alice", "GET", "/providers", ""); strings.Contains(list.text, "crm") {
		t.Errorf("somebody else's list: %s", list.text)
	}
	r.as("alice", "GET", "/oauth/authorize?providerId=crm", "").want(t, http.StatusNotFound, "not_found")
}

func TestA1AnotherOrganizationsProvidersDoNotExist(t *testing.T) {
	r := newRig(t, unlinted)
	r.with(r.adminKey(t, "acme"), "PUT", "/v1/providers/crm", crm).want(t, http.StatusOK, "")
	evil := r.adminKey(t, "evil")
	for _, method := range []string{"GET", "DELETE"} {
		there, never := r.with(evil, method, "/v1/providers/crm", ""), r.with(evil, method, "/v1/providers/none", "")
		if there.StatusCode != http.StatusNotFound || there.text != never.text {
			t.Errorf("%s: %d %s, and for what never was: %s", method, there.StatusCode, there.text, never.text)
		}
		r.with(evil, method, "/v1/providers/crm?organizationId=acme", "").want(t, http.StatusForbidden, "denied")
	}
	r.with(evil, "PUT", "/v1/providers/crm", crm).want(t, http.StatusOK, "") // one of its own
	if got := r.with(r.adminKey(t, "acme"), "GET", "/v1/providers/crm", ""); got.json(t, "version") != float64(1) {
		t.Errorf("%d %s", got.StatusCode, got.text)
	}
}

func TestADefinitionThatIsNotSoundIsRefusedByField(t *testing.T) {
	r := newRig(t, unlinted)
	key := r.adminKey(t, "")
	for name, c := range map[string]struct{ body, field string }{
		"private address": {strings.Replace(crm, "https://crm.example/token", "https://10.0.0.1/canary", 1), "oauth2.tokenUrl"},
		"odd duration":    {strings.Replace(crm, `"12h"`, `"canary"`, 1), "oauth2.defaultLifetime"},
		"unknown field":   {strings.Replace(crm, `"defaultLifetime"`, `"canary"`, 1), "body"},
		"another id":      {strings.Replace(crm, `"name"`, `"id":"canary","name"`, 1), "provider.id"},
	} {
		res := r.with(key, "PUT", "/v1/providers/crm", c.body)
		if res.StatusCode != http.StatusBadRequest || res.json(t, "field") != c.field || strings.Contains(res.text, "canary") {
			t.Errorf("%s: %d %s, want field %s", name, res.StatusCode, res.text, c.field)
		}
	}
}
