package tokenvault_test

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

var visitor = tokenvault.Actor{Kind: tokenvault.ActorVisitor, ID: "visitor", Owner: tokenvault.Owner{Tenant: "default"}}

// hostFor is the host's server, acting for who is signed in there.
func hostFor(user string) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "host", Owner: tokenvault.Owner{Tenant: "default", UserID: user}}
}

func verifyRig(t *testing.T) *rig {
	t.Helper()
	return newRig(t, func(o *tokenvault.Options) { o.VerifyURL = "https://app.example/connected?x=1" })
}

// visit goes to the provider and back as a browser that nobody has proven.
func (r *rig) visit(t *testing.T, requestID string, change ...func(*tokenvault.Return)) (tokenvault.Finished, error) {
	t.Helper()
	redirect, err := r.StartConnect(t.Context(), visitor, tokenvault.StartConnect{AuthRequestID: requestID, ReturnURL: "/done"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(redirect.URL)
	if err != nil {
		t.Fatal(err)
	}
	ret := tokenvault.Return{
		AppID: r.AppID("", "mail"), State: tokenvault.NewSecret(u.Query().Get("state")),
		Code: tokenvault.NewSecret("code"), Iss: "https://auth.mail.example", Browser: redirect.CookieValue,
	}
	for _, f := range change {
		f(&ret)
	}
	return r.FinishConnect(t.Context(), visitor, ret)
}

func handleOf(t *testing.T, done tokenvault.Finished) tokenvault.Secret {
	t.Helper()
	u, err := url.Parse(done.ProofURL)
	if err != nil || u.Host != "app.example" || u.Path != "/connected" || u.Query().Get("x") != "1" || u.Query().Get("authRequestId") != done.Request.ID {
		t.Fatalf("proof URL = %q, %v", done.ProofURL, err)
	}
	return tokenvault.NewSecret(u.Query().Get("handle"))
}

func TestAVisitorIsConnectedOnTheHostsWord(t *testing.T) {
	r := verifyRig(t)
	req := r.mustAsk(t, "read")
	done, err := r.visit(t, req.ID)
	if err != nil {
		t.Fatal(err)
	}
	handle := handleOf(t, done)
	if exchanges, _, _ := r.flow.counts(); exchanges != 0 {
		t.Fatal("the code was exchanged before the user was proven")
	}
	final, err := r.CompleteConnect(t.Context(), hostFor("alice"), req.ID, handle)
	if err != nil || final.Request.Status != tokenvault.AuthConnected || final.ReturnURL != "/done" {
		t.Fatalf("CompleteConnect = %+v, %v", final, err)
	}
	if got := r.token(t, "read"); got != "at-0" {
		t.Errorf("token = %s", got)
	}
	if _, err := r.CompleteConnect(t.Context(), hostFor("alice"), req.ID, handle); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("a handle was taken twice: %v", err)
	}
}

// The attacker's request, the victim's browser and consent: the host sees the
// victim, and the request is not the victim's.
func TestAVisitorWhoIsSomebodyElseConnectsNobody(t *testing.T) {
	for name, complete := range map[string]func(r *rig, id string, handle tokenvault.Secret) error{
		"another user": func(r *rig, id string, h tokenvault.Secret) error {
			_, err := r.CompleteConnect(t.Context(), hostFor("bob"), id, h)
			return err
		},
		"another request": func(r *rig, _ string, h tokenvault.Secret) error {
			_, err := r.CompleteConnect(t.Context(), hostFor("alice"), "ar_other", h)
			return err
		},
		"another handle": func(r *rig, id string, _ tokenvault.Secret) error {
			_, err := r.CompleteConnect(t.Context(), hostFor("alice"), id, tokenvault.NewSecret("guess"))
			return err
		},
		"too late": func(r *rig, id string, h tokenvault.Secret) error {
			r.clock.advance(time.Minute)
			_, err := r.CompleteConnect(t.Context(), hostFor("alice"), id, h)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := verifyRig(t)
			req := r.mustAsk(t, "read")
			done, err := r.visit(t, req.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := complete(r, req.ID, handleOf(t, done)); !errors.Is(err, tokenvault.ErrStateInvalid) {
				t.Errorf("err = %v, want ErrStateInvalid", err)
			}
			if exchanges, _, _ := r.flow.counts(); exchanges != 0 {
				t.Error("a code was exchanged")
			}
			if list := r.connections(t); len(list) != 0 {
				t.Errorf("connections = %v", list)
			}
		})
	}
}

func TestAVisitorsWrongReturnIsRefused(t *testing.T) {
	r := verifyRig(t)
	for name, change := range map[string]func(*tokenvault.Return){
		"browser": func(ret *tokenvault.Return) { ret.Browser = tokenvault.NewSecret("other") },
		"issuer":  func(ret *tokenvault.Return) { ret.Iss = "https://evil.example" },
		"app":     func(ret *tokenvault.Return) { ret.AppID = "app_other" },
		"state":   func(ret *tokenvault.Return) { ret.State = tokenvault.NewSecret("other") },
	} {
		if _, err := r.visit(t, r.mustAsk(t, "read").ID, change); !errors.Is(err, tokenvault.ErrStateInvalid) {
			t.Errorf("%s: err = %v, want ErrStateInvalid", name, err)
		}
	}
}

func TestAVisitorsRefusalDeclinesOnTheHostsWord(t *testing.T) {
	r := verifyRig(t)
	req := r.mustAsk(t, "read")
	done, err := r.visit(t, req.ID, func(ret *tokenvault.Return) { ret.Code, ret.Error = tokenvault.Secret{}, "access_denied" })
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := r.AuthRequest(t.Context(), aliceUser, req.ID); now.Status != tokenvault.AuthPending {
		t.Fatalf("a visitor declined: %s", now.Status)
	}
	final, err := r.CompleteConnect(t.Context(), hostFor("alice"), req.ID, handleOf(t, done))
	if err != nil || final.Request.Status != tokenvault.AuthDeclined {
		t.Errorf("CompleteConnect = %s, %v", final.Request.Status, err)
	}
}

func TestAVisitorMayDoNothingElse(t *testing.T) {
	r := verifyRig(t)
	r.connect(t, "read")
	agent := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "other", Owner: alice}
	_, err := r.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "mail"})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatal(err)
	}
	plan, err := r.PlanConnect(t.Context(), visitor, required.Request.ID)
	if err != nil || plan.Way != tokenvault.WayRedirect || plan.Account.Label != "" || len(plan.Choices) != 0 {
		t.Errorf("plan = %+v, %v", plan, err)
	}
	_, permit := r.Permit(t.Context(), visitor, tokenvault.Permit{AuthRequestID: required.Request.ID})
	_, decline := r.Decline(t.Context(), visitor, required.Request.ID)
	_, resolve := r.Resolve(t.Context(), visitor, tokenvault.ResolveRequest{ProviderID: "mail"})
	_, request := r.RequestConnect(t.Context(), visitor, tokenvault.ConnectRequest{ProviderID: "mail"})
	revoke := r.Revoke(t.Context(), visitor, r.connections(t)[0].ID)
	_, complete := r.CompleteConnect(t.Context(), visitor, required.Request.ID, tokenvault.NewSecret("x"))
	for name, err := range map[string]error{"permit": permit, "decline": decline, "resolve": resolve, "request": request, "complete": complete} {
		if !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("%s: %v, want ErrDenied", name, err)
		}
	}
	if revoke == nil {
		t.Error("a visitor revoked a connection")
	}
	list, err := r.Connections(t.Context(), visitor, tokenvault.Page{})
	if err == nil && len(list) > 0 {
		t.Errorf("a visitor sees %v", list)
	}
	if _, err := newRig(t).PlanConnect(t.Context(), visitor, "ar_x"); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("without a host that proves users: %v", err)
	}
}

func TestSessionsAreBoundToOwnerOriginAndTime(t *testing.T) {
	const origin = "https://app.example"
	r := newRig(t, func(o *tokenvault.Options) { o.Origins = []string{origin} })
	at := tokenvault.SessionInput{Origin: origin}
	session, err := r.CreateSession(t.Context(), hostFor("alice"), at)
	if err != nil {
		t.Fatal(err)
	}
	actor, err := r.AuthenticateSession(t.Context(), session.Token, origin)
	if err != nil || actor != aliceUser {
		t.Errorf("AuthenticateSession = %+v, %v", actor, err)
	}
	text := session.Token.Reveal()
	for name, try := range map[string][2]string{
		"another origin": {text, "https://evil.example"}, "no origin": {text, ""}, "cut": {text[:len(text)-2], origin},
		"no prefix": {text[4:], origin}, "garbage": {"tvs_garbage", origin}, "empty": {"", origin},
	} {
		if _, err := r.AuthenticateSession(t.Context(), tokenvault.NewSecret(try[0]), try[1]); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("%s: %v, want ErrUnauthenticated", name, err)
		}
	}
	other, err := r.SealToken(t.Context(), "another purpose", []byte("x"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AuthenticateSession(t.Context(), tokenvault.NewSecret("tvs_"+other.Reveal()), origin); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("a token for another purpose: %v", err)
	}
	for name, err := range map[string]error{
		"agent": second(r.CreateSession(t.Context(), aliceAgent, at)), "user": second(r.CreateSession(t.Context(), aliceUser, at)),
	} {
		if !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("%s: %v, want ErrDenied", name, err)
		}
	}
	for _, bad := range []string{"", "null", "*", "https://app.example/", "http://app.example", "https://other.example"} {
		if _, err := r.CreateSession(t.Context(), hostFor("alice"), tokenvault.SessionInput{Origin: bad}); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("origin %q: %v, want ErrInvalid", bad, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestATokenEndsAndAnIDIsUsedOnce(t *testing.T) {
	r := newRig(t)
	ended, err := r.SealToken(t.Context(), "p", []byte("payload"), -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.OpenToken(t.Context(), "p", ended); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("a token after its time: %v", err)
	}
	if err := r.UseOnce(t.Context(), "p", "jti", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := r.UseOnce(t.Context(), "p", "jti", time.Minute); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("used twice: %v", err)
	}
	if err := r.UseOnce(t.Context(), "q", "jti", time.Minute); err != nil {
		t.Errorf("for another purpose: %v", err)
	}
}
