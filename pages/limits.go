package pages

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/limit"
)

// Limits bounds what users may do, within this process. Who does too much is
// answered 429 with Retry-After; nobody else notices. 0 stands for no limit. A
// visitor is told apart by address: the request's RemoteAddr, of IPv6 the /64.
type Limits struct {
	// PerUser is how many pages a second a user may open; twice as many may come at
	// once.
	PerUser float64
	// Starts is how many times a minute a user may set out to connect; for one auth
	// request a third of that.
	Starts float64
}

// startsShare is which part of a user's starts may be for one auth request.
const startsShare = 3

type limits struct{ users, starts, requests *limit.Keyed }

func newLimits(l Limits) limits {
	perMinute := func(count float64) *limit.Keyed { return limit.New(count/60, int(count)) }
	return limits{
		users:  limit.New(l.PerUser, int(2*l.PerUser)),
		starts: perMinute(l.Starts), requests: perMinute(l.Starts / startsShare),
	}
}

func keyOf(r *http.Request, actor tokenvault.Actor) string {
	return limit.User(actor.Owner.OrganizationID, actor.Owner.UserID, r.RemoteAddr)
}

func (l limits) mayCall(r *http.Request, actor tokenvault.Actor) error {
	return within(l.users.Take(keyOf(r, actor)))
}

func within(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return &tokenvault.RateLimitError{RetryAfter: wait}
}

// starting is a page that leads to a provider.
func (l limits) starting(next page) page {
	return func(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
		key := keyOf(r, actor)
		err := within(l.starts.Take(key))
		if id := r.PathValue("id"); err == nil && id != "" {
			err = within(l.requests.Take(key + "\x00" + id))
		}
		if err != nil {
			return err
		}
		return next(w, r, actor)
	}
}

// retryAfter returns the header's text, in whole seconds.
func retryAfter(err *tokenvault.RateLimitError) string {
	return strconv.Itoa(max(1, int(math.Ceil(err.RetryAfter.Seconds()))))
}
