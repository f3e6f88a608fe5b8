package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/netguard"
	"github.com/ai-token-vault/tokenvault/internal/stdwebhook"
)

const (
	deliveryTimeout   = 15 * time.Second // of one request
	deliveryTurns     = 30 * time.Second // of those to one endpoint in a row; with the last one, within jobLease
	deliveryPause     = 30 * time.Second // of an endpoint that does not answer, for what else is due to it
	maxDeliveryAnswer = 16 << 10
)

// deliveryPauses are those after each attempt but the last one, as Standard Webhooks
// suggests them. Each is up to a fifth longer.
func deliveryPauses() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

// A deliveryError says why an attempt failed. It holds nothing of the answer but its
// status.
type deliveryError struct {
	code       string
	retryAfter time.Duration
	busy       bool // the endpoint cannot take anything now
	final      bool // trying again is no use
}

func (e *deliveryError) Error() string { return "webhook: " + e.code }

func (e *deliveryError) Unwrap() error { return ErrUnavailable }

// Codes of deliveries that failed, beside "http_" and a status.
const (
	deliveryGone     = "gone"              // 410: the endpoint wants nothing more
	deliveryDisabled = "endpoint_disabled" // nothing is sent while that is so
	deliveryTimedOut = "timeout"
	deliveryBlocked  = "blocked" // the address is not to be reached
	deliveryNoAnswer = "unreachable"
	deliveryUnsealed = "unsealable" // the secret cannot be opened: rotate it
)

// newWebhookClient returns the client that deliveries are sent with.
func newWebhookClient(allow []string) *http.Client {
	return netguard.NewClient(netguard.Options{Allow: allow, Timeout: deliveryTimeout, MaxBody: maxDeliveryAnswer})
}

// A deliveryTurn is a delivery with the job whose turn it is.
type deliveryTurn struct {
	job Job
	due DueDelivery
}

// deliver does jobs that deliver webhooks: those to one endpoint one after the
// other, those to different ones at once.
func (v *Vault) deliver(ctx context.Context, jobs []Job) {
	turns := make(map[string][]deliveryTurn)
	for _, job := range jobs {
		due, err := v.store.GetDelivery(ctx, job.Owner.Tenant, job.ID)
		switch {
		case errors.Is(err, ErrNotFound): // it was deleted since
			v.finishJob(ctx, JobResult{ID: job.ID, Attempt: job.Attempts, Done: true})
		case err != nil: // its lease runs out
			if ctx.Err() == nil {
				v.log.Error("a webhook delivery cannot be read", slog.String("job_id", job.ID), slog.Any("error", err))
			}
		default:
			turns[due.WebhookID] = append(turns[due.WebhookID], deliveryTurn{job, due})
		}
	}
	var sending sync.WaitGroup
	for _, own := range turns {
		sending.Go(func() { v.deliverTo(ctx, own) })
	}
	sending.Wait()
}

// deliverTo takes the turns of one endpoint. If that does not answer, the rest is
// put off: it would only wait for the same.
func (v *Vault) deliverTo(ctx context.Context, turns []deliveryTurn) {
	until := time.Now().Add(deliveryTurns)
	for busy := false; len(turns) > 0; turns = turns[1:] {
		turn := turns[0]
		rest := JobResult{ID: turn.job.ID, Attempt: turn.job.Attempts, Error: turn.due.Error}
		switch {
		case ctx.Err() != nil:
			return
		case busy:
			rest.RetryIn = deliveryPause + jitter(turn.job.ID, deliveryPause)
			v.finishJob(ctx, rest)
		case time.Now().After(until):
			v.finishJob(ctx, rest)
		default:
			busy = v.deliverOne(ctx, turn)
		}
	}
}

// deliverOne makes an attempt and reports whether the endpoint is too busy for
// another one. One that was cut off by the end of ctx is none.
func (v *Vault) deliverOne(ctx context.Context, turn deliveryTurn) (busy bool) {
	nested, end := v.watch.begin(ctx, Operation{Kind: OpJob})
	status, err := v.post(nested, turn.due)
	end(OutcomeOf(err))
	failed, known := errors.AsType[*deliveryError](err)
	if err != nil && (!known || ctx.Err() != nil) {
		if ctx.Err() == nil {
			v.log.Error("a webhook cannot be signed for now", slog.String("job_id", turn.job.ID), slog.Any("error", err))
		}
		return true // the lease runs out
	}
	result := JobResult{ID: turn.job.ID, Attempt: turn.job.Attempts, Done: err == nil, Delivery: &DeliveryResult{StatusCode: status}}
	if err != nil {
		v.judge(&result, turn, failed)
		v.log.WarnContext(nested, "a webhook was not delivered", slog.String("job_id", turn.job.ID), slog.String("webhook_id", turn.due.WebhookID),
			slog.String("code", failed.code), slog.Bool("dead", result.Dead))
	}
	v.finishJob(ctx, result)
	return err != nil && failed.busy
}

// judge says what becomes of a delivery after a failed attempt.
func (v *Vault) judge(result *JobResult, turn deliveryTurn, failed *deliveryError) {
	pauses := deliveryPauses()
	attempt := turn.due.Attempts % (len(pauses) + 1) // from 0, anew after each death
	result.Error = failed.code
	result.Dead = failed.final || attempt == len(pauses)
	if !result.Dead {
		pause := pauses[attempt]
		result.RetryIn = max(pause+jitter(turn.job.ID, pause/5), failed.retryAfter)
	}
	if failed.code == deliveryGone {
		result.Delivery.Disable = true
		hook := turn.due.Webhook.Webhook
		event := v.webhookEvent(EventWebhookDisabled, Actor{Kind: ActorSystem}, hook)
		event.Tenant = hook.Tenant
		result.Events = []Event{event}
	}
}

// post sends a delivery once. What goes wrong with the endpoint is a
// *deliveryError.
func (v *Vault) post(ctx context.Context, due DueDelivery) (status int, err error) {
	if !due.Webhook.Enabled && due.Type != WebhookTest {
		return 0, &deliveryError{code: deliveryDisabled, final: true}
	}
	request, err := v.webhookRequest(ctx, due)
	if err != nil {
		return 0, err
	}
	res, err := v.hooks.Do(request)
	if err != nil {
		return 0, unanswered(err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body) // so that the connection can be used again; nobody reads it
	switch code := res.StatusCode; {
	case code >= 200 && code < 300:
		return code, nil
	case code == http.StatusGone:
		return code, &deliveryError{code: deliveryGone, final: true}
	default:
		return code, &deliveryError{
			code: fmt.Sprintf("http_%d", code), retryAfter: netguard.RetryAfter(res.Header.Get("Retry-After"), time.Now()),
			busy: code == http.StatusTooManyRequests || code >= 502 && code <= 504,
		}
	}
}

// webhookRequest returns the signed request.
func (v *Vault) webhookRequest(ctx context.Context, due DueDelivery) (*http.Request, error) {
	secrets, err := v.openWebhook(ctx, due.Webhook)
	if errors.Is(err, ErrUnsealable) {
		return nil, &deliveryError{code: deliveryUnsealed, final: true}
	}
	if err != nil {
		return nil, err
	}
	held := []string{secrets.current.Reveal()}
	if due.Now.Before(due.Webhook.OverlapUntil) && !secrets.before.IsZero() {
		held = append(held, secrets.before.Reveal())
	}
	now := time.Now()
	signature, err := stdwebhook.Sign(due.ID, now, []byte(due.Body), held...)
	if err != nil {
		return nil, &deliveryError{code: deliveryUnsealed, final: true}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, due.Webhook.URL, strings.NewReader(due.Body))
	if err != nil {
		return nil, &deliveryError{code: deliveryBlocked, final: true}
	}
	request.Header = http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"tokenvault-webhook"},
		stdwebhook.HeaderID: {due.ID}, stdwebhook.HeaderTimestamp: {fmt.Sprint(now.Unix())}, stdwebhook.HeaderSignature: {signature},
	}
	return request, nil
}

// unanswered classes the error of a transport, which may hold the URL.
func unanswered(err error) *deliveryError {
	class := netguard.Class(err)
	if _, blocked := errors.AsType[*netguard.BlockedError](class); blocked {
		return &deliveryError{code: deliveryBlocked}
	}
	if errors.Is(class, netguard.ErrTimeout) {
		return &deliveryError{code: deliveryTimedOut, busy: true}
	}
	return &deliveryError{code: deliveryNoAnswer, busy: true}
}
