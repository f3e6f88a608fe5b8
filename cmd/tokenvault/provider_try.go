package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
	"github.com/ai-token-vault/tokenvault/server"
)

type providerTryCmd struct {
	ID           string        `arg:"" help:"Provider, such as github."`
	Organization string        `help:"Organization whose app and provider are meant. Default: the tenant's."`
	Scopes       []string      `help:"Scopes to ask for. Default: the provider's and the app's."`
	NoBrowser    bool          `help:"Check what can be checked without a person, and connect nothing."`
	Timeout      time.Duration `help:"How long to wait for the person." default:"10m"`
}

// Help says what is done.
func (providerTryCmd) Help() string {
	return `Checks the definition, the metadata of the issuer, the endpoints and the app,
then walks a real connect: it prints a link, waits on the loopback interface for
the browser to come back, and reports what was granted. It refreshes once, ends
the grant where the provider can, and deletes what it stored. Each step is a
line, ok or FAIL with what to do next; no token is printed.

The redirect URL of the try is on this machine. With a public-url elsewhere,
register the one that is printed as well, or use --no-browser. A server that
listens on the same address has to be stopped for the try.

A provider at which people sign in by a browser is tried in one of this machine:
its login page, that its signs are not there too early, and that a stranger is not
taken for signed in. With browser-headed you do so in a window, and the login is
captured and proven.`
}

// Run prints one line per step, and fails if one did.
func (cmd providerTryCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	p, err := findProvider(ctx, cfg, std, cmd.Organization, cmd.ID)
	if err != nil {
		return err
	}
	if p.Login != nil {
		t := &try{report: report{out: std.out}, cmd: cmd, provider: p}
		t.definition()
		t.tryLogin(ctx, cfg)
		if t.failed() {
			return &checksError{t.failures}
		}
		return nil
	}
	if p.OAuth2 == nil || p.OAuth2.AuthorizationURL == "" {
		return fmt.Errorf("%s cannot be tried: nobody is redirected to it; connect it at 'tokenvault serve'", p.ID)
	}
	cfg.PublicURL = loopbackURL(cfg)
	t := &try{report: report{out: std.out}, cmd: cmd, provider: p, flow: oauth2flow.New(&oauth2flow.Options{Allow: cfg.AllowHosts})}
	t.definition()
	t.metadata(ctx)
	t.line("page", explain(t.flow.Reach(ctx, p.OAuth2.AuthorizationURL), "check authorizationUrl"), "the authorization endpoint answers")
	err = withVault(ctx, cfg, std, func(o *server.Opened) error {
		t.vault, t.admin = o.Vault, o.Admin()
		if !t.app(ctx) || cmd.NoBrowser {
			return nil
		}
		return t.connect(ctx)
	})
	if err == nil && t.failures > 0 {
		err = &checksError{t.failures}
	}
	return err
}

// loopbackURL is where the browser comes back to: the public URL if it is on this
// machine.
func loopbackURL(cfg server.Config) string {
	if u, err := url.Parse(cfg.PublicURL); err == nil && u.Scheme == "http" {
		return cfg.PublicURL
	}
	_, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return "http://" + cfg.Listen
	}
	return "http://" + net.JoinHostPort("127.0.0.1", port)
}

// A try is one run of the command.
type try struct {
	report
	cmd      providerTryCmd
	provider tokenvault.Provider
	flow     *oauth2flow.Flow
	vault    *tokenvault.Vault
	admin    tokenvault.Actor
	callback *url.URL
	appID    string
}

// explain adds the next step to an error.
func explain(err error, next string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", err, next)
}

func (t *try) definition() {
	problems := catalog.Lint(t.provider)
	for _, problem := range problems {
		t.line("entry", errors.New(problem.Field+": "+problem.Text), "")
	}
	if len(problems) == 0 {
		t.line("entry", nil, t.provider.Name+", verified: "+t.provider.Verified)
	}
}

func (t *try) metadata(ctx context.Context) {
	issuer := t.provider.OAuth2.Issuer
	if issuer == "" {
		t.note("metadata", "the entry names no issuer")
		return
	}
	m, err := t.flow.Discover(ctx, issuer)
	if errors.Is(err, tokenvault.ErrNotFound) {
		t.note("metadata", "the issuer has no metadata document")
		return
	}
	if err != nil {
		t.line("metadata", explain(err, "check issuer, or leave it out"), "")
		return
	}
	differences := m.Differences(*t.provider.OAuth2)
	for _, d := range differences {
		t.line("metadata", errors.New(d), "")
	}
	if len(differences) == 0 {
		t.line("metadata", nil, "the issuer's document agrees with the entry")
	}
	if s256, said := m.PKCE(); said && !s256 {
		t.line("metadata", errors.New("the server does not understand S256 challenges (PKCE), which every connect sends"), "")
	}
}

// app checks the registration, and reports whether a connect can be tried.
func (t *try) app(ctx context.Context) bool {
	found, err := t.vault.CheckApp(ctx, t.admin, t.cmd.Organization, t.provider.ID)
	if errors.Is(err, tokenvault.ErrNoApp) {
		t.line("app", fmt.Errorf("none is registered: 'tokenvault app set %s --client-id …%s'", t.provider.ID, organizationFlag(t.cmd.Organization)), "")
		t.note("app", "Redirect URL to register: "+t.vault.CallbackURL(tokenvault.App{ID: t.vault.AppID(t.cmd.Organization, t.provider.ID)}))
		return false
	}
	if err != nil {
		t.line("app", err, "")
		return false
	}
	secret := map[bool]string{true: "with", false: "without"}[found.App.HasSecret]
	t.line("app", nil, "client "+found.App.ClientID+" "+secret+" a secret")
	t.note("app", "Redirect URL to register: "+found.CallbackURL)
	t.appID = found.App.ID
	if t.callback, err = url.Parse(found.CallbackURL); err != nil {
		t.line("app", err, "")
		return false
	}
	return t.token(found)
}

// token tells what the token endpoint said about a code that was never issued.
func (t *try) token(found tokenvault.Registration) bool {
	answer := found.Exchange
	switch found.Verdict() {
	case tokenvault.RegistrationAccepted:
		t.line("token", nil, "the token endpoint knows the app, and refuses a code that was never issued")
		return true
	case tokenvault.RegistrationRefused:
		t.line("token", explain(answer, fmt.Sprintf("the provider does not accept the app: check client id and secret ('tokenvault app set %s'), and clientAuth in the entry", t.provider.ID)), "")
	case tokenvault.RegistrationRedirect:
		t.line("token", explain(answer, "register the redirect URL above at the provider"), "")
	case tokenvault.RegistrationUntrusted:
		t.line("token", errors.New("the token endpoint issued a token for a code that it never issued: do not trust it"), "")
	case tokenvault.RegistrationUnreachable:
		advice := "check tokenUrl, or try again later"
		if failed, ok := errors.AsType[*tokenvault.ProviderError](answer); ok && failed.Status == 0 {
			advice = "check tokenUrl; a private address needs an entry in allow-hosts"
		}
		t.line("token", explain(answer, advice), "")
	case tokenvault.RegistrationUnclear:
		t.note("token", "the token endpoint refuses a code that was never issued in words of its own: "+strings.TrimPrefix(answer.Error(), "provider "+t.provider.ID+": "))
		return true
	}
	return false
}
