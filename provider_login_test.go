package tokenvault_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
)

func acmeLogin() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "acme-browser", Name: "Acme", Service: "acme", AuthMethod: tokenvault.AuthBrowserLogin, UsageMode: tokenvault.UsageToken,
		Hosts: []string{"www.acme.example"}, Verified: "unverified",
		Login: &tokenvault.Login{
			URL: "https://acme.example/login", Domains: []string{"acme.example", "app.localhost:8080"}, VisitDomains: []string{"idp.example"},
			Signs:  []tokenvault.LoginSign{{Strategy: tokenvault.SignCookie, Pattern: "sid"}},
			Settle: 1500 * time.Millisecond, CheckEvery: time.Hour, Lifetime: 48 * time.Hour,
			Probe: &tokenvault.LoginProbe{URL: "https://acme.example/me", AccountID: []string{"id"}},
		},
	}
}

func TestALoginIsReadAsItWasWritten(t *testing.T) {
	want := acmeLogin()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"settle":"1.5s"`, `"checkEvery":"1h0m0s"`, `"lifetime":"48h0m0s"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
	var got tokenvault.Provider
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, wrong := range []string{
		`{"login":{"settle":1}}`, `{"login":{"settle":"soon"}}`, `{"login":{"colour":"red"}}`, `{"login":{"signs":[{"strategy":"cookie","colour":"red"}]}}`,
	} {
		if err := json.Unmarshal([]byte(wrong), &tokenvault.Provider{}); err == nil {
			t.Errorf("%s was read", wrong)
		}
	}
}

func TestWhatALoginCovers(t *testing.T) {
	login := acmeLogin().Login
	for text, want := range map[string][2]bool{ // covered, may be visited
		"https://acme.example/x?y":              {true, true},
		"https://WWW.Acme.Example/":             {true, true},
		"https://a.b.acme.example:8443/":        {true, true},
		"http://acme.example/":                  {false, false},
		"https://notacme.example/":              {false, false},
		"https://acme.example.evil.example/":    {false, false},
		"https://evil.example/acme.example":     {false, false},
		"https://acme.example@evil.example/":    {false, false},
		"https://idp.example/":                  {false, true},
		"https://sso.idp.example/":              {false, true},
		"http://idp.example/":                   {false, false},
		"http://app.localhost:8080/":            {true, true},
		"https://app.localhost:8080/":           {true, true},
		"http://www.app.localhost:8080/":        {true, true},
		"http://app.localhost:8081/":            {false, false},
		"http://app.localhost/":                 {false, false},
		"http://127.0.0.1:8080/":                {false, false},
		"file:///acme.example":                  {false, false},
		"about:blank":                           {false, false},
		"data:text/html,x":                      {false, false},
		"blob:https://acme.example/00000000":    {false, false},
		"view-source:https://acme.example/":     {false, false},
		"wss://acme.example/":                   {false, false},
		"https://xn--acme-example/":             {false, false},
		"https://acme.example./":                {false, false},
		"chrome-extension://acme.example/x.htm": {false, false},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{login.Covers(u), login.MayVisit(u)}; got != want {
			t.Errorf("%s: covered and visited %v, want %v", text, got, want)
		}
	}
	for domain, want := range map[string]bool{
		"acme.example": true, ".acme.example": true, ".Www.acme.example": true, "app.localhost": true, "example": false, ".example": false, "idp.example": false,
		"notacme.example": false, "": false, "localhost": false,
	} {
		if got := login.CoversCookie(domain); got != want {
			t.Errorf("CoversCookie(%q) = %v", domain, got)
		}
	}
	local := tokenvault.Login{Domains: []string{"127.0.0.1:8080"}}
	if local.CoversCookie("127.0.0.1") != true || local.CoversCookie("1.127.0.0.1") {
		t.Error("an address is no domain")
	}
}

// What a tenant defines leads no browser into the network of the vault.
func TestEveryAddressOfALoginIsChecked(t *testing.T) {
	r := newRig(t, func(o *tokenvault.Options) { o.LintProvider = func(tokenvault.Provider) error { return nil } })
	for field, edit := range map[string]func(l *tokenvault.Login){
		"login.url":             func(l *tokenvault.Login) { l.URL = "https://10.0.0.1/" },
		"login.landingUrl":      func(l *tokenvault.Login) { l.LandingURL = "https://169.254.169.254/" },
		"login.probe.url":       func(l *tokenvault.Login) { l.Probe.URL = "http://acme.example/" },
		"login.domains[0]":      func(l *tokenvault.Login) { l.Domains[0] = "127.0.0.1:8080" },
		"login.domains[1]":      func(l *tokenvault.Login) { l.Domains = append(l.Domains, "db.localhost:1") },
		"login.visitDomains[0]": func(l *tokenvault.Login) { l.VisitDomains[0] = "localhost:9000" },
	} {
		p := acmeLogin()
		p.Login.Domains = p.Login.Domains[:1]
		edit(p.Login)
		_, err := r.PutProvider(t.Context(), admin, tokenvault.ProviderInput{Provider: p})
		if invalid, ok := errors.AsType[*tokenvault.FieldError](err); !ok || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
