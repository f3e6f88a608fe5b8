package oauth2flow

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/ai-token-vault/tokenvault"
)

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628 §3.4

	defaultInterval = 5 * time.Second // RFC 8628 §3.2
	maxInterval     = time.Minute
)

var errDeviceAnswer = errors.New("the answer holds no code, or no https address at which to enter it")

// BeginDevice asks for a code that the owner enters at the provider (RFC 8628
// §3.1).
func (f *Flow) BeginDevice(ctx context.Context, in tokenvault.GrantInput) (tokenvault.DeviceCode, error) {
	p := in.Provider.OAuth2
	form := url.Values{}
	if scopes := withAlways(in.Scopes, p.AlwaysScopes); len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, orDefault(p.ScopeSeparator, " ")))
	}
	call := tokenCall{provider: in.Provider, client: in.Client, op: "ask for a device code", form: form, url: p.DeviceAuthorizationURL}
	res, failed := f.post(ctx, call)
	if failed != nil {
		return tokenvault.DeviceCode{}, failed.err
	}
	fields, err := decodeFields(res)
	if err != nil || res.status != http.StatusOK || errorCode(fields) != "" {
		return tokenvault.DeviceCode{}, call.failed(res, answer{code: errorCode(fields), problem: err}).err
	}
	code := tokenvault.DeviceCode{Private: secret(fields["device_code"]), ExpiresIn: seconds(fields["expires_in"])}
	code.UserCode, _ = fields["user_code"].(string)
	code.VerificationURL, _ = fields["verification_uri"].(string)
	code.Interval = min(max(seconds(fields["interval"]), time.Second), maxInterval)
	if fields["interval"] == nil {
		code.Interval = defaultInterval
	}
	if code.Private.IsZero() || !showable(code.UserCode) || !openable(code.VerificationURL) || code.ExpiresIn <= 0 {
		return tokenvault.DeviceCode{}, call.failed(res, answer{problem: errDeviceAnswer}).err
	}
	return code, nil
}

// showable reports whether a code is one that people can read and enter.
func showable(code string) bool {
	return code != "" && len(code) <= 64 && !strings.ContainsFunc(code, func(r rune) bool { return !unicode.IsPrint(r) })
}

// openable reports whether a person may be sent to text.
func openable(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}

// isLoopback reports whether host is this machine.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// PollDevice asks once whether the owner has consented (RFC 8628 §3.4).
func (f *Flow) PollDevice(ctx context.Context, in tokenvault.DevicePoll) tokenvault.DeviceOutcome {
	form := url.Values{"grant_type": {deviceGrant}, "device_code": {in.Private.Reveal()}}
	ans, failed := f.token(ctx, tokenCall{provider: in.Provider, client: in.Client, op: "exchange", form: form})
	if failed != nil {
		return pendingOr(failed)
	}
	account, err := f.account(ctx, tokenvault.CompleteInput{Provider: in.Provider, Client: in.Client, Scopes: in.Scopes}, ans, "")
	if err != nil {
		return tokenvault.DeviceFailed{Err: err}
	}
	scopes := ans.scopes
	if scopes == nil { // RFC 6749 §5.1: absent means as requested
		scopes = in.Scopes
	}
	return tokenvault.DeviceGranted{Completed: tokenvault.Completed{
		Credential: credential(in.Provider, ans), Account: account, Scopes: scopes, ExpiresIn: lifetime(in.Provider.OAuth2, ans),
	}}
}

// pendingOr sorts an answer without a token (RFC 8628 §3.5). A provider that does
// not answer is asked less often.
func pendingOr(f *failure) tokenvault.DeviceOutcome {
	switch f.code {
	case "authorization_pending":
		return tokenvault.DevicePending{}
	case "slow_down":
		return tokenvault.DevicePending{Slower: true}
	case "access_denied":
		return tokenvault.DeviceDeclined{}
	case "expired_token":
		return tokenvault.DeviceExpired{}
	}
	if f.err.Transient {
		return tokenvault.DevicePending{Slower: true, Err: f.err}
	}
	return tokenvault.DeviceFailed{Err: f.err}
}
