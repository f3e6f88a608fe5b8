package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

// outcome is what ResolveWait ended with.
type outcome struct {
	token *client.Token
	err   error
}

// pause starts a ResolveWait, and returns the request that it waits for and where
// its outcome will be.
func pause(ctx context.Context, t *testing.T, c *client.Client) (tokenvault.AuthRequest, <-chan outcome) {
	t.Helper()
	asked, ended := make(chan tokenvault.AuthRequest, 1), make(chan outcome, 1)
	go func() {
		token, err := c.ResolveWait(ctx, readMail(), func(req tokenvault.AuthRequest) { asked <- req })
		ended <- outcome{token, err}
	}()
	req := <-asked
	synctest.Wait() // the long poll is under way
	return req, ended
}

// ended returns the outcome that must be there without any time passing.
func ended(t *testing.T, from <-chan outcome) outcome {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-from:
		return got
	default:
		t.Fatal("ResolveWait still waits")
		return outcome{}
	}
}

func TestResolveWaitResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		req, calls := pause(t.Context(), t, r.client(t))
		if req.Status != tokenvault.AuthPending || req.Message() != "Connect Mail to continue" {
			t.Errorf("asked for %+v", req)
		}
		r.connect("alice", req.ConnectURL)
		if got := <-calls; got.err != nil || got.token.AccessToken.Reveal() != "token-1" {
			t.Errorf("resumed with %+v, %v", got.token, got.err)
		}
	})
}

func TestResolveWaitEndsOtherwise(t *testing.T) {
	for want, end := range map[tokenvault.AuthRequestStatus]func(t *testing.T, r *rig, id string){
		tokenvault.AuthDeclined: func(t *testing.T, r *rig, id string) {
			t.Helper()
			if _, err := r.Decline(t.Context(), userOf("alice"), id); err != nil {
				t.Error(err)
			}
		},
		tokenvault.AuthExpired: func(*testing.T, *rig, string) {},
	} {
		t.Run(string(want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				req, calls := pause(t.Context(), t, r.client(t))
				end(t, r, req.ID)
				got := <-calls
				required, ok := errors.AsType[*tokenvault.AuthRequiredError](got.err)
				if !ok || required.Request.ID != req.ID || required.Request.Status != want {
					t.Errorf("err = %v, want the request as %s", got.err, want)
				}
			})
		})
	}
}

func TestACancelEndsTheWaitAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		req, calls := pause(ctx, t, r.client(t))
		cancel()
		if got := ended(t, calls); !errors.Is(got.err, context.Canceled) {
			t.Errorf("err = %v, want context.Canceled", got.err)
		}
		if after, err := r.AuthRequest(t.Context(), userOf("alice"), req.ID); err != nil || after.Status != tokenvault.AuthPending {
			t.Errorf("the request is %s, %v; want it still pending", after.Status, err)
		}
		if _, err := r.client(t).Resolve(ctx, readMail()); err == nil || err.Error() != context.Canceled.Error() {
			t.Errorf("err = %v, which does not say that the caller gave up", err)
		}
	})
}

func TestADeadlineEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		_, calls := pause(ctx, t, newRig(t).client(t))
		if got := <-calls; !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want context.DeadlineExceeded", got.err)
		}
	})
}

func TestTheUserConnectsDuringALaterPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var link string
		polls := 0
		c := newClient(t, r.agentKey, network(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodGet {
				if polls++; polls == 3 {
					go r.connect("alice", link)
				}
			}
			return r.RoundTrip(req)
		}))
		token, err := c.ResolveWait(t.Context(), readMail(), func(req tokenvault.AuthRequest) { link = req.ConnectURL })
		if err != nil || token.AccessToken.Reveal() != "token-1" || polls != 3 {
			t.Errorf("after %d polls: %+v, %v", polls, token, err)
		}
	})
}

func TestAStepUpIsAnotherPause(t *testing.T) {
	r := newRig(t)
	c := r.client(t)
	r.connect("alice", mustAsk(t, c, readMail()).ConnectURL)
	req := readMail()
	req.Scopes = []string{"mail.send"}
	var reasons []tokenvault.Reason
	token, err := c.ResolveWait(t.Context(), req, func(asked tokenvault.AuthRequest) {
		reasons = append(reasons, asked.Reason)
		r.connect("alice", asked.ConnectURL)
	})
	if err != nil || !cmp.Equal(token.Scopes, []string{"mail.read", "mail.send"}) {
		t.Errorf("token = %+v, %v", token, err)
	}
	if want := []tokenvault.Reason{tokenvault.ReasonInsufficientScope}; !cmp.Equal(reasons, want) {
		t.Errorf("paused for %q, want %q", reasons, want)
	}
}

// A server that settles requests and asks again never ends; the client does.
func TestPausesAreBounded(t *testing.T) {
	r := newRig(t)
	c := newClient(t, r.agentKey, network(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPost {
			return answer(http.StatusPreconditionRequired, problemJSON, `{"code":"auth_required","authRequest":{"authRequestId":"ar_1","status":"pending"}}`), nil
		}
		return answer(http.StatusOK, "application/json", `{"authRequestId":"ar_1","status":"connected"}`), nil
	}))
	notified := 0
	_, err := c.ResolveWait(t.Context(), readMail(), func(tokenvault.AuthRequest) { notified++ })
	if _, ok := errors.AsType[*tokenvault.AuthRequiredError](err); !ok || notified != 3 {
		t.Errorf("after %d pauses: %v", notified, err)
	}
}

func TestWaitOutlastsPassingFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		req := mustAsk(t, r.client(t), readMail())
		var notBefore time.Time
		script := []func() (*http.Response, error){
			func() (*http.Response, error) { return nil, errors.New("connection refused") },
			func() (*http.Response, error) { return nil, context.DeadlineExceeded }, // of the HTTP client, not the caller's
			func() (*http.Response, error) {
				return answer(http.StatusBadGateway, "text/html", "<h1>Bad Gateway"), nil
			},
			func() (*http.Response, error) {
				notBefore = time.Now().Add(40 * time.Second)
				res := answer(http.StatusTooManyRequests, "", "")
				res.Header.Set("Retry-After", "40")
				return res, nil
			},
			func() (*http.Response, error) {
				return answer(http.StatusServiceUnavailable, problemJSON, `{"code":"unavailable"}`), nil
			},
		}
		c := newClient(t, r.agentKey, network(func(req *http.Request) (*http.Response, error) {
			if time.Now().Before(notBefore) {
				t.Error("asked again before the server wanted it")
			}
			if len(script) == 0 {
				return r.RoundTrip(req)
			}
			next := script[0]
			script = script[1:]
			return next()
		}))
		go r.connect("alice", req.ConnectURL)
		settled, err := c.Wait(t.Context(), req.ID)
		if err != nil || settled.Status != tokenvault.AuthConnected || settled.ConnectionID == "" {
			t.Errorf("Wait = %+v, %v", settled, err)
		}
	})
}

func TestWaitEndsOnLastingFailures(t *testing.T) {
	r := newRig(t)
	id := mustAsk(t, r.client(t), readMail()).ID
	for name, over := range map[string]network{
		"another server": func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, "text/html", "<html>"), nil },
		"empty object":   func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, "", "{}"), nil },
		"revoked key": func(*http.Request) (*http.Response, error) {
			return answer(http.StatusUnauthorized, problemJSON, `{"code":"unauthenticated"}`), nil
		},
		"not implemented": func(*http.Request) (*http.Response, error) { return answer(http.StatusNotImplemented, "", ""), nil },
		"untrusted certificate": func(*http.Request) (*http.Response, error) {
			return nil, &tls.CertificateVerificationError{Err: errors.New("signed by nobody")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := newClient(t, r.agentKey, over).Wait(t.Context(), id); err == nil {
				t.Errorf("Wait = %+v", got)
			}
		})
	}
	if _, err := r.client(t).Wait(t.Context(), "ar_unknown"); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("unknown request: %v, want ErrNotFound", err)
	}
}

// A key that ends while its agent waits is told, and not tried again.
func TestAWaitEndsWithTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		agent := tokenvault.APIKeyInput{Name: "assistant", Kind: tokenvault.ActorAgent, Owner: userOf("alice").Owner, TTL: 90 * time.Second}
		admin := tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant}}
		_, key, err := r.CreateAPIKey(t.Context(), admin, agent)
		if err != nil {
			t.Fatal(err)
		}
		r.agentKey = key
		begun := time.Now()
		_, calls := pause(t.Context(), t, r.client(t))
		got := <-calls
		if !errors.Is(got.err, tokenvault.ErrUnauthenticated) || time.Since(begun) > 95*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), got.err)
		}
	})
}

// A long poll has to be over before the HTTP client gives up.
func TestThePollFitsTheTimeout(t *testing.T) {
	r := newRig(t)
	for timeout, want := range map[time.Duration]string{0: "50s", time.Minute: "30s", 10 * time.Second: "5s", time.Hour: "50s"} {
		var got string
		over := network(func(req *http.Request) (*http.Response, error) {
			got = req.URL.Query().Get("wait")
			return answer(http.StatusNotFound, "", ""), nil
		})
		c, err := client.New("https://vault.example", r.agentKey, &client.Options{HTTPClient: &http.Client{Transport: over, Timeout: timeout}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Wait(t.Context(), "ar_1"); err == nil || got != want {
			t.Errorf("timeout %s: wait = %s, want %s (%v)", timeout, got, want, err)
		}
	}
}
