package httpapi

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const canary = "canary-7f3a9c51d2"

// Whatever is wrong with a request, its answer holds nothing of it.
func TestNoAnswerEchoesWhatWasSent(t *testing.T) {
	r := newRig(t)
	key := r.key(t, tokenKey)
	tried := 0
	for i, table := range [][]route{browserRoutes(), v1Routes()} {
		for _, rt := range table {
			method, path, _ := strings.Cut(rt.pattern, " ")
			call := func(path, body string) answer {
				tried++
				if i == 0 {
					return r.as("root", method, path, body)
				}
				return r.with(key, method, path, body)
			}
			filled := strings.NewReplacer("{id}", canary, "{providerId}", canary, "{appId}", canary, "{deliveryId}", canary).Replace(path)
			for what, res := range canaryIn(rt, filled, call) {
				if strings.Contains(res.text, canary) || strings.Contains(res.Header.Get("Location"), canary) && !strings.Contains(rt.pattern, "authorize") {
					t.Errorf("%s with it in %s: %d %s %s", rt.pattern, what, res.StatusCode, res.Header.Get("Location"), res.text)
				}
				if res.StatusCode >= http.StatusInternalServerError && res.StatusCode != http.StatusNotImplemented {
					t.Errorf("%s with it in %s: %d", rt.pattern, what, res.StatusCode)
				}
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d requests were tried", tried)
	}
}

// What a path or a query says, no body says otherwise: encoding/json would take the
// name of an untagged field, in any case.
func TestNoBodySaysWhatAPathOrQueryDoes(t *testing.T) {
	looked := 0
	for _, rt := range slices.Concat(browserRoutes(), v1Routes()) {
		if rt.in.Kind() != reflect.Struct || !formOf(rt.in).body {
			continue
		}
		for _, field := range reflect.VisibleFields(rt.in) {
			_, inPath := field.Tag.Lookup("path")
			_, inQuery := field.Tag.Lookup("query")
			if !inPath && !inQuery {
				continue
			}
			looked++
			if field.Tag.Get("json") != "-" {
				t.Errorf("%s: a body could set %s.%s: tag it json:\"-\"", rt.pattern, rt.in.Name(), field.Name)
			}
		}
	}
	if looked < 10 {
		t.Errorf("only %d fields were looked at", looked)
	}
}

// canaryIn sends the canary in the path, in each query parameter, as each body
// field in each JSON type, and as the body itself.
func canaryIn(rt route, path string, call func(path, body string) answer) map[string]answer {
	answers := map[string]answer{
		"path": call(path, `{}`), "body": call(path, canary), "string": call(path, `"`+canary+`"`),
		"unknown field": call(path, `{"`+canary+`":1}`), "unknown value": call(path, `{"other":"`+canary+`"}`),
		"unknown query": call(path+"?"+canary+"="+canary, `{}`),
	}
	if rt.in.Kind() != reflect.Struct {
		return answers
	}
	for _, field := range reflect.VisibleFields(rt.in) {
		if name := field.Tag.Get("query"); name != "" {
			answers["query "+name] = call(path+"?"+name+"="+canary+"%00", `{}`)
			answers["query twice "+name] = call(path+"?"+name+"=1&"+name+"="+canary, `{}`)
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		// Control characters make every text field invalid.
		for kind, value := range map[string]string{
			"string": `"` + canary + `\u0000"`, "list": `["` + canary + `\u0000"]`, "object": `{"` + canary + `":"` + canary + `"}`,
			"number": `1e999`, "two": `"` + canary + `"} {"` + canary,
		} {
			answers[kind+" "+name] = call(path, `{"`+name+`":`+value+`}`)
		}
	}
	return answers
}

func TestBadBodiesAreRefused(t *testing.T) {
	r := newRig(t)
	key := r.agentKey(t, "alice")
	const path = "/v1/credentials/mail/resolve"
	for name, res := range map[string]answer{
		"empty":      r.with(key, "POST", path, ""),
		"not json":   r.with(key, "POST", path, "release=token"),
		"form":       r.with(key, "POST", path, `{}`, header("Content-Type", "application/x-www-form-urlencoded")),
		"text":       r.with(key, "POST", path, `{}`, header("Content-Type", "text/plain")),
		"two values": r.with(key, "POST", path, `{} {}`),
		"huge":       r.with(key, "POST", path, `{"runId":"`+strings.Repeat("x", maxBody)+`"}`),
		"unknown":    r.with(key, "POST", path, `{"releaseMode":"token"}`),
		"type":       r.with(key, "POST", path, `{"scopes":"repo"}`),
		"release":    r.with(key, "POST", path, `{"release":"everything"}`),
		"limit":      r.with(key, "GET", "/v1/connections?limit=0", ""),
		"big limit":  r.with(key, "GET", "/v1/connections?limit=100000", ""),
		"not number": r.with(key, "GET", "/v1/connections?limit=ten", ""),
	} {
		if res.StatusCode != http.StatusBadRequest || res.json(t, "code") != "invalid" || res.json(t, "field") == nil {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
	}
}

func TestUnknownProvidersAndMissingAppsAreNamed(t *testing.T) {
	r := newRig(t)
	key := r.agentKey(t, "alice")
	r.with(key, "POST", "/v1/credentials/nothing/resolve", `{}`).want(t, http.StatusNotFound, "not_found")
	res := r.with(key, "POST", "/v1/credentials/bare/resolve", `{}`)
	res.want(t, http.StatusBadRequest, "no_app")
	if detail, _ := res.json(t, "detail").(string); !strings.Contains(detail, "tokenvault app set") {
		t.Errorf("no next step: %s", detail)
	}
	if strings.Contains(res.text, "{mount}") {
		t.Errorf("a placeholder is shown: %s", res.text)
	}
	r.as("alice", "GET", "/oauth/authorize?providerId=nothing", "").want(t, http.StatusNotFound, "not_found")
	r.as("alice", "GET", "/oauth/authorize", "").want(t, http.StatusBadRequest, "invalid")
	r.as("alice", "GET", "/oauth/authorize?providerId=mail&returnTo=https://evil.example", "").want(t, http.StatusBadRequest, "invalid")
}

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	r := newRig(t)
	key := r.agentKey(t, "alice")
	r.with(key, "GET", "/v1/nothing", "").want(t, http.StatusNotFound, "not_found")
	res := r.with(key, "PATCH", "/v1/connections", "")
	res.want(t, http.StatusMethodNotAllowed, "method_not_allowed")
	if res.Header.Get("Allow") == "" {
		t.Error("no Allow header")
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "application/problem+json",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestOtherSitesMayNotWrite(t *testing.T) {
	r := newRig(t)
	id := r.connect(t, "alice")
	crossSite := header("Sec-Fetch-Site", "cross-site")
	r.as("alice", "DELETE", "/credentials/"+id, "", crossSite, header("Origin", "https://evil.example")).want(t, http.StatusForbidden, "denied")
	r.as("alice", "DELETE", "/credentials/"+id, "", crossSite, header("Origin", "https://app.example")).want(t, http.StatusOK, "")
}
