package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/limit"
)

// Limits bounds how often callers may call, within this process. Who calls too
// often is answered 429 with Retry-After; nobody else notices. 0 stands for no
// limit.
//
// A client's address is the request's RemoteAddr, of IPv6 the /64: behind a proxy,
// set it to the client's before the handler is called.
type Limits struct {
	// PerKey is how many requests a second an API key may send; twice as many may
	// come at once. A back end's key, which speaks for many users, may send ten times
	// as many.
	PerKey float64
	// PerUser is the same for a user of the browser-facing API.
	PerUser float64
	// Failures is how many API keys that are none, and how many returns from a
	// provider that belong to no attempt, a client's address may send a minute. An
	// address that sent more is refused unseen, but for keys that were valid lately.
	Failures float64
	// Waits is how many auth requests a user, or an agent's key ten times as many, may
	// wait for at once, in streams of events and long polls. A back end, which waits for
	// many users, may wait for as many as it likes.
	Waits int
}

// How often more an agent waits than a user, and when who waits for too much comes
// again.
const (
	agentWaits = 10
	waitsAgain = 10 * time.Second
)

// backendFactor is how many times more a back end's key may do.
const backendFactor = 10

type limits struct {
	agents, backends, users, badKeys, badStates *limit.Keyed

	userWaits, agentWaits *limit.Open
}

func newLimits(l Limits) limits {
	perSecond := func(rate float64) *limit.Keyed { return limit.New(rate, int(2*rate)) }
	perMinute := func(count float64) *limit.Keyed { return limit.New(count/60, int(count)) }
	return limits{
		agents: perSecond(l.PerKey), backends: perSecond(backendFactor * l.PerKey), users: perSecond(l.PerUser),
		badKeys: perMinute(l.Failures), badStates: perMinute(l.Failures),
		userWaits: limit.NewOpen(l.Waits), agentWaits: limit.NewOpen(agentWaits * l.Waits),
	}
}

// beginWait counts a wait of actor until end is called.
func (l limits) beginWait(actor tokenvault.Actor, r *http.Request) (end func(), err error) {
	if actor.Kind == tokenvault.ActorBackend {
		return func() {}, nil
	}
	waits := l.userWaits
	if actor.Kind == tokenvault.ActorAgent {
		waits = l.agentWaits
	}
	who := limit.User(actor.Owner.OrganizationID, actor.Owner.UserID, r.RemoteAddr)
	end, ok := waits.Begin(strconv.Quote(actor.ID) + who)
	if !ok {
		return nil, within(waitsAgain)
	}
	return end, nil
}

func within(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return &tokenvault.RateLimitError{RetryAfter: wait}
}

// ofKeys identifies by API key.
func (l limits) ofKeys(v *tokenvault.Vault) func(*http.Request) (tokenvault.Actor, error) {
	return func(r *http.Request) (tokenvault.Actor, error) {
		key, ok := bearer(r)
		if !ok {
			return tokenvault.Actor{}, fmt.Errorf("no API key: %w", tokenvault.ErrUnauthenticated)
		}
		address := limit.Address(r.RemoteAddr)
		if err := within(l.badKeys.Spent(address)); err != nil && !v.KnowsAPIKey(key) {
			return tokenvault.Actor{}, err
		}
		actor, err := v.AuthenticateKey(r.Context(), key)
		if err != nil {
			if errors.Is(err, tokenvault.ErrUnauthenticated) {
				l.badKeys.Take(address)
			}
			return actor, err
		}
		keys := l.agents
		if actor.Kind == tokenvault.ActorBackend {
			keys = l.backends
		}
		return actor, within(keys.Take(tokenvault.APIKeyID(key)))
	}
}

// ofUsers bounds what the users that identify knows may do.
func (l limits) ofUsers(identify func(*http.Request) (tokenvault.Actor, error)) func(*http.Request) (tokenvault.Actor, error) {
	return func(r *http.Request) (tokenvault.Actor, error) {
		actor, err := identify(r)
		if err == nil {
			err = within(l.users.Take(limit.User(actor.Owner.OrganizationID, actor.Owner.UserID, r.RemoteAddr)))
		}
		return actor, err
	}
}
