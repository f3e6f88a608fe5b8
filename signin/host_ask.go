package signin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const maxAnswer = 16 << 10

// Authenticate asks the host who the request's session cookies belong to. It
// fails with an error wrapping [tokenvault.ErrUnauthenticated] if they are
// nobody's, and [tokenvault.ErrUnavailable] if the host does not tell.
func (h *HostSession) Authenticate(r *http.Request) (tokenvault.Actor, error) {
	cookies := slices.DeleteFunc(r.Cookies(), func(c *http.Cookie) bool { return !slices.Contains(h.cookies, c.Name) })
	if len(cookies) == 0 {
		return tokenvault.Actor{}, errNobody()
	}
	key := h.cache.key(cookies)
	if actor, ok := h.cache.get(key, time.Now()); ok {
		return actor, nil
	}
	actor, err := h.ask(r, cookies)
	if err == nil {
		h.cache.put(key, actor, time.Now())
	}
	return actor, err
}

func (h *HostSession) ask(r *http.Request, cookies []*http.Cookie) (tokenvault.Actor, error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, h.url, nil)
	if err != nil {
		return tokenvault.Actor{}, h.unavailable("request", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "tokenvault")
	for _, c := range cookies {
		req.AddCookie(c)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return tokenvault.Actor{}, h.unavailable("no answer", err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNoContent, http.StatusNotFound:
		return tokenvault.Actor{}, errNobody()
	default:
		return tokenvault.Actor{}, h.unavailable("status", fmt.Errorf("HTTP status %d", resp.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return tokenvault.Actor{}, h.unavailable("answer", err)
	}
	return h.actor(body)
}

// actor reads the host's answer.
func (h *HostSession) actor(body []byte) (tokenvault.Actor, error) {
	if len(body) > maxAnswer {
		return tokenvault.Actor{}, h.unavailable("answer", errors.New("longer than 16 KiB"))
	}
	var session struct {
		UserID         string `json:"userId"`
		OrganizationID string `json:"organizationId"`
		OrgAdmin       bool   `json:"orgAdmin"`
	}
	if json.Unmarshal(body, &session) != nil {
		// The decoder's own words would quote the answer.
		return tokenvault.Actor{}, h.unavailable("answer", errors.New("not JSON of the expected form"))
	}
	if session.UserID == "" {
		return tokenvault.Actor{}, errNobody()
	}
	owner := tokenvault.Owner{Tenant: h.tenant, OrganizationID: session.OrganizationID, UserID: session.UserID}
	if err := owner.Validate(); err != nil {
		return tokenvault.Actor{}, h.unavailable("answer", err)
	}
	return tokenvault.Actor{
		Kind: tokenvault.ActorUser, ID: session.UserID, Owner: owner,
		OrgAdmin: session.OrgAdmin && session.OrganizationID != "",
	}, nil
}

func errNobody() error {
	return fmt.Errorf("host session: %w", tokenvault.ErrUnauthenticated)
}

// unavailable logs why the host did not tell. The caller learns only that.
func (h *HostSession) unavailable(what string, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, whose query is the host's business
	}
	h.log.Warn("the host's session endpoint did not tell who is signed in",
		slog.String("what", what), slog.Any("error", err))
	return fmt.Errorf("host session: %w", tokenvault.ErrUnavailable)
}
