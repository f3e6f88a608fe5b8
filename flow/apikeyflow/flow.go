// Package apikeyflow connects accounts by what a service issues on its own pages
// and the owner enters into a form of the vault: API keys, names with passwords,
// and other fields.
//
//	Submit  the provider's probe, with the credential in its places
//	   │    expected status → account from the answer
//	   │    401, 403, the provider's own, or nobody's account → refused: nothing is kept
//	   │    anything else, or no answer → the service cannot be asked now
//	Probe   the same request, later: does the credential still work?
//
// There is nothing to refresh and, at most services, no way to end a key from
// outside: its owner does that where it was issued.
package apikeyflow

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/dotted"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

const (
	requestTimeout = 20 * time.Second
	maxAnswer      = 256 << 10
)

// Options configures a [Flow]. The zero Options, like nil, works for public
// services.
type Options struct {
	// Allow lists exact host:port pairs that may be reached although their address
	// is private, also by http.
	Allow []string
	// HTTPClient replaces the guarded client. It must not follow redirects.
	HTTPClient *http.Client
}

// A Flow takes what owners enter. It keeps no state and is safe for concurrent
// use.
type Flow struct{ http *http.Client }

var (
	_ tokenvault.Flow       = (*Flow)(nil)
	_ tokenvault.Submitting = (*Flow)(nil)
	_ tokenvault.Prober     = (*Flow)(nil)
)

// New returns a flow.
func New(opts *Options) *Flow {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.HTTPClient == nil {
		o.HTTPClient = netguard.NewClient(netguard.Options{Allow: o.Allow, Timeout: requestTimeout})
	}
	return &Flow{http: o.HTTPClient}
}

// Begin has nothing to prepare: nobody is sent anywhere.
func (f *Flow) Begin(context.Context, tokenvault.BeginInput) (tokenvault.Step, error) {
	return tokenvault.Step{}, nil
}

// Submit asks the service whether it takes the values, and whose they are.
func (f *Flow) Submit(ctx context.Context, in tokenvault.SubmitInput) (tokenvault.Completed, error) {
	answer, err := f.probe(ctx, in.Provider, in.Values)
	switch {
	case errors.Is(err, errRefused):
		return tokenvault.Completed{}, &tokenvault.FieldError{Field: secretField(in.Provider.APIKey), Reason: "the service refuses it; check that it is complete and still valid"}
	case errors.Is(err, errNothingThere):
		return tokenvault.Completed{}, &tokenvault.FieldError{Field: placeField(in.Provider.APIKey), Reason: "the service knows nothing by this name"}
	case err != nil:
		return tokenvault.Completed{}, err
	}
	cred := tokenvault.Credential{AuthMethod: tokenvault.AuthAPIKey, TokenType: tokenvault.TokenTypeAPIKey, Fields: in.Values}
	return tokenvault.Completed{Credential: cred, Account: accountOf(in, answer)}, nil
}

// Probe asks the service whether the credential still works.
func (f *Flow) Probe(ctx context.Context, in tokenvault.RefreshInput) error {
	_, err := f.probe(ctx, in.Provider, in.Credential.Fields)
	if errors.Is(err, errRefused) || errors.Is(err, errNothingThere) {
		return fmt.Errorf("provider %s refuses the credential: %w", in.Provider.ID, tokenvault.ErrDenied)
	}
	return err
}

var (
	errRefused      = errors.New("the service refuses the credential")
	errNothingThere = errors.New("the service has nothing at this address")
)

// probe sends the provider's probe and returns the answer, or errRefused,
// errNothingThere, or why the service could not be asked.
func (f *Flow) probe(ctx context.Context, p tokenvault.Provider, fields map[string]tokenvault.Secret) (map[string]any, error) {
	r, err := request(ctx, p, fields)
	if err != nil {
		return nil, err
	}
	failed := func(status int, err error) *tokenvault.ProviderError {
		return &tokenvault.ProviderError{ProviderID: p.ID, Op: "probe", Status: status, Err: err, Transient: status == 0}
	}
	res, err := f.http.Do(r)
	if err != nil {
		return nil, failed(0, netguard.Class(err))
	}
	defer func() { _ = res.Body.Close() }()
	probe := p.APIKey.Probe
	switch status := res.StatusCode; {
	case status == expected(probe):
		answer := decode(res)
		if len(probe.AccountID) > 0 && dotted.Text([]map[string]any{answer}, probe.AccountID) == "" {
			return nil, errRefused
		}
		return answer, nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden, slices.Contains(probe.RejectedStatus, status):
		return nil, errRefused
	case status == http.StatusNotFound && placeField(p.APIKey) != "":
		return nil, errNothingThere
	default:
		e := failed(status, nil)
		e.RetryAfter = netguard.RetryAfter(res.Header.Get("Retry-After"), time.Now())
		e.Transient = status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
		return nil, e
	}
}

func request(ctx context.Context, p tokenvault.Provider, fields map[string]tokenvault.Secret) (*http.Request, error) {
	if p.APIKey == nil {
		return nil, fmt.Errorf("provider %s asks for no fields: %w", p.ID, tokenvault.ErrInvalid)
	}
	u, err := p.APIKey.ProbeURL(fields)
	if err != nil {
		return nil, err
	}
	method := p.APIKey.Probe.Method
	if method == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), http.NoBody)
	if err != nil {
		return nil, &tokenvault.FieldError{Field: "probe.url", Reason: "must be a URL"}
	}
	r.Header.Set("Accept", "application/json")
	for name, value := range p.APIKey.Probe.Headers {
		r.Header.Set(name, value)
	}
	return r, p.APIKey.Authorize(r, fields)
}

func expected(probe tokenvault.KeyProbe) int {
	if probe.Status == 0 {
		return http.StatusOK
	}
	return probe.Status
}

// decode reads an answer in JSON; nil if it is none. The status has said already
// that the credential works.
func decode(res *http.Response) map[string]any {
	body, err := netguard.ReadBody(res.Body, maxAnswer)
	if err != nil {
		return nil
	}
	var answer map[string]any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if dec.Decode(&answer) != nil {
		return nil
	}
	return answer
}

// accountOf returns whose the values are: what the answer says, at the place that
// was entered, else what was entered that is no secret. Nothing that an answer
// repeats of a secret is taken.
func accountOf(in tokenvault.SubmitInput, answer map[string]any) tokenvault.Account {
	key := in.Provider.APIKey
	told := func(paths []string) string {
		text := dotted.Text([]map[string]any{answer}, paths)
		for _, f := range key.Fields {
			if f.Secret && strings.Contains(text, in.Values[f.Name].Reveal()) {
				return ""
			}
		}
		return text
	}
	id, label := told(key.Probe.AccountID), told(key.Probe.AccountLabel)
	var entered, places []string
	for _, f := range key.Fields {
		if f.Secret {
			continue
		}
		entered = append(entered, in.Values[f.Name].Reveal())
		if inURL(key, f) {
			places = append(places, strings.ToLower(in.Values[f.Name].Reveal()))
		}
	}
	if id == "" {
		id = strings.Join(entered, "/")
	} else {
		id = strings.Join(append(places, id), "/")
	}
	return tokenvault.Account{ID: id, Label: cmp.Or(label, strings.Join(entered, " · "), id)}
}

// inURL reports whether the field says where at the service the account is.
func inURL(key *tokenvault.KeyAuth, f tokenvault.KeyField) bool {
	return strings.Contains(key.Probe.URL, "{"+f.Name+"}")
}

// secretField names the field at which a refusal is shown.
func secretField(key *tokenvault.KeyAuth) string {
	for _, f := range key.Fields {
		if f.Secret {
			return f.Name
		}
	}
	return "fields"
}

// placeField names the field that says where at the service the account is; empty
// if there is none.
func placeField(key *tokenvault.KeyAuth) string {
	for _, f := range key.Fields {
		if inURL(key, f) {
			return f.Name
		}
	}
	return ""
}
