package cdpsession

import (
	"errors"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestWhatAProbeSays(t *testing.T) {
	byPath := tokenvault.LoginProbe{AccountID: []string{"user.id", "id"}, AccountLabel: []string{"user.name"}}
	byPattern := tokenvault.LoginProbe{Pattern: "sign out", AccountIDPattern: `data-id="(\d+)"`, AccountLabelPattern: `<b>([^<]+)</b>`}
	for name, tc := range map[string]struct {
		probe tokenvault.LoginProbe
		a     answer
		want  tokenvault.Account
		err   error
	}{
		"anything":           {tokenvault.LoginProbe{}, answer{status: 200}, tokenvault.Account{}, nil},
		"another status":     {tokenvault.LoginProbe{Status: 204}, answer{status: 204}, tokenvault.Account{}, nil},
		"not this status":    {tokenvault.LoginProbe{Status: 204}, answer{status: 200}, tokenvault.Account{}, tokenvault.ErrDenied},
		"redirected":         {tokenvault.LoginProbe{}, answer{status: 302}, tokenvault.Account{}, tokenvault.ErrDenied},
		"redirect expected":  {tokenvault.LoginProbe{Status: 302}, answer{status: 302}, tokenvault.Account{}, nil},
		"unauthorized":       {byPath, answer{status: 401, body: []byte(`{"id":1}`)}, tokenvault.Account{}, tokenvault.ErrDenied},
		"too many":           {byPath, answer{status: 429}, tokenvault.Account{}, tokenvault.ErrUnavailable},
		"down":               {byPath, answer{status: 503}, tokenvault.Account{}, tokenvault.ErrUnavailable},
		"shielded":           {byPath, answer{status: 403, challenge: true}, tokenvault.Account{}, tokenvault.ErrUnavailable},
		"JSON":               {byPath, answer{status: 200, body: []byte(`{"user":{"id":12345678901234567890,"name":"Ada"}}`)}, tokenvault.Account{ID: "12345678901234567890", Label: "Ada"}, nil},
		"second path":        {byPath, answer{status: 200, body: []byte(`{"id":"x"}`)}, tokenvault.Account{ID: "x"}, nil},
		"nobody":             {byPath, answer{status: 200, body: []byte(`{"user":null}`)}, tokenvault.Account{}, tokenvault.ErrDenied},
		"no JSON":            {byPath, answer{status: 200, body: []byte(`<html>`)}, tokenvault.Account{}, tokenvault.ErrDenied},
		"text":               {byPattern, answer{status: 200, body: []byte(`<i data-id="7"> sign out <b> A &amp; B </b>`)}, tokenvault.Account{ID: "7", Label: "A & B"}, nil},
		"text of a stranger": {byPattern, answer{status: 200, body: []byte(`<i data-id="7">sign in`)}, tokenvault.Account{}, tokenvault.ErrDenied},
		"text names nobody":  {byPattern, answer{status: 200, body: []byte(`sign out`)}, tokenvault.Account{}, tokenvault.ErrDenied},
		"label alone":        {tokenvault.LoginProbe{AccountLabelPattern: "(x+)"}, answer{status: 200, body: []byte("yxxz")}, tokenvault.Account{Label: "xx"}, nil},
		"bad pattern":        {tokenvault.LoginProbe{Pattern: "("}, answer{status: 200}, tokenvault.Account{}, tokenvault.ErrDenied},
	} {
		got, err := judge(tc.probe, tc.a)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, err, tc.want, tc.err)
		}
	}
}

// Whatever a service answers, an account is short text, and an error quotes nothing.
func FuzzProbe(f *testing.F) {
	f.Add(200, []byte(`{"user":{"id":1,"name":"a"}}`), "sign", `(\w+)`)
	f.Add(200, []byte("\xff\xfe<b>canary</b>"), "", `<b>([^<]*)</b>`)
	f.Fuzz(func(t *testing.T, status int, body []byte, pattern, label string) {
		p := tokenvault.LoginProbe{Pattern: pattern, AccountID: []string{"user.id"}, AccountLabelPattern: label}
		account, err := judge(p, answer{status: status, body: body})
		if len(account.ID) > maxAccount || len(account.Label) > 6*maxAccount {
			t.Fatalf("an account of %d and %d bytes", len(account.ID), len(account.Label))
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Fatalf("the error quotes the answer: %v", err)
		}
	})
}

func TestAMirrorIsBounded(t *testing.T) {
	login := tokenvault.Login{Domains: []string{"acme.example"}}
	var m mirror
	for range 2 * maxOrigins {
		m.saw(login, "https://a"+strings.Repeat("b", len(m.origins))+".acme.example/x")
	}
	m.saw(login, "https://elsewhere.example/")
	if len(m.origins) != maxOrigins {
		t.Errorf("%d origins", len(m.origins))
	}
	a := area{"https://acme.example/", false}
	big := strings.Repeat("x", maxMirrored/4)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		m.set(a, name, big)
	}
	if len(m.areas[a]) != 3 || m.size > maxMirrored {
		t.Errorf("%d items, %d bytes", len(m.areas[a]), m.size)
	}
	m.set(a, "a", "small")
	m.remove(a, "b")
	m.set(a, "f", big)
	if m.areas[a]["a"] != "small" || len(m.areas[a]) != 3 {
		t.Errorf("after changes: %d items", len(m.areas[a]))
	}
	m.replace(a, [][2]string{{"g", "h"}})
	if len(m.areas[a]) != 1 || m.size != 2 {
		t.Errorf("after all was replaced: %d items, %d bytes", len(m.areas[a]), m.size)
	}
	for key, want := range map[area]bool{
		{"https://acme.example/", false}:                         true,
		{"https://acme.example/", true}:                          false, // read from disk
		{"https://w.acme.example/^0https://acme.example", true}:  true,
		{"https://w.acme.example/^0https://acme.example", false}: false,
		{"https://elsewhere.example/", false}:                    false,
		{"nonsense", false}:                                      false,
	} {
		if m.keeps(login, key) != want {
			t.Errorf("%v: kept %v", key, !want)
		}
	}
}
