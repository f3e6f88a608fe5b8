package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestAUserAsksToConnect(t *testing.T) {
	r := newRig(t)
	first := r.as("alice", "POST", "/auth-requests", `{"providerId":"mail","scopes":["read"],"threadId":"t1"}`)
	if first.StatusCode != http.StatusOK || first.json(t, "status") != "pending" || first.json(t, "threadId") != "t1" ||
		first.json(t, "connectUrl") != fmt.Sprint(origin+"/connect/", first.json(t, "authRequestId")) {
		t.Fatalf("asked: %d %s", first.StatusCode, first.text)
	}
	if again := r.as("alice", "POST", "/auth-requests", `{"providerId":"mail","scopes":["read"],"threadId":"t1"}`); again.json(t, "authRequestId") != first.json(t, "authRequestId") {
		t.Errorf("asking again did not join the first: %s", again.text)
	}
	r.as("alice", "POST", "/auth-requests", `{}`).want(t, http.StatusBadRequest, "invalid")
	r.as("alice", "POST", "/auth-requests", `{"providerId":"nosuch"}`).want(t, http.StatusNotFound, "not_found")
	r.as("carol@acme", "POST", "/auth-requests", `{"providerId":"mail","organization":true}`).want(t, http.StatusForbidden, "denied")
	r.as("", "POST", "/auth-requests", `{"providerId":"mail"}`).want(t, http.StatusUnauthorized, "unauthenticated")
	if res := r.as("root", "POST", "/auth-requests", `{"providerId":"mail","organization":true}`); res.json(t, "organizationId") != "acme" ||
		strings.Contains(res.text, "root") {
		t.Errorf("for the organization: %s", res.text)
	}
}
