// Package signin says who a browser belongs to. It holds the authenticators that
// ship with the product; an application that embeds the vault may bring its own.
//
//   - [Local] serves one user on their own machine. A browser becomes that user's
//     by a one-time link, and by nothing else: being on the same machine proves
//     nothing, since other users, other programs and web pages reach a loopback
//     port too.
//   - [HostSession] asks the application beside which the vault runs, on the same
//     site, who the cookies of a request belong to.
//   - [Assertion] takes the word of the application, in a statement that it signs.
//   - [OIDC] signs people in at an OpenID Connect server.
//   - [Visitor] admits browsers that the host proves later, server to server.
//   - [Func] adapts a function, for an application that embeds the vault.
//
// # The host's side of HostSession
//
// The application answers one GET at an address that only the vault needs to
// reach. It is given the session cookies that the browser sent to the vault, so
// both must be on one site, and the cookies must be set for both host names:
//
//	mux.HandleFunc("GET /internal/vault-session", func(w http.ResponseWriter, r *http.Request) {
//		session, ok := sessions.Of(r)
//		if !ok {
//			w.WriteHeader(http.StatusUnauthorized)
//			return
//		}
//		w.Header().Set("Content-Type", "application/json")
//		json.NewEncoder(w).Encode(map[string]any{
//			"userId":         session.UserID,
//			"organizationId": session.ActiveOrganization, // may be left out
//			"orgAdmin":       session.Role == "admin",    // may be left out
//		})
//	})
//
// The endpoint must read the cookies only. An identity taken from a query or a
// header would be one that the caller can choose.
package signin
