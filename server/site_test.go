package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"
	_ "modernc.org/sqlite"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testop"
	"github.com/ai-token-vault/tokenvault/server"
)

// A site is a server of the real parts, on loopback: database, root key, spool and
// an independent OAuth provider. Only the host that says who is signed in is
// played: a cookie is the user's name.
type site struct {
	*tokenvault.Vault
	op    *testop.OP
	cfg   server.Config
	url   string
	admin tokenvault.Actor
	log   *journal
	shown *journal // what browsers and callers were answered
	db    *sql.DB  // to look at, and to change behind the vault's back
	stop  func()
}

// A journal is a log that may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

const (
	clientID     = "vault-basic"
	clientSecret = "secret-of-vault-basic-7f3a9c51d2"
)

// strict starts a site at the strict provider.
func strict(t *testing.T, opts testop.Options, flags ...string) *site {
	t.Helper()
	if opts.AccessTTL == "" {
		opts.AccessTTL = "3600"
	}
	op := testop.Start(t, opts)
	return newSite(t, op, filepath.Join(t.TempDir(), "data"), slices.Concat(session(t), []string{defineStrict(t, op)}, flags)...)
}

// defineStrict returns the flag that defines the strict provider as "idp".
func defineStrict(t *testing.T, op *testop.OP) string {
	t.Helper()
	return define(t, op, fmt.Sprintf(`issRequired: true, authorizationUrl: "%[1]s/auth", tokenUrl: "%[1]s/token",
revocationUrl: "%[1]s/token/revocation", userInfoUrl: "%[1]s/me", jwksUrl: "%[1]s/jwks",
alwaysScopes: [openid, offline_access], authorizationParams: {prompt: consent}`, op.Issuer))
}

// misbehaving starts a site at the provider that misbehaves.
func misbehaving(t *testing.T) *site {
	t.Helper()
	op := testop.StartMock(t)
	return newSite(t, op, filepath.Join(t.TempDir(), "data"), append(session(t), define(t, op, fmt.Sprintf(
		`authorizationUrl: "%[1]s/authorize", tokenUrl: "%[1]s/token", revocationUrl: "%[1]s/revoke", userInfoUrl: "%[1]s/userinfo",
jwksUrl: "%[1]s/jwks", scopeImplies: {dummy: [email]}`, op.Issuer)))...) // "dummy" is what it always grants
}

// define writes the definition of the provider "idp" and returns the flag that
// names it.
func define(t *testing.T, op *testop.OP, endpoints string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "idp.yaml")
	text := fmt.Sprintf(`{id: idp, name: Example ID, service: idp, description: An independent OAuth server., authMethod: oauth2,
hosts: ["%s"], verified: unverified, oauth2: {issuer: "%s", %s}}`, strings.TrimPrefix(op.Issuer, "http://"), op.Issuer, endpoints)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--provider-files=" + file
}

// newSite serves the data directory until the test ends. Flags come after those
// that every site has.
func newSite(t *testing.T, op *testop.OP, dir string, flags ...string) *site {
	t.Helper()
	s := &site{op: op, log: &journal{}, shown: &journal{}}
	s.cfg = parse(t, append([]string{
		"--data-dir=" + dir, "--listen=127.0.0.1:0", "--allow-hosts=" + strings.TrimPrefix(op.Issuer, "http://"), "--log-level=debug",
		// Tests ask more than anybody may; what limits do has tests of its own.
		"--limit-key=0", "--limit-user=0", "--limit-connects=0", "--limit-failures=0", "--limit-token-endpoint=0",
	}, flags...)...)
	s.serve(t)
	app, err := s.SetApp(t.Context(), s.admin, tokenvault.AppInput{
		ProviderID: "idp", ClientID: clientID, ClientSecret: tokenvault.NewSecret(clientSecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	op.Callbacks(t, s.CallbackURL(app))
	if s.db, err = sql.Open("sqlite", "file:"+s.cfg.DatabasePath()+"?_pragma=busy_timeout(10000)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	return s
}

// session returns the flags of mode session, with a host.
func session(t *testing.T) []string {
	t.Helper()
	host := httptest.NewServer(http.HandlerFunc(whoIs))
	t.Cleanup(host.Close)
	return []string{"--mode=session", "--session-url=" + host.URL, "--session-cookies=sid"}
}

// whoIs is the host's session endpoint.
func whoIs(w http.ResponseWriter, r *http.Request) {
	c, err := r.Cookie("sid")
	if err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = fmt.Fprintf(w, `{"userId": %q}`, c.Value)
}

// parse reads flags as the command does, with its defaults.
func parse(t *testing.T, flags ...string) server.Config {
	t.Helper()
	var command struct {
		server.Config `embed:""`
	}
	parser, err := kong.New(&command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return command.Config
}

// serve starts the server of the site's configuration; stop drains it.
func (s *site) serve(t *testing.T) {
	t.Helper()
	running, err := server.New(t.Context(), s.cfg, server.NewLogger(s.log, s.cfg.LogLevel, s.cfg.LogFormat))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	t.Cleanup(s.stop)
	s.Vault, s.url, s.admin = running.Opened.Vault, running.URL, running.Opened.Admin()
	s.cfg.Listen = strings.TrimPrefix(running.URL, "http://") // the same again after a restart
}

// agent returns a client with the key of a user's agent.
func (s *site) agent(t *testing.T, user string) *client.Client {
	t.Helper()
	_, key, err := s.CreateAPIKey(t.Context(), s.admin, tokenvault.APIKeyInput{
		Name: "agent of " + user, Kind: tokenvault.ActorAgent, AgentID: "assistant", Owner: tokenvault.Owner{Tenant: s.Tenant(), UserID: user},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(s.url, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask is what the agents here ask for.
func ask() client.ResolveRequest {
	return client.ResolveRequest{ProviderID: "idp", Scopes: []string{"email"}, Release: tokenvault.ReleaseToken, RunID: "run-1"}
}

// mustAsk resolves and returns the request that the call pauses on.
func mustAsk(t *testing.T, agent *client.Client) tokenvault.AuthRequest {
	t.Helper()
	_, err := agent.Resolve(t.Context(), ask())
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("Resolve: err = %v, want an AuthRequiredError", err)
	}
	return required.Request
}

// mustResolve resolves and returns the token.
func mustResolve(t *testing.T, agent *client.Client) *client.Token {
	t.Helper()
	token, err := agent.Resolve(t.Context(), ask())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A browser is somebody's browser at the vault; empty: nobody's.
type browser struct {
	*http.Client
	site *site
}

func (s *site) browser(t *testing.T, user string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		jar.SetCookies(u, []*http.Cookie{{Name: "sid", Value: user}})
	}
	return &browser{&http.Client{Jar: jar, Transport: s.shown}, s}
}

// RoundTrip sends r and keeps what is answered.
func (j *journal) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	_, _ = fmt.Fprintln(j, res.Header.Get("Location"), string(text))
	res.Body = io.NopCloser(bytes.NewReader(text))
	return res, err
}

// A page is what a browser shows.
type page struct {
	status int
	url    string
	text   string
}

func (b *browser) open(t *testing.T, target string, edit ...func(*http.Request)) page {
	t.Helper()
	return b.send(t, http.MethodGet, target, nil, edit...)
}

// post submits a form of one of our own pages.
func (b *browser) post(t *testing.T, target string, form url.Values) page {
	t.Helper()
	return b.send(t, http.MethodPost, target, form, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", b.site.url)
	})
}

func (b *browser) send(t *testing.T, method, target string, form url.Values, edit ...func(*http.Request)) page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edit {
		e(r)
	}
	res, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{res.StatusCode, res.Request.URL.String(), string(text)}
}

var linkPattern = regexp.MustCompile(`class="primary" href="([^"]+)"`)

// confirm confirms the request and returns the provider's URL to which it leads.
func (b *browser) confirm(t *testing.T, req tokenvault.AuthRequest) string {
	t.Helper()
	if shown := b.open(t, req.ConnectURL); shown.status != http.StatusOK {
		t.Fatalf("the request's page: status %d: %s", shown.status, shown.text)
	}
	left := b.post(t, req.ConnectURL+"/confirm", nil)
	link := linkPattern.FindStringSubmatch(left.text)
	if link == nil {
		t.Fatalf("the page leads nowhere: status %d: %s", left.status, left.text)
	}
	return html.UnescapeString(link[1])
}

// connect does all that a user does: confirm, sign in at the provider as an
// account, consent, and come back. It returns the page on which that ends.
func (b *browser) connect(t *testing.T, req tokenvault.AuthRequest, account string) page {
	t.Helper()
	return b.open(t, testop.NewPerson(t, account).Authorize(t, b.confirm(t, req)).String())
}

// connected connects alice's account for her agent.
func (s *site) connected(t *testing.T) *client.Client {
	t.Helper()
	agent := s.agent(t, "alice")
	if end := s.browser(t, "alice").connect(t, mustAsk(t, agent), "alice"); end.status != http.StatusOK || !strings.Contains(end.text, `data-status="connected"`) {
		t.Fatalf("connecting ended with status %d at %s: %s", end.status, end.url, end.text)
	}
	return agent
}

func (s *site) exec(t *testing.T, query string) {
	t.Helper()
	if _, err := s.db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// expire makes all access tokens ones that have expired.
func (s *site) expire(t *testing.T) {
	t.Helper()
	s.exec(t, `UPDATE connections SET expires_at = 1`)
}

// connection returns alice's only connection.
func (s *site) connection(t *testing.T) tokenvault.Connection {
	t.Helper()
	list := s.connectionsOf(t, "alice")
	if len(list) != 1 {
		t.Fatalf("%d connections, want 1", len(list))
	}
	return list[0]
}

func (s *site) person(user string) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorUser, ID: user, Owner: tokenvault.Owner{Tenant: s.Tenant(), UserID: user}}
}

func (s *site) connectionsOf(t *testing.T, user string) []tokenvault.Connection {
	t.Helper()
	list, err := s.Connections(t.Context(), s.person(user), tokenvault.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// tokenRequests is how often the token endpoint was asked.
func (s *site) tokenRequests(t *testing.T) int {
	t.Helper()
	return s.op.Stats(t)["POST /token"]
}

// events returns the details of the audit entries of a kind.
func (s *site) events(t *testing.T, kind tokenvault.EventKind) (details []string) {
	t.Helper()
	all, err := s.Events(t.Context(), s.admin, tokenvault.EventQuery{Page: tokenvault.Page{Limit: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Kind == kind {
			details = append(details, e.Detail)
		}
	}
	return details
}
