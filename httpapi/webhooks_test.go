package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

const hook = `{"url":"https://host.example/hooks","types":["auth_request.connected","connection.revoked"]}`

func TestAWebhookIsRegisteredChangedAndDeleted(t *testing.T) {
	r := newRig(t)
	key := r.adminKey(t, "")
	created := r.with(key, "POST", "/v1/webhooks", hook)
	created.want(t, http.StatusOK, "")
	id, _ := created.json(t, "id").(string)
	secret, _ := created.json(t, "secret").(string)
	if !strings.HasPrefix(id, "wh_") || !strings.HasPrefix(secret, "whsec_") || created.json(t, "enabled") != true {
		t.Errorf("created %s", created.text)
	}
	path := "/v1/webhooks/" + id
	for _, res := range []answer{r.with(key, "GET", "/v1/webhooks", ""), r.with(key, "GET", path, "")} {
		res.want(t, http.StatusOK, "")
		if strings.Contains(res.text, "whsec") || !strings.Contains(res.text, id) {
			t.Errorf("it is read as %s", res.text)
		}
	}
	put := r.with(key, "PUT", path, `{"url":"https://other.example/","enabled":false}`)
	if put.want(t, http.StatusOK, ""); put.json(t, "url") != "https://other.example/" || put.json(t, "enabled") != false || !strings.Contains(put.text, `"types":[]`) {
		t.Errorf("changed to %s", put.text)
	}
	rotated := r.with(key, "POST", path+"/rotate", "")
	if rotated.want(t, http.StatusOK, ""); rotated.json(t, "secret") == secret || rotated.json(t, "overlapUntil") == nil {
		t.Errorf("rotated to %s", rotated.text)
	}
	r.with(key, "DELETE", path, "").want(t, http.StatusOK, "")
	r.with(key, "DELETE", path, "").want(t, http.StatusNotFound, "not_found")

	for _, body := range []string{`{"url":"http://host.example/"}`, `{"url":"https://10.0.0.1/"}`, `{"url":""}`} {
		res := r.with(key, "POST", "/v1/webhooks", body)
		if res.want(t, http.StatusBadRequest, "invalid"); res.json(t, "field") != "url" {
			t.Errorf("%s: %s", body, res.text)
		}
	}
}

func TestDeliveriesAreListedAndSentAgain(t *testing.T) {
	r := newRig(t)
	key := r.adminKey(t, "")
	created := r.with(key, "POST", "/v1/webhooks", `{"url":"https://host.example/hooks"}`)
	id, _ := created.json(t, "id").(string)
	path := "/v1/webhooks/" + id
	request := r.ask(t, "alice", "more")
	list := r.with(key, "GET", path+"/deliveries?state=pending", "")
	list.want(t, http.StatusOK, "")
	items, _ := list.json(t, "items").([]any)
	if len(items) != 1 || !strings.Contains(list.text, `"authRequestId":"`+request.ID+`"`) || !strings.Contains(list.text, `"type":"auth_request.created"`) {
		t.Fatalf("deliveries: %s", list.text)
	}
	first, _ := items[0].(map[string]any)
	sent, _ := first["id"].(string)
	again := r.with(key, "POST", path+"/deliveries/"+sent+"/redeliver", "")
	if again.want(t, http.StatusOK, ""); again.json(t, "id") != sent || again.json(t, "state") != "pending" {
		t.Errorf("sent again: %s", again.text)
	}
	test := r.with(key, "POST", path+"/test", "")
	if test.want(t, http.StatusOK, ""); test.json(t, "type") != "webhook.test" {
		t.Errorf("test: %s", test.text)
	}
	pages := r.with(key, "GET", path+"/deliveries?limit=1", "")
	next, _ := pages.json(t, "next").(string)
	newest, _ := test.json(t, "id").(string)
	if next != newest || !strings.Contains(r.with(key, "GET", path+"/deliveries?limit=1&after="+next, "").text, sent) {
		t.Errorf("the first page is %s", pages.text)
	}
	if jobs := r.with(key, "GET", "/v1/jobs?kind=deliver_webhook", ""); !strings.Contains(jobs.text, sent) {
		t.Errorf("jobs: %s", jobs.text)
	}
	r.with(key, "GET", path+"/deliveries?state=lost", "").want(t, http.StatusBadRequest, "invalid")
	r.with(key, "POST", path+"/deliveries/msg_0/redeliver", "").want(t, http.StatusNotFound, "not_found")
}

// A1: the webhooks of another organization, and of the whole tenant, look exactly
// like webhooks that do not exist.
func TestA1AnotherOrganizationsWebhooksDoNotExist(t *testing.T) {
	r := newRig(t)
	all, ops := r.adminKey(t, ""), r.adminKey(t, "ops")
	var theirs, sent []string
	for _, body := range []string{hook, strings.Replace(hook, "{", `{"organizationId":"evil",`, 1)} {
		id, _ := r.with(all, "POST", "/v1/webhooks", body).json(t, "id").(string)
		delivery, _ := r.with(all, "POST", "/v1/webhooks/"+id+"/test", "").json(t, "id").(string)
		theirs, sent = append(theirs, id), append(sent, delivery)
	}
	mine, _ := r.with(ops, "POST", "/v1/webhooks", strings.Replace(hook, "{", `{"organizationId":"ops",`, 1)).json(t, "id").(string)
	r.with(ops, "POST", "/v1/webhooks", hook).want(t, http.StatusForbidden, "denied")
	for i, id := range theirs {
		for _, tc := range []struct{ method, path, body string }{
			{"GET", "/v1/webhooks/{id}", ""},
			{"PUT", "/v1/webhooks/{id}", `{"url":"https://evil.example/"}`},
			{"DELETE", "/v1/webhooks/{id}", ""},
			{"POST", "/v1/webhooks/{id}/rotate", ""},
			{"POST", "/v1/webhooks/{id}/test", ""},
			{"GET", "/v1/webhooks/{id}/deliveries", ""},
			{"POST", "/v1/webhooks/{id}/deliveries/" + sent[i] + "/redeliver", ""},
		} {
			foreign := r.with(ops, tc.method, strings.Replace(tc.path, "{id}", id, 1), tc.body)
			never := r.with(ops, tc.method, strings.Replace(tc.path, "{id}", "wh_0", 1), tc.body)
			if foreign.StatusCode != http.StatusNotFound || foreign.text != never.text {
				t.Errorf("%s %s: %d %s, and for an id that never was: %d %s", tc.method, tc.path, foreign.StatusCode, foreign.text, never.StatusCode, never.text)
			}
		}
		r.with(ops, "POST", "/v1/webhooks/"+mine+"/deliveries/"+sent[i]+"/redeliver", "").want(t, http.StatusNotFound, "not_found")
		if list := r.with(ops, "GET", "/v1/webhooks", ""); strings.Contains(list.text, id) || !strings.Contains(list.text, mine) {
			t.Errorf("list: %s", list.text)
		}
	}
}
