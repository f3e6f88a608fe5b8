package testop

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// maxPages is more than any provider shows between request and callback.
const maxPages = 20

// A Person is a browser with cookies, and what its user types.
type Person struct {
	client *http.Client
	name   string
}

// NewPerson returns somebody who signs in under a name.
func NewPerson(t testing.TB, name string) *Person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Person{name: name, client: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Authorize opens an authorization URL, signs in, consents, and returns the URL
// of the callback without opening it.
func (p *Person) Authorize(t testing.TB, authorizationURL string) *url.URL {
	t.Helper()
	next, form := authorizationURL, url.Values(nil)
	callback := redirectURI(t, authorizationURL)
	for range maxPages {
		u, body := p.open(t, next, form)
		if strings.HasPrefix(u.String(), callback) {
			return u
		}
		next, form = u.String(), nil
		if body != "" {
			next, form = p.fillIn(t, u, body)
		}
	}
	t.Fatalf("%s never sent the browser back", p.name)
	return nil
}

// EnterCode enters a user code at a provider's verification page, signs in, and
// consents or refuses (RFC 8628 §3.3).
func (p *Person) EnterCode(t testing.TB, verificationURL, code string, consent bool) {
	t.Helper()
	next, form := verificationURL, url.Values(nil)
	for range maxPages {
		u, body := p.open(t, next, form)
		next, form = u.String(), nil
		if body == "" {
			continue
		}
		if !strings.Contains(body, "<form") {
			return // it says that all is done
		}
		next, form = p.fillIn(t, u, body)
		switch {
		case form.Has("user_code") && !form.Has("confirm"):
			form.Set("user_code", code)
		case form.Has("confirm") && !consent:
			form.Del("confirm")
			form.Set("abort", "yes")
			p.open(t, next, form)
			return
		}
	}
	t.Fatalf("%s never came to the end of the pages", p.name)
}

func redirectURI(t testing.TB, authorizationURL string) string {
	t.Helper()
	u, err := url.Parse(authorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	if text := u.Query().Get("redirect_uri"); text != "" {
		return text
	}
	return Callback // the request was pushed
}

// open sends one request. It returns where it leads, or the page it shows.
func (p *Person) open(t testing.TB, target string, form url.Values) (*url.URL, string) {
	t.Helper()
	var res *http.Response
	var err error
	if form == nil {
		res, err = p.client.Get(target) //nolint:noctx // a person has no deadline
	} else {
		res, err = p.client.PostForm(target, form) //nolint:noctx // a person has no deadline
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if where, err := res.Location(); err == nil {
		return where, ""
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s shows status %d: %s", res.Request.URL.Path, res.StatusCode, body)
	}
	return res.Request.URL, string(body)
}

var (
	actionPattern = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"`)
	inputPattern  = regexp.MustCompile(`(?s)<input[^>]*name="([^"]+)"(?:[^>]*value="([^"]*)")?`)
)

// fillIn fills in the page's form: hidden fields as they are, name and password as
// the person's.
func (p *Person) fillIn(t testing.TB, page *url.URL, body string) (string, url.Values) {
	t.Helper()
	form := url.Values{}
	for _, input := range inputPattern.FindAllStringSubmatch(body, -1) {
		switch input[1] {
		case "login":
			form.Set("login", p.name)
		case "username":
			form.Set("username", "test-user@127.0.0.1")
		case "password":
			form.Set("password", "verysecure")
		default:
			form.Set(input[1], input[2])
		}
	}
	target := page
	if action := actionPattern.FindStringSubmatch(body); action != nil && action[1] != "" {
		var err error
		if target, err = page.Parse(strings.ReplaceAll(action[1], "&amp;", "&")); err != nil {
			t.Fatal(err)
		}
	}
	return target.String(), form
}
