package tokenvault

import (
	"testing"
	"time"
)

// While a login is used, it may be told in another way, but nothing may change about
// where people sign in, whose state is kept, and who is recognized.
func TestAUsedLoginIsNotRedirected(t *testing.T) {
	login := func(edit func(p *Provider)) Provider {
		p := Provider{
			ID: "acme-browser", AuthMethod: AuthBrowserLogin, Hosts: []string{"acme.example"},
			Login: &Login{
				URL: "https://acme.example/login", Domains: []string{"acme.example"}, Signs: []LoginSign{{Strategy: SignReturn}},
				Probe: &LoginProbe{URL: "https://acme.example/me", AccountID: []string{"id"}},
			},
		}
		edit(&p)
		return p
	}
	before := login(func(*Provider) {})
	for name, edit := range map[string]func(p *Provider){
		"login page":   func(p *Provider) { p.Login.URL = "https://evil.example/login" },
		"domains":      func(p *Provider) { p.Login.Domains = []string{"acme.example", "evil.example"} },
		"landing page": func(p *Provider) { p.Login.LandingURL = "https://www.acme.example/" },
		"probe":        func(p *Provider) { p.Login.Probe.URL = "https://acme.example/other" },
		"no probe":     func(p *Provider) { p.Login.Probe = nil },
		"account":      func(p *Provider) { p.Login.Probe.AccountID = []string{"name"} },
		"hosts":        func(p *Provider) { p.Hosts = []string{"acme.example", "www.acme.example"} },
	} {
		if !redirects(before, login(edit)) {
			t.Errorf("%s may change", name)
		}
	}
	for name, edit := range map[string]func(p *Provider){
		"nothing":       func(*Provider) {},
		"signs":         func(p *Provider) { p.Login.Signs = []LoginSign{{Strategy: SignCookie, Pattern: "sid"}} },
		"second factor": func(p *Provider) { p.Login.Unless = []string{"https://acme.example/2fa"} },
		"visit domains": func(p *Provider) { p.Login.VisitDomains = []string{"idp.example"} },
		"times": func(p *Provider) {
			p.Login.Settle, p.Login.CheckEvery, p.Login.Lifetime = time.Second, time.Hour, time.Hour
		},
		"refusal":       func(p *Provider) { p.Login.Refuses = "Use OAuth." },
		"probe pattern": func(p *Provider) { p.Login.Probe.Pattern, p.Login.Probe.Status = "Hello", 203 },
	} {
		if redirects(before, login(edit)) {
			t.Errorf("%s may not change", name)
		}
	}
}
