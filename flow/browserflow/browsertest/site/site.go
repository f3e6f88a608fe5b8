// Package site is a bank without OAuth to sign in to, for tests, the end-to-end rig
// and the demo: password and one-time code, a pop-up and a redirect over other
// origins, a slow single-page login, a token in IndexedDB, and pages that ask for
// things.
//
// It listens on three loopback addresses, which are three hosts to a browser and to
// its cookies:
//
//	Bank    127.0.0.1   the service itself
//	Ident   127.0.0.2   an identity provider, in a pop-up or by redirect
//	Gate    127.0.0.3   what a redirect passes through; also a third party's frame
package site

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// The account that everybody has, and the password.
const (
	User     = "alice@example.com"
	Password = `pä$$ W0rd<>'"€`
)

// A Site is three servers. Start makes one.
type Site struct {
	Bank, Ident, Gate string // the base URLs, without a slash at the end

	// SlowBy is how long the single-page login takes for each of its two steps.
	SlowBy time.Duration

	servers []*http.Server
	secret  []byte // of the one-time codes

	mu      sync.Mutex
	tokens  map[string]string // what was issued, and what for
	person  string            // whose the account is
	signIns int
	failed  int // passwords and codes that were wrong
}

// What tokens are issued for.
const (
	forSession  = "session"  // signed in at the bank
	forPassword = "password" // the password was right; the code is missing
	forDevice   = "device"   // needs no code any more
	forIdent    = "ident"    // signed in at the identity provider
	forCode     = "code"     // the identity provider's word, good once
	forBearer   = "bearer"   // of the page that keeps it in IndexedDB
)

// Start starts the three servers, on free ports.
func Start() (*Site, error) {
	s := &Site{SlowBy: 300 * time.Millisecond, tokens: make(map[string]string), person: "alice", secret: make([]byte, 20)}
	_, _ = rand.Read(s.secret) // it never fails
	var err error
	listen := func(ip string, handler http.Handler) string {
		if err != nil {
			return ""
		}
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", ip+":0"); err != nil {
			return ""
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		s.servers = append(s.servers, server)
		go func() { _ = server.Serve(l) }()
		return "http://" + l.Addr().String()
	}
	s.Bank = listen("127.0.0.1", s.bank())
	s.Ident = listen("127.0.0.2", s.ident())
	s.Gate = listen("127.0.0.3", s.gate())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("site: %w", err), s.Close())
	}
	return s, nil
}

// Close ends the servers.
func (s *Site) Close() error {
	var err error
	for _, server := range s.servers {
		err = errors.Join(err, server.Close())
	}
	return err
}

// Provider is the bank as the vault knows it: a password and a code are needed, or
// the identity provider's word.
func (s *Site) Provider() tokenvault.Provider {
	host := func(base string) string { return base[len("http://"):] }
	return tokenvault.Provider{
		ID: "bank", Service: "bank", Name: "Harbour Bank", AuthMethod: tokenvault.AuthBrowserLogin, Hosts: []string{host(s.Bank)},
		Login: &tokenvault.Login{
			URL:          s.Bank + "/login",
			Domains:      []string{host(s.Bank)},
			VisitDomains: []string{host(s.Ident), host(s.Gate)},
			Signs: []tokenvault.LoginSign{
				{Strategy: tokenvault.SignURLPattern, Pattern: `http://127\.0\.0\.1:\d+/account`},
				{Strategy: tokenvault.SignCookie, Pattern: "bank_session"},
			},
			Unless:     []string{`http://127\.0\.0\.1:\d+/code`},
			LandingURL: s.Bank + "/account",
			Probe: &tokenvault.LoginProbe{
				URL: s.Bank + "/account.json", AccountID: []string{"id"}, AccountLabel: []string{"email"},
			},
		},
	}
}

// AllowHosts lists the host:port pairs that a guarded network has to let through.
func (s *Site) AllowHosts() []string {
	return []string{s.Bank[len("http://"):], s.Ident[len("http://"):], s.Gate[len("http://"):]}
}

// Code returns the one-time code of now.
func (s *Site) Code() string { return oneTimeCode(s.secret, time.Now()) }

// SignIns tells how often somebody signed in, and how many passwords and codes were
// wrong.
func (s *Site) SignIns() (ok, failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signIns, s.failed
}

// BelongTo makes the account that of another person, such as "bob", as if they signed
// in where another did before. They have the same name and password to sign in with.
func (s *Site) BelongTo(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.person = person
}

// ForgetSessions signs everybody out at the bank, as a service does that ends its
// sessions. Devices stay known.
func (s *Site) ForgetSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, purpose := range s.tokens {
		if purpose == forSession || purpose == forBearer {
			delete(s.tokens, token)
		}
	}
}

// issue returns a new token for a purpose.
func (s *Site) issue(purpose string) string {
	token := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = purpose
	return token
}

func (s *Site) holds(token, purpose string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return token != "" && s.tokens[token] == purpose
}

// take is holds for what is good once.
func (s *Site) take(token, purpose string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ok := token != "" && s.tokens[token] == purpose
	if ok {
		delete(s.tokens, token)
	}
	return ok
}

func (s *Site) cookie(r *http.Request, name, purpose string) bool {
	c, err := r.Cookie(name)
	return err == nil && s.holds(c.Value, purpose)
}

func (s *Site) count(ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok {
		s.signIns++
	} else {
		s.failed++
	}
}

const frame = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<style>
	body { font: 16px/1.5 sans-serif; margin: 0; background: #eef2f5; color: #14232e }
	main { width: 360px; max-width: 90vw; margin: 40px auto; padding: 24px; background: #fff; border-radius: 8px; box-sizing: border-box }
	input, button, select { display: block; width: 100%; height: 44px; margin: 8px 0; padding: 0 12px; font: inherit; box-sizing: border-box }
	button { background: #0b5c7a; color: #fff; border: 0; border-radius: 4px }
	[role=alert] { color: #a4001d }
</style>
<main>{{.Body}}</main>
</html>
`

// show writes a page. body is trusted.
func show(w http.ResponseWriter, status int, title, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = template.Must(template.New("").Parse(frame)).Execute(w, map[string]any{"Title": title, "Body": template.HTML(body)}) //nolint:gosec // the body is ours
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusSeeOther) }
}
