package cdpsession_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/cdpsession"
)

// A bank is a site to sign in to: a password at /login, a code at /code, then /home.
// It keeps a cookie that scripts cannot read, and tokens in every storage.
type bank struct {
	*httptest.Server
	host string

	mu       sync.Mutex
	sessions map[string]string // cookie → who
	rotate   bool              // every answer renews the cookie
	broken   int               // a status that everything answers
}

func newBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{sessions: map[string]string{}}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	b.host = strings.TrimPrefix(b.URL, "http://")
	return b
}

const keepScript = `<script>
localStorage.setItem("token", "local-canary ü");
sessionStorage.setItem("tab", "session-canary");
const open = indexedDB.open("firebaseLocalStorageDb", 1);
open.onupgradeneeded = () => open.result.createObjectStore("firebaseLocalStorage", { keyPath: "fbase_key" });
open.onsuccess = () => {
  const tx = open.result.transaction("firebaseLocalStorage", "readwrite");
  tx.objectStore("firebaseLocalStorage").put({ fbase_key: "firebase:authUser:key:[DEFAULT]", value: { uid: "alice", stsTokenManager: { accessToken: "idb-canary", expirationTime: 1e12 } } });
  tx.oncomplete = () => { document.title = "kept" };
};
</script>`

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != 0 {
		w.WriteHeader(b.broken)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	who := ""
	if c, err := r.Cookie("sid"); err == nil {
		who = b.sessions[c.Value]
	}
	switch r.URL.Path {
	case "/login":
		_, _ = fmt.Fprint(w, `<title>login</title><form method=post action=/password><input name=p autofocus><button>go</button></form>`)
	case "/password":
		b.signIn(w, "half", "half")
		http.Redirect(w, r, "/code?for=alice#x", http.StatusSeeOther)
	case "/code":
		_, _ = fmt.Fprint(w, `<title>code</title>`)
	case "/enter":
		b.signIn(w, "full", "alice")
		http.Redirect(w, r, "/home", http.StatusSeeOther)
	case "/home":
		if who != "alice" {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		_, _ = fmt.Fprint(w, `<title>home</title>Hello <b id=who>alice</b>`+keepScript)
	case "/me":
		if who != "alice" {
			http.Error(w, "{}", http.StatusUnauthorized)
			return
		}
		if b.rotate {
			b.signIn(w, "renewed", "alice")
		}
		_, _ = fmt.Fprint(w, `{"user":{"id":42,"name":"alice"}}`)
	case "/tokens": // shows what scripts find
		_, _ = fmt.Fprint(w, `<title>looking</title><script>
const open = indexedDB.open("firebaseLocalStorageDb");
open.onsuccess = () => {
  const db = open.result;
  const show = (idb) => { document.title = JSON.stringify({ local: localStorage.getItem("token"), session: sessionStorage.getItem("tab"), idb }) };
  if (!db.objectStoreNames.length) return show("none");
  db.transaction("firebaseLocalStorage").objectStore("firebaseLocalStorage").get("firebase:authUser:key:[DEFAULT]").onsuccess = (e) => show(e.target.result?.value.stsTokenManager.accessToken);
};
</script>`)
	default:
		_, _ = fmt.Fprintf(w, `<title>%s</title>`, r.URL.Path)
	}
}

func (b *bank) signIn(w http.ResponseWriter, value, who string) {
	b.sessions[value] = who
	http.SetCookie(w, &http.Cookie{Name: "sid", Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: 3600})
	http.SetCookie(w, &http.Cookie{Name: "brief", Value: "with-the-session", Path: "/", SameSite: http.SameSiteLaxMode})
}

func quoted(text string) string { return strings.NewReplacer(".", `\.`).Replace(text) }

// login is a definition for the bank, with all that tells that it is done.
func (b *bank) login(signs ...tokenvault.LoginSign) *tokenvault.Login {
	return &tokenvault.Login{
		URL: b.URL + "/login", Domains: []string{b.host}, Signs: signs, Unless: []string{quoted(b.URL) + "/code.*"},
		Probe: &tokenvault.LoginProbe{URL: b.URL + "/me", AccountID: []string{"user.id"}, AccountLabel: []string{"user.name"}},
	}
}

func (b *bank) provider(signs ...tokenvault.LoginSign) tokenvault.Provider {
	return tokenvault.Provider{ID: "bank-browser", AuthMethod: tokenvault.AuthBrowserLogin, Hosts: []string{b.host}, Login: b.login(signs...)}
}

var (
	byCookie = tokenvault.LoginSign{Strategy: tokenvault.SignCookie, Pattern: "sid"}
	byProbe  = tokenvault.LoginSign{Strategy: tokenvault.SignProbe}
	byReturn = tokenvault.LoginSign{Strategy: tokenvault.SignReturn}
)

// start opens a session for a provider, and goes nowhere else than its login page.
func start(t *testing.T, p tokenvault.Provider, state tokenvault.BrowserState, edit ...func(*cdpsession.Options)) *rig {
	t.Helper()
	opts := cdpsession.Options{Request: tokenvault.BrowserRequest{ID: "at_1", Provider: p, State: state}}
	for _, e := range edit {
		e(&opts)
	}
	r := &rig{t: t, session: cdpsession.New(opts)}
	view, err := r.session.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.view = view
	t.Cleanup(func() {
		if err := r.session.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := r.session.Open(t.Context(), browsertest.Launch(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

// goTo has the active tab go somewhere, as a page's own script would.
func (r *rig) goTo(address string) {
	r.t.Helper()
	if err := cdpsession.Run(r.t.Context(), r.session, "location.href = "+fmt.Sprintf("%q", address)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) run(script string) {
	r.t.Helper()
	if err := cdpsession.Run(r.t.Context(), r.session, script); err != nil {
		r.t.Fatal(err)
	}
}

// awaits expects the session to see the login.
func (r *rig) awaits() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	if err := r.session.Await(ctx); err != nil {
		r.t.Fatalf("the login is not seen: %v", err)
	}
}

// waits expects that the session does not see a login for as long as it looks twice.
func (r *rig) waits(why string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 1500*time.Millisecond)
	defer cancel()
	if err := r.session.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		r.t.Fatalf("%s: Await = %v", why, err)
	}
}

func (r *rig) capture() (tokenvault.BrowserState, tokenvault.StorageState) {
	r.t.Helper()
	state, err := r.session.Capture(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, err := tokenvault.ParseStorageState(state.StorageState)
	if err != nil {
		r.t.Fatal(err)
	}
	return state, parsed
}

func check(t *testing.T, p tokenvault.Provider, state tokenvault.BrowserState) (tokenvault.BrowserProof, error) {
	t.Helper()
	return cdpsession.Check(t.Context(), browsertest.Launch(t), tokenvault.BrowserCheck{Provider: p, State: state}, cdpsession.Options{})
}

func TestALoginIsSeenCapturedAndRestored(t *testing.T) {
	b := newBank(t)
	p := b.provider(byCookie, tokenvault.LoginSign{Strategy: tokenvault.SignURLPattern, Pattern: quoted(b.URL) + "/.*"})
	p.Login.Unless = append(p.Login.Unless, quoted(b.URL)+"/login.*")
	r := start(t, p, tokenvault.BrowserState{})
	r.title("login")
	r.goTo(b.URL + "/password")
	r.title("code")
	r.waits("the second factor is not done")
	r.goTo(b.URL + "/enter")
	r.title("kept")
	r.awaits()
	r.until("the scene to say so", func() bool { return r.scene.Authenticated })
	if status, err := r.session.Status(t.Context()); err != nil || !status.Authenticated || status.CurrentURL != b.URL+"/home" {
		t.Errorf("status %+v, %v", status, err)
	}
	r.waits("nothing happened since Await returned")

	state, parsed := r.capture()
	if state.UserAgent == "" || state.Width != 1280 || state.Height != 800 {
		t.Errorf("the state is of %q, %d x %d", state.UserAgent, state.Width, state.Height)
	}
	var sid tokenvault.StateCookie
	for _, c := range parsed.Cookies {
		if c.Name == "sid" {
			sid = c
		}
	}
	if string(sid.Value) != "full" || !sid.HTTPOnly || sid.SameSite != "Strict" || sid.Domain != "127.0.0.1" || sid.Expires < 0 {
		t.Errorf("the cookie is not as it was set: domain %s, %s, expires %v", sid.Domain, sid.SameSite, sid.Expires)
	}
	text := state.StorageState.Reveal()
	for _, canary := range []string{"local-canary ü", "session-canary", "idb-canary", `"firebase:authUser:key:[DEFAULT]"`} {
		if !strings.Contains(text, canary) {
			t.Errorf("the state lacks %s", canary)
		}
	}
	proof, err := check(t, p, state)
	if err != nil || proof.Account != (tokenvault.Account{ID: "42", Label: "alice"}) {
		t.Errorf("the check says %+v, %v", proof.Account, err)
	}

	// A plain HTTP client and another browser are signed in with it.
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+"/me", nil)
	req.Header.Set("Cookie", parsed.CookieHeader(req.URL))
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("with the cookies: %v", err)
	} else {
		_ = res.Body.Close()
	}
	p.Login.URL = b.URL + "/tokens"
	again := start(t, p, state)
	again.until("the tokens", func() bool { return strings.HasPrefix(again.activeTab().Title, "{") })
	var found struct {
		Local, Session, IDB string
	}
	if err := json.Unmarshal([]byte(again.activeTab().Title), &found); err != nil {
		t.Fatal(err)
	}
	if found.Local != "local-canary ü" || found.Session != "session-canary" || found.IDB != "idb-canary" || again.scene.CanGoBack {
		t.Errorf("restored: %+v, back %v", found, again.scene.CanGoBack)
	}
	again.goTo(b.URL + "/home") // strict cookies, and one without an end
	again.title("kept")
	if _, parsed := again.capture(); len(parsed.Cookies) != 2 || len(parsed.SessionStorage) != 1 {
		t.Errorf("captured again: %d cookies, session storage of %d", len(parsed.Cookies), len(parsed.SessionStorage))
	}
}

func TestTheSignsOfALogin(t *testing.T) {
	b := newBank(t)
	other := newBank(t)
	home := quoted(b.URL) + "/home"
	for name, tc := range map[string]struct {
		sign  tokenvault.LoginSign
		early []string // paths after which it is not done yet
		then  string
	}{
		"url":      {tokenvault.LoginSign{Strategy: tokenvault.SignURLPattern, Pattern: home}, []string{"/password", "/home2"}, "/enter"},
		"response": {tokenvault.LoginSign{Strategy: tokenvault.SignResponse, Pattern: quoted(b.URL) + "/enter", Method: "POST"}, []string{"/enter"}, "post:/enter"},
		"fetch":    {tokenvault.LoginSign{Strategy: tokenvault.SignResponse, Pattern: quoted(b.URL) + "/me"}, []string{"fetch:/me"}, "fetch:/me"},
		"return":   {byReturn, []string{"/elsewhere", "other:/idp", "/login"}, "/done"},
		"cookie":   {byCookie, []string{"/elsewhere"}, "/enter"},
		"probe":    {byProbe, []string{"/password", "/elsewhere"}, "/enter"},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.provider(tc.sign)
			p.Login.VisitDomains = []string{other.host}
			r := start(t, p, tokenvault.BrowserState{})
			r.title("login")
			step := func(text string) {
				switch how, path, found := strings.Cut(text, ":"); {
				case !found:
					r.goTo(b.URL + text)
				case how == "other":
					r.goTo(other.URL + path)
				case how == "fetch":
					r.run(fmt.Sprintf("fetch(%q)", b.URL+path))
				case how == "post":
					r.run(fmt.Sprintf(`const f = document.createElement("form"); f.method = "post"; f.action = %q; document.body.append(f); f.submit()`, b.URL+path))
				}
			}
			for _, early := range tc.early {
				step(early)
				if !strings.Contains(early, ":") && early != "/password" && early != "/enter" {
					r.title(map[bool]string{true: "login", false: early}[early == "/login"])
				}
				r.waits("after " + early)
			}
			if name == "fetch" {
				r.goTo(b.URL + "/enter")
				r.title("kept")
			}
			step(tc.then)
			r.awaits()
		})
	}
}

// While a pop-up is at an identity provider, the login goes on, whatever cookies are
// there already.
func TestAnOpenPopUpHoldsTheLoginUp(t *testing.T) {
	b, idp := newBank(t), newBank(t)
	p := b.provider(byCookie)
	p.Login.VisitDomains = []string{idp.host}
	r := start(t, p, tokenvault.BrowserState{})
	r.title("login")
	r.run(fmt.Sprintf("window.popup = window.open(%q, 'idp', 'width=400,height=400'); document.cookie = 'sid=early'", idp.URL+"/idp"))
	r.title("/idp")
	r.waits("the pop-up is open")
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewTabTo, Action: "close", Tab: r.activeTab().ID})
	r.awaits()
}

func TestB4OnlyTheProvidersDomainsAreCaptured(t *testing.T) {
	b, idp := newBank(t), newBank(t)
	p := b.provider(byReturn)
	local := strings.Replace(idp.URL, "127.0.0.1", "idp.localhost", 1) // cookies know no ports
	idpURL, err := url.Parse(local)
	if err != nil {
		t.Fatal(err)
	}
	p.Login.VisitDomains = []string{idpURL.Host}
	r := start(t, p, tokenvault.BrowserState{})
	r.title("login")
	r.goTo(local + "/login") // strict cookies are not sent where another site led
	r.until("the identity provider", func() bool { return r.scene.Origin == local && r.activeTab().Title == "login" && !r.scene.Loading })
	r.goTo(local + "/enter")
	r.title("kept")
	r.goTo(b.URL + "/login")
	r.until("the bank", func() bool { return r.scene.Origin == b.URL && r.activeTab().Title == "login" && !r.scene.Loading })
	r.goTo(b.URL + "/enter")
	r.title("kept")
	r.awaits()
	state, parsed := r.capture()
	if strings.Contains(state.StorageState.Reveal(), "idp.localhost") || strings.Contains(state.StorageState.Reveal(), idpURL.Port()) {
		t.Error("the state has something of the identity provider")
	}
	if len(parsed.Cookies) != 2 || len(parsed.Origins) != 1 || parsed.Origins[0].Origin != b.URL {
		t.Errorf("%d cookies, origins of %d", len(parsed.Cookies), len(parsed.Origins))
	}
}

func TestACheckSaysWhoIsSignedIn(t *testing.T) {
	b := newBank(t)
	b.sessions["full"] = "alice"
	state := func(value string) tokenvault.BrowserState {
		text, err := tokenvault.StorageState{Cookies: []tokenvault.StateCookie{
			{Name: "sid", Value: tokenvault.StateText(value), Domain: "127.0.0.1", Path: "/", Expires: float64(time.Now().Add(time.Hour).Unix()), SameSite: "Strict"},
		}}.JSON()
		if err != nil {
			t.Fatal(err)
		}
		return tokenvault.BrowserState{StorageState: text, UserAgent: "Before/1", Width: 800, Height: 600}
	}
	landing := b.provider(byCookie, byReturn)
	landing.Login.Probe, landing.Login.LandingURL = nil, b.URL+"/home"
	landing.Login.Unless = append(landing.Login.Unless, quoted(b.URL)+"/login.*")
	back := b.provider(byReturn)
	back.Login.Probe, back.Login.LandingURL = nil, b.URL+"/home"
	redirects := b.provider(byCookie)
	redirects.Login.Probe = &tokenvault.LoginProbe{URL: b.URL + "/home", Pattern: "Hello", AccountIDPattern: `<b id=who>(\w+)</b>`}

	for name, p := range map[string]tokenvault.Provider{"probe": b.provider(byCookie), "page": redirects, "landing": landing, "not the login page": back} {
		t.Run(name, func(t *testing.T) {
			proof, err := check(t, p, state("full"))
			if err != nil || proof.State.UserAgent != "Before/1" || proof.State.Width != 800 {
				t.Fatalf("signed in: %+v, %v", proof, err)
			}
			if want := map[string]string{"probe": "42", "page": "alice"}[name]; proof.Account.ID != want {
				t.Errorf("the account is %+v", proof.Account)
			}
			_, err = check(t, p, state("stranger-canary"))
			if !errors.Is(err, tokenvault.ErrDenied) {
				t.Errorf("a stranger: %v", err)
			} else if text := err.Error(); strings.Contains(text, "canary") || strings.Contains(text, b.host) {
				t.Errorf("the error quotes the state or an address: %v", err)
			}
		})
	}

	t.Run("renewed", func(t *testing.T) {
		b.mu.Lock()
		b.rotate = true
		b.mu.Unlock()
		proof, err := check(t, b.provider(byCookie), state("full"))
		if err != nil || !strings.Contains(proof.State.StorageState.Reveal(), `"renewed"`) {
			t.Errorf("what the service renewed is lost: %v", err)
		}
	})
	t.Run("down", func(t *testing.T) {
		b.mu.Lock()
		b.broken = http.StatusBadGateway
		b.mu.Unlock()
		for _, p := range []tokenvault.Provider{b.provider(byCookie), landing} {
			if _, err := check(t, p, state("full")); !errors.Is(err, tokenvault.ErrUnavailable) {
				t.Errorf("a service that is down: %v", err)
			}
		}
	})
	t.Run("gone", func(t *testing.T) {
		closed, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		host := closed.Addr().String()
		_ = closed.Close()
		p := b.provider(byCookie)
		p.Login.Domains, p.Login.Probe.URL = []string{host}, "http://"+host+"/me"
		if _, err := check(t, p, state("full")); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("a service that is gone: %v", err)
		}
	})
}
