package oauth2flow

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/limit"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

// maxAnswer bounds a token answer.
const maxAnswer = 64 << 10

// tokenCall is one request to a token or revocation endpoint.
type tokenCall struct {
	provider tokenvault.Provider
	client   tokenvault.Client
	op       string
	form     url.Values
	url      string // default: the token endpoint
}

// failure is a call that gave no token.
type failure struct {
	err   *tokenvault.ProviderError
	code  string // as sent; err.Code holds it only if it is known
	sent  bool   // bytes of the request left this machine
	whole bool   // a whole answer came back and could be read
}

// response is a whole answer.
type response struct {
	status     int
	mediaType  string
	body       []byte
	retryAfter time.Duration
}

// token calls the token endpoint and returns a token, or why there is none.
func (f *Flow) token(ctx context.Context, call tokenCall) (answer, *failure) {
	res, failed := f.post(ctx, call)
	if failed != nil {
		return answer{}, failed
	}
	ans := parseAnswer(call.provider.OAuth2, res)
	if res.status != http.StatusOK && res.status != http.StatusCreated || ans.problem != nil || ans.code != "" {
		return answer{}, call.failed(res, ans)
	}
	return ans, nil
}

// post sends the form, once: a request whose body was sent is never repeated by
// the transport, since it has no GetBody.
func (f *Flow) post(ctx context.Context, call tokenCall) (response, *failure) {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	r, err := call.request(ctx)
	if err != nil {
		return response{}, call.unanswered(err, false)
	}
	leave, err := f.enter(ctx, call, r.URL.Host)
	if err != nil {
		return response{}, call.unanswered(err, false)
	}
	defer leave()
	res, err := f.http.Do(r)
	if err != nil {
		return response{}, call.unanswered(err, sent.Load())
	}
	defer func() { _ = res.Body.Close() }()
	body, err := netguard.ReadBody(res.Body, maxAnswer)
	if err != nil {
		failed := call.unanswered(err, true)
		failed.err.Status = res.StatusCode
		return response{}, failed
	}
	answered := response{
		status: res.StatusCode, mediaType: res.Header.Get("Content-Type"), body: body,
		retryAfter: netguard.RetryAfter(res.Header.Get("Retry-After"), time.Now()),
	}
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable {
		f.gate.Pause(call.client.ID+" at "+r.URL.Host, answered.retryAfter)
	}
	return answered, nil
}

func (call tokenCall) request(ctx context.Context) (*http.Request, error) {
	basic, err := call.authenticate(call.form)
	if err != nil {
		return nil, err
	}
	body, contentType, err := call.encode()
	if err != nil {
		return nil, err
	}
	target := orDefault(call.url, call.provider.OAuth2.TokenURL)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.GetBody = nil
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept", "application/json")
	basic(r)
	return r, nil
}

// encode returns the parameters in the format that the provider takes. None has
// more than one value.
func (call tokenCall) encode() (body, contentType string, err error) {
	if call.provider.OAuth2.RequestFormat != tokenvault.RequestJSON {
		return call.form.Encode(), "application/x-www-form-urlencoded", nil
	}
	object := make(map[string]string, len(call.form))
	for name := range call.form {
		object[name] = call.form.Get(name)
	}
	text, err := json.Marshal(object)
	return string(text), "application/json", err
}

// unanswered is a call without a whole answer. A transport's error may hold the
// URL, so only its class is kept.
func (call tokenCall) unanswered(err error, sent bool) *failure {
	return &failure{sent: sent, err: &tokenvault.ProviderError{
		ProviderID: call.provider.ID, Op: call.op, Err: classOf(err), RetryAfter: limit.RetryAfter(err), Transient: true,
	}}
}

// failed is a call whose whole answer is no token.
func (call tokenCall) failed(res response, ans answer) *failure {
	e := &tokenvault.ProviderError{
		ProviderID: call.provider.ID, Op: call.op, Status: res.status, Code: knownCode(call.provider, ans.code),
		RetryAfter: res.retryAfter, Err: ans.problem,
		Transient: res.status >= http.StatusInternalServerError || res.status == http.StatusTooManyRequests,
	}
	return &failure{err: e, code: ans.code, sent: true, whole: !errors.Is(ans.problem, errTruncated)}
}

// classOf keeps of a transport's error what may be told.
func classOf(err error) error {
	if field, ok := errors.AsType[*tokenvault.FieldError](err); ok {
		return field
	}
	if busy, ok := errors.AsType[*limit.BusyError](err); ok {
		return busy
	}
	return netguard.Class(err)
}

// knownCode returns code if it is one that the RFCs or the provider's entry name.
// Anything else is text that somebody else wrote, and is left out.
func knownCode(p tokenvault.Provider, code string) string {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
		"invalid_scope", "invalid_token", "unsupported_token_type", "access_denied", "slow_down", "server_error",
		"temporarily_unavailable", "bad_refresh_token", "invalid_refresh_token", "token_revoked",
		"incorrect_client_credentials", "redirect_uri_mismatch", "bad_verification_code", "unverified_user_email":
		return code
	}
	if slices.Contains(p.OAuth2.RejectedCodes, code) {
		return code
	}
	return ""
}
