package tokenvault

import (
	"fmt"
	"net/http"
	"net/url"
)

func (a *Access) addCookies(r *http.Request) error {
	header, err := a.cookieHeader(r.URL)
	if err != nil {
		return err
	}
	r.Header.Del("Authorization")
	r.Header.Set("Cookie", header)
	if agent := a.credential.Browser.UserAgent; agent != "" && r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", agent)
	}
	return nil
}

// cookieHeader is for a URL at one of the provider's hosts.
func (a *Access) cookieHeader(u *url.URL) (string, error) {
	c := &a.cookies
	c.once.Do(func() { c.state, c.err = ParseStorageState(a.credential.Browser.StorageState) })
	if c.err != nil {
		return "", fmt.Errorf("%s: %w", a.provider.ID, c.err)
	}
	header := c.state.CookieHeader(u)
	if header == "" {
		return "", fmt.Errorf("%s: the login has no cookie for this address: use its state in a browser: %w", a.provider.ID, ErrInvalid)
	}
	return header, nil
}

// CookieHeader returns the value of the header Cookie for a request to u, for a
// browser login. It fails with [ErrDenied] unless u is at one of the provider's hosts
// and the agent asked for, and is permitted, [ReleaseToken]; and with [ErrInvalid] if
// the login has no cookie for u.
func (a *Access) CookieHeader(u *url.URL) (Secret, error) {
	if err := a.revealed(); err != nil {
		return Secret{}, err
	}
	if !a.allowsURL(u) {
		return Secret{}, fmt.Errorf("%s: the address is at a host that is not the provider's: %w", a.provider.ID, ErrDenied)
	}
	header, err := a.cookieHeader(u)
	return NewSecret(header), err
}

// Browser returns the state of a browser login, to be restored in a browser of the
// agent. It fails with [ErrDenied] unless the agent asked for, and is permitted,
// [ReleaseToken], and with [ErrInvalid] for any other credential.
func (a *Access) Browser() (BrowserState, error) {
	if err := a.revealed(); err != nil {
		return BrowserState{}, err
	}
	if a.credential.Browser.IsZero() {
		return BrowserState{}, fmt.Errorf("%s: the credential is not a browser login: %w", a.provider.ID, ErrInvalid)
	}
	return a.credential.Browser, nil
}
