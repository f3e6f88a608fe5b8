package tokenvault_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// SSRF, second line: whatever is stored, nothing is sent to an address that is not
// public, and no redirect is followed. The connection is a real one.
func TestWebhooksAreGuardedWhenTheyAreSent(t *testing.T) {
	var inside, landed atomic.Int64
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	defer secret.Close()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		landed.Add(1)
		http.Redirect(w, r, secret.URL, http.StatusTemporaryRedirect)
	}))
	defer endpoint.Close()
	hostPort := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	r := newRig(t, func(o *tokenvault.Options) { o.AllowHosts = []string{hostPort(secret), hostPort(endpoint)} })
	redirecting, _ := r.hook(t, tokenvault.WebhookInput{URL: endpoint.URL})
	blocked, _ := r.hook(t, tokenvault.WebhookInput{URL: secret.URL})
	// The server's configuration does not allow the second address any more.
	r.Vault = newVault(t, r.store, r.key, r.flow, func(o *tokenvault.Options) { o.AllowHosts = []string{hostPort(endpoint)} })
	for _, id := range []string{redirecting.ID, blocked.ID} {
		if _, err := r.TestWebhook(t.Context(), admin, id); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	tried := func(id string) tokenvault.WebhookDelivery {
		t.Helper()
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			if d := r.deliveries(t, id)[0]; d.Attempts > 0 {
				tick.Stop()
				return d
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("nothing was tried")
			}
		}
	}
	if d := tried(redirecting.ID); d.Error != "http_307" || d.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("delivery = %+v", d)
	}
	if d := tried(blocked.ID); d.Error != "blocked" || d.StatusCode != 0 || d.State != tokenvault.DeliveryPending {
		t.Errorf("delivery = %+v", d)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if inside.Load() != 0 || landed.Load() != 1 {
		t.Errorf("%d requests went inside, %d to the endpoint", inside.Load(), landed.Load())
	}
}
