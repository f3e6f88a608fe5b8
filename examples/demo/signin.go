package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

const hostCookie = "chat_session"

// signIn is what an application has of its own: its users sign in to it. What it
// tells the vault about them is one small endpoint, a different one in each mode.
type signIn struct {
	chat     *chat
	mode     mode
	vaultURL string
	signing  *ecdsa.PrivateKey
	session  string // who has this in the cookie is the user
	bringing *template.Template
}

func newSignIn(c *chat, d *demo) *signIn {
	return &signIn{c, d.mode, d.vaultURL, d.signing, rand.Text(), template.Must(template.New("").Parse(bringPage))}
}

func (s *signIn) routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("GET /session", s.tell)
	mux.HandleFunc("GET /vault", s.bring)
	mux.HandleFunc("GET /connected", s.complete)
}

func (s *signIn) signedIn(r *http.Request) bool {
	cookie, err := r.Cookie(hostCookie)
	return err == nil && cookie.Value == s.session
}

// only lets users of the chat through. In mode local it has no sign-in: whoever is
// on this machine is its user, at the chat's own name. Another name that leads here
// (DNS rebinding) is that of a page from elsewhere.
func (s *signIn) only(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.mode == modeLocal && "http://"+r.Host != s.chat.url:
			http.Error(w, "The chat is at "+s.chat.url+".", http.StatusMisdirectedRequest)
		case s.mode != modeLocal && !s.signedIn(r):
			http.Error(w, "Sign in to the chat first.", http.StatusUnauthorized)
		default:
			handle(w, r)
		}
	}
}

const (
	head      = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Chat</title>`
	bringPage = head + `<form method="post" action="{{.Action}}"><input type="hidden" name="assertion" value="{{.Assertion}}">
<input type="hidden" name="next" value="{{.Next}}"><noscript><button>Continue</button></noscript></form>
<script>document.forms[0].submit()</script>`
)

func (s *signIn) login(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{
		Name: hostCookie, Value: s.session, Domain: "demo.localhost", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// tell answers the vault, which forwards the cookie of a browser (mode session).
func (s *signIn) tell(w http.ResponseWriter, r *http.Request) {
	if !s.signedIn(r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"userId": s.chat.user})
}

// bring sends the browser to the vault with a signed statement (mode assertion).
// The vault's address is ours, not the query's: a statement for anybody else
// would be worth something there.
func (s *signIn) bring(w http.ResponseWriter, r *http.Request) {
	if !s.signedIn(r) {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	statement, err := s.statement(time.Now())
	back, parseErr := url.Parse(r.URL.Query().Get("returnTo"))
	if err != nil || parseErr != nil {
		http.Error(w, "The vault cannot be told who you are.", http.StatusBadRequest)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	_ = s.bringing.Execute(w, map[string]string{"Action": s.vaultURL + "/signin/assertion", "Assertion": statement, "Next": back.RequestURI()})
}

func (s *signIn) statement(now time.Time) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.signing}, (&jose.SignerOptions{}).WithType("tokenvault-assertion+jwt"))
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": s.chat.url, "aud": s.vaultURL, "sub": s.chat.user, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text(),
	})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// complete says, server to server, whose the browser is that came back from the
// provider (mode verifier).
func (s *signIn) complete(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !s.signedIn(r) {
		http.Error(w, "Sign in to the chat first.", http.StatusUnauthorized)
		return
	}
	next, err := s.chat.server.Complete(r.Context(), client.Owner{UserID: s.chat.user}, query.Get("authRequestId"), tokenvault.NewSecret(query.Get("handle")))
	if err != nil {
		http.Error(w, "This was not yours to finish, or it took too long. Ask again in the chat.", http.StatusForbidden)
		return
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}
