package oauth2flow_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
)

// A transport answers in place of providers.
type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func answers(status int, header, text string) *http.Response {
	res := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text))}
	if header != "" {
		res.Header.Set("Retry-After", header)
	}
	return res
}

const tokens = `{"access_token":"a","refresh_token":"r","token_type":"Bearer","expires_in":3600}`

func gated(f transport) *oauth2flow.Flow {
	return oauth2flow.New(&oauth2flow.Options{PerHost: 1000, HTTPClient: &http.Client{Transport: f}})
}

func grant(host, client string) tokenvault.RefreshInput {
	to := "https://" + host + "/token"
	return tokenvault.RefreshInput{
		Provider:   tokenvault.Provider{ID: host, OAuth2: &tokenvault.OAuth2{TokenURL: to}},
		Client:     tokenvault.Client{ID: client},
		Credential: tokenvault.Credential{TokenURL: to, RefreshToken: tokenvault.NewSecret("refresh")},
	}
}

// R15: a provider that hangs takes 64 refreshes; what waits longer is left unsent,
// and no other provider's refresh waits at all.
func TestR15AHungProviderHoldsItsOwnRefreshesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		flow := gated(func(r *http.Request) *http.Response {
			if r.URL.Host == "hung.example" {
				sent.Add(1)
				<-time.After(30 * time.Second)
			}
			return answers(http.StatusOK, "", tokens)
		})
		begun := time.Now()
		var rotated, transient atomic.Int32
		var group sync.WaitGroup
		for range 200 {
			group.Go(func() {
				switch out := flow.Refresh(t.Context(), grant("hung.example", "client")).(type) {
				case tokenvault.Rotated:
					rotated.Add(1)
				case tokenvault.Transient:
					transient.Add(1)
					if out.Err.RetryAfter <= 0 {
						t.Errorf("refused without a time to try again: %v", out.Err)
					}
				default:
					t.Errorf("refresh = %#v", out)
				}
			})
		}
		synctest.Wait()
		for range 200 {
			if out := flow.Refresh(t.Context(), grant("other.example", "client")); !isRotated(out) || time.Since(begun) != 0 {
				t.Fatalf("another provider: %#v after %v", out, time.Since(begun))
			}
		}
		group.Wait()
		if sent.Load() != 64 || rotated.Load() != 64 || transient.Load() != 136 {
			t.Errorf("%d sent, %d rotated, %d left unsent", sent.Load(), rotated.Load(), transient.Load())
		}
	})
}

func isRotated(o tokenvault.RefreshOutcome) bool { _, ok := o.(tokenvault.Rotated); return ok }

// A provider that asks for a pause gets it, from that client only. A code is
// exchanged all the same, since it cannot wait.
func TestRetryAfterIsHonoured(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			calls, busy := 0, true
			flow := gated(func(*http.Request) *http.Response {
				calls++
				if busy {
					return answers(status, "60", `{"error":"slow_down"}`)
				}
				return answers(http.StatusOK, "", tokens)
			})
			for range 2 { // sent once
				out, ok := flow.Refresh(t.Context(), grant("busy.example", "client")).(tokenvault.Transient)
				if !ok || out.Err.RetryAfter != time.Minute || calls != 1 {
					t.Fatalf("refresh = %+v after %d calls", out, calls)
				}
			}
			busy = false
			if out := flow.Refresh(t.Context(), grant("busy.example", "another")); !isRotated(out) {
				t.Errorf("another client: %#v", out)
			}
			b := grant("busy.example", "client")
			b.Provider.OAuth2.AuthorizationURL = "https://busy.example/authorize"
			step, err := flow.Begin(t.Context(), tokenvault.BeginInput{Provider: b.Provider, Client: b.Client, State: tokenvault.NewSecret("state")})
			if err != nil {
				t.Fatal(err)
			}
			_, err = flow.Complete(t.Context(), tokenvault.CompleteInput{
				Provider: b.Provider, Client: b.Client, Private: step.Private, Code: tokenvault.NewSecret("code"),
			})
			if err != nil {
				t.Errorf("exchange: %v", err)
			}
			<-time.After(time.Minute)
			if out := flow.Refresh(t.Context(), grant("busy.example", "client")); !isRotated(out) {
				t.Errorf("after the pause: %#v", out)
			}
		})
	}
}
