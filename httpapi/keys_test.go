package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func keyKinds() []tokenvault.ActorKind {
	return []tokenvault.ActorKind{tokenvault.ActorAgent, tokenvault.ActorBackend, tokenvault.ActorAdmin}
}

// allScopes returns what the keys of some kind can have.
func allScopes() (scopes []tokenvault.KeyScope) {
	for _, kind := range keyKinds() {
		scopes = append(scopes, tokenvault.ScopesOf(kind).List()...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// keyOf returns a key of the kind with the scopes.
func (r *rig) keyOf(t *testing.T, kind tokenvault.ActorKind, scopes ...tokenvault.KeyScope) string {
	t.Helper()
	in := tokenvault.APIKeyInput{Kind: kind, Scopes: scopes}
	if kind == tokenvault.ActorAgent {
		in.Owner = owner("alice")
	}
	return r.key(t, in)
}

// Every route for keys names its scope, and but for this description of them there
// is none that needs no key.
func TestEveryKeyRouteNeedsAScope(t *testing.T) {
	known := allScopes()
	for _, rt := range v1Routes() {
		if open := rt.pattern == "GET /v1/openapi.json"; open != (rt.scope == "") {
			t.Errorf("%s needs the scope %q", rt.pattern, rt.scope)
		}
		if rt.scope != "" && !slices.Contains(known, rt.scope) {
			t.Errorf("%s needs %s, which no kind of key can have", rt.pattern, rt.scope)
		}
	}
	for _, rt := range browserRoutes() {
		if rt.scope != "" {
			t.Errorf("%s needs a scope: sessions have none", rt.pattern)
		}
	}
}

// A5: a key without the scope that a route needs is told which, on every route and
// for every kind of key; a key with it is not refused for it.
func TestA5AKeyNeedsTheScope(t *testing.T) {
	r := newRig(t)
	request := r.ask(t, "alice")
	fill := strings.NewReplacer("{id}", request.ID, "{providerId}", "mail")
	for _, rt := range v1Routes() {
		if rt.scope == "" {
			continue
		}
		method, path, _ := strings.Cut(rt.pattern, " ")
		for _, kind := range keyKinds() {
			possible := tokenvault.ScopesOf(kind)
			if !possible.Has(rt.scope) {
				refusedFor(t, rt, r.with(r.keyOf(t, kind), method, fill.Replace(path), "{}"))
				continue
			}
			others := slices.DeleteFunc(possible.List(), func(s tokenvault.KeyScope) bool { return s == rt.scope })
			refusedFor(t, rt, r.with(r.keyOf(t, kind, others...), method, fill.Replace(path), "{}"))
			res := r.with(r.keyOf(t, kind, rt.scope, tokenvault.ScopesOf(kind).List()[0]), method, fill.Replace(path), "{}")
			if strings.Contains(res.text, "needs the scope "+string(rt.scope)) {
				t.Errorf("%s: a %s key with the scope: %s", rt.pattern, kind, res.text)
			}
		}
	}
}

func refusedFor(t *testing.T, rt route, res answer) {
	t.Helper()
	if want := "The API key needs the scope " + string(rt.scope); res.StatusCode != http.StatusForbidden ||
		res.json(t, "code") != "denied" || res.json(t, "detail") != want {
		t.Errorf("%s: status %d, %s", rt.pattern, res.StatusCode, res.text)
	}
}

func TestABackEndNamesOwnersWithTheScopeOnly(t *testing.T) {
	r := newRig(t)
	key := r.keyOf(t, tokenvault.ActorBackend, tokenvault.ScopeConnections)
	res := r.with(key, "GET", "/v1/connections?userId=alice", "")
	res.want(t, http.StatusForbidden, "denied")
	if res.json(t, "detail") != "The API key needs the scope act_for" {
		t.Errorf("answer: %s", res.text)
	}
}

func TestKeysAreManaged(t *testing.T) {
	r := newRig(t)
	root := r.keyOf(t, tokenvault.ActorAdmin)
	created := r.with(root, "POST", "/v1/keys", `{"name":"bot","kind":"agent","userId":"alice","scopes":["resolve","connections"]}`)
	created.want(t, http.StatusOK, "")
	first, _ := created.json(t, "key").(string)
	id, _ := created.json(t, "id").(string)
	r.with(first, "GET", "/v1/connections", "").want(t, http.StatusOK, "")
	r.with(first, "GET", "/v1/permissions", "").want(t, http.StatusForbidden, "denied")

	r.with(root, "POST", "/v1/keys/"+id+"/rotate", `{"overlapSeconds":-1}`).want(t, http.StatusBadRequest, "invalid")
	rotated := r.with(root, "POST", "/v1/keys/"+id+"/rotate", `{}`)
	rotated.want(t, http.StatusOK, "")
	second, _ := rotated.json(t, "key").(string)
	r.with(root, "POST", "/v1/keys/"+id+"/rotate", `{}`).want(t, http.StatusConflict, "conflict")
	for _, key := range []string{first, second} { // side by side
		r.with(key, "GET", "/v1/connections", "").want(t, http.StatusOK, "")
		r.with(key, "GET", "/v1/permissions", "").want(t, http.StatusForbidden, "denied")
	}
	next, _ := rotated.json(t, "id").(string)
	again := r.with(root, "POST", "/v1/keys/"+next+"/rotate", `{"overlapSeconds":0}`)
	again.want(t, http.StatusOK, "")
	r.with(second, "GET", "/v1/connections", "").want(t, http.StatusUnauthorized, "unauthenticated")
	r.with(root, "DELETE", "/v1/keys/"+id, "").want(t, http.StatusOK, "")
	r.with(first, "GET", "/v1/connections", "").want(t, http.StatusUnauthorized, "unauthenticated")

	list := r.with(root, "GET", "/v1/keys", "")
	list.want(t, http.StatusOK, "")
	if strings.Count(list.text, `"state":"revoked"`) != 2 || strings.Count(list.text, `"scopes":["connections","resolve"]`) != 3 {
		t.Errorf("list: %s", list.text)
	}
	for _, secret := range []string{first, second} {
		if strings.Contains(list.text, secret[30:]) {
			t.Error("the list shows a key")
		}
	}
	for _, body := range []string{
		`{"name":"x","kind":"agent","userId":"alice","scopes":["audit"]}`,
		`{"name":"x","kind":"agent","userId":"alice","scopes":["act_for"]}`,
		`{"name":"x","kind":"backend","scopes":["keys"]}`,
		`{"name":"x","kind":"admin","scopes":["resolve"]}`,
		`{"name":"x","kind":"admin","scopes":["everything"]}`,
		`{"name":"x","kind":"admin","scopes":[""]}`,
	} {
		r.with(root, "POST", "/v1/keys", body).want(t, http.StatusBadRequest, "invalid")
	}
}
