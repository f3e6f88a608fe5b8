package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

// bearer returns the token of the Authorization header (RFC 6750 §2.1).
func bearer(r *http.Request) (tokenvault.Secret, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return tokenvault.NewSecret(strings.TrimSpace(token)), strings.EqualFold(scheme, "Bearer")
}

// orSession identifies by a session's token where one is sent, else by auth. A
// session counts only at the pages of its origin, which every browser names in
// requests across origins.
func orSession(v *tokenvault.Vault, auth tokenvault.Authenticator) func(*http.Request) (tokenvault.Actor, error) {
	return func(r *http.Request) (tokenvault.Actor, error) {
		if token, ok := bearer(r); ok && tokenvault.IsSessionToken(token) {
			return v.AuthenticateSession(r.Context(), token, r.Header.Get("Origin"))
		}
		return auth.Authenticate(r)
	}
}

// fromOrigins lets pages of the registered origins call next, and refuses what
// another site sends in a user's name. No cookie is let through across origins:
// pages there send a session's token.
func (a *api) fromOrigins(origins []string, next http.Handler) http.Handler {
	csrf := http.NewCrossOriginProtection()
	for _, origin := range origins {
		if err := csrf.AddTrustedOrigin(origin); err != nil {
			panic(fmt.Sprintf("httpapi: an origin that the vault took: %v", err))
		}
	}
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, fmt.Errorf("the request comes from another site: %w", tokenvault.ErrDenied))
	}))
	guarded := csrf.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if !slices.Contains(origins, origin) {
			guarded.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Link, Retry-After")
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			guarded.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	})
}
