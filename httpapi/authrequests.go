package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	maxWait   = 50 * time.Second
	pingEvery = 15 * time.Second
)

// authRequestOutput is the payload that is the same on every surface; and, for the
// person who decides, what they would allow.
type authRequestOutput struct {
	tokenvault.AuthRequiredPayload
	Asks *asks `json:"asks,omitempty" jsonschema:"which agent asks, and in which form it would get to use the account: told to the owner only; absent without an agent"`
}

type asks struct {
	Agent   string             `json:"agent"`
	Release tokenvault.Release `json:"release"`
}

// requestOutput is req as actor may see it.
func requestOutput(actor tokenvault.Actor, req tokenvault.AuthRequest) authRequestOutput {
	out := authRequestOutput{AuthRequiredPayload: req.Payload()}
	if actor.Kind == tokenvault.ActorUser && req.AgentID != "" {
		out.Asks = &asks{req.AgentID, req.Release}
	}
	return out
}

type authRequestInput struct {
	ownerQuery
	ID   string `path:"id"`
	Wait string `query:"wait"`
}

// showAuthRequest answers with the request: at once; when it is settled, its notice
// changes or the wait is over; or as a stream of events. An answer that takes its time
// ends with the proof of who asked.
func showAuthRequest(a *api, w http.ResponseWriter, r *http.Request) {
	actor, in, err := prepare[authRequestInput](a, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	wait, err := waitOf(in.Wait)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	req, err := a.vault.AuthRequest(r.Context(), actor, in.ID)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	events := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	if !events && wait == 0 || req.Status.Settled() {
		a.show(w, actor, req, events)
		return
	}
	end, err := a.limits.beginWait(actor, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer end()
	p, err := a.prove(r, actor)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer p.stop()
	if events {
		a.stream(w, p, actor, req)
		return
	}
	if req, err = a.poll(p, actor, req, wait); err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, requestOutput(actor, req))
}

// show answers with the request as it is.
func (*api) show(w http.ResponseWriter, actor tokenvault.Actor, req tokenvault.AuthRequest, events bool) {
	if !events {
		writeJSON(w, http.StatusOK, requestOutput(actor, req))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_ = send(w, http.NewResponseController(w), requestOutput(actor, req))
}

// poll returns the request once it is settled or its notice changes; or as it was
// seen last, when the wait is over or the caller's proof has come to its end.
func (a *api) poll(p *proof, actor tokenvault.Actor, seen tokenvault.AuthRequest, wait time.Duration) (tokenvault.AuthRequest, error) {
	ctx, cancel := context.WithTimeout(p.request.Context(), wait)
	defer cancel()
	type answer struct {
		req tokenvault.AuthRequest
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		req, err := a.vault.WaitChange(ctx, actor, seen)
		answers <- answer{req, err}
	}()
	for {
		select {
		case got := <-answers:
			if got.err != nil && ctx.Err() != nil {
				got.err = nil
			}
			return got.req, got.err
		case <-p.due():
			if p.over() {
				cancel()
			} else if err := p.holds(); err != nil {
				return seen, err
			}
		}
	}
}

func waitOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 {
		return 0, &tokenvault.FieldError{Field: "wait", Reason: "must be a duration such as 25s"}
	}
	return min(wait, maxWait), nil
}

// stream sends the request as it is, whenever its notice changes, and as it ends, for
// as long as the caller is proven. The truth is the plain GET: a client that loses the
// stream asks again, and is told there why.
func (a *api) stream(w http.ResponseWriter, p *proof, actor tokenvault.Actor, req tokenvault.AuthRequest) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	if send(w, out, requestOutput(actor, req)) != nil {
		return
	}
	ctx, cancel := context.WithCancel(p.request.Context())
	defer cancel()
	changes := a.changes(ctx, actor, req)
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		select {
		case req, ok := <-changes:
			if !ok || send(w, out, requestOutput(actor, req)) != nil {
				return
			}
		case <-p.due():
			if p.holds() != nil {
				return
			}
		case <-ping.C:
			if _, err := fmt.Fprint(w, ": ping\n\n"); err != nil || out.Flush() != nil {
				return
			}
		}
	}
}

// changes tells what becomes of a request, until it is settled or ctx ends.
func (a *api) changes(ctx context.Context, actor tokenvault.Actor, req tokenvault.AuthRequest) <-chan tokenvault.AuthRequest {
	changes := make(chan tokenvault.AuthRequest)
	go func() {
		defer close(changes)
		for !req.Status.Settled() {
			var err error
			if req, err = a.vault.WaitChange(ctx, actor, req); err != nil {
				return
			}
			select {
			case changes <- req:
			case <-ctx.Done():
				return
			}
		}
	}()
	return changes
}

func send(w http.ResponseWriter, out *http.ResponseController, req authRequestOutput) error {
	data, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "event: auth_request\ndata: %s\n\n", data); err != nil {
		return err
	}
	return out.Flush()
}

type openInput struct {
	ProviderID   string   `json:"providerId"`
	Scopes       []string `json:"scopes,omitempty"`
	ConnectionID string   `json:"credentialId,omitempty" jsonschema:"the connection to renew; absent: a new one"`
	ThreadID     string   `json:"threadId,omitempty"`
	Organization bool     `json:"organization,omitempty" jsonschema:"connect for the organization that the user administers"`
}

func openAuthRequest(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in openInput) (authRequestOutput, error) {
	if in.ProviderID == "" {
		return authRequestOutput{}, &tokenvault.FieldError{Field: "providerId", Reason: "must be given"}
	}
	req, err := v.RequestConnect(ctx, actor, tokenvault.ConnectRequest{
		ProviderID: in.ProviderID, Scopes: in.Scopes, ConnectionID: in.ConnectionID, ThreadID: in.ThreadID, Organization: in.Organization,
	})
	return requestOutput(actor, req), err
}

type idInput struct {
	ID string `path:"id"`
}

func declineAuthRequest(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (authRequestOutput, error) {
	req, err := v.Decline(ctx, actor, in.ID)
	if errors.Is(err, tokenvault.ErrConflict) { // settled already: say how
		req, err = v.AuthRequest(ctx, actor, in.ID)
	}
	return requestOutput(actor, req), err
}

type completeInput struct {
	ownerBody
	ID       string            `json:"-" path:"id"`
	Handle   tokenvault.Secret `json:"handle" jsonschema:"as it arrived at the verify URL"`
	OrgAdmin bool              `json:"orgAdmin,omitempty" jsonschema:"whether the user administers the owner's organization"`
}

type completeOutput struct {
	AuthRequest authRequestOutput `json:"authRequest"`
	NextURL     string            `json:"nextUrl" jsonschema:"where to send the browser"`
}

func completeConnect(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in completeInput) (completeOutput, error) {
	actor.OrgAdmin = in.OrgAdmin && actor.Owner.OrganizationID != ""
	done, err := v.CompleteConnect(ctx, actor, in.ID, in.Handle)
	if err != nil {
		return completeOutput{}, err
	}
	return completeOutput{requestOutput(actor, done.Request), nextURL(v, done)}, nil
}

// nextURL is where a browser goes after a connect: back to the host, or to the
// page of the request.
func nextURL(v *tokenvault.Vault, done tokenvault.Finished) string {
	if done.ReturnURL != "" {
		return withStatus(v.PublicURL(), done)
	}
	return v.PublicURL() + "/connect/" + url.PathEscape(done.Request.ID)
}
